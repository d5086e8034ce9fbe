"""o1lab.toml, the settings of a lab. API keys are not stored in it, only the names of the variables that hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from o1lab.errors import LabError
from o1lab.files import protect_files, write_text
from o1lab.paths import Lab
from o1lab.small_files import UnreadableError, read_toml

_Mark = Annotated[str, Field(min_length=2)]


Option = Literal[
    "temperature", "top_p", "seed", "reasoning_effort", "stop", "stream_options", "max_tokens", "system"
]  # fmt: skip


class Endpoint(BaseModel):
    """A model on an OpenAI-compatible server, and the environment variable of its key."""

    model_config = ConfigDict(extra="forbid")

    name: str
    url: str
    model: str
    key_env: str | None = None
    role: Literal["teacher", "student", "base", "judge", "other"] = "other"
    context: int | None = Field(default=None, description="longest prompt plus answer, in tokens")
    input_usd: float | None = Field(default=None, ge=0, description="price of a million input tokens")
    output_usd: float | None = Field(default=None, ge=0, description="price of a million output tokens")
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    batch_discount: float | None = Field(
        default=None, ge=0, le=1, description="discount of its Batch API: 0.5 is half the price; null if unknown"
    )
    hidden_thoughts: bool = Field(default=False, description="whether it hides its thoughts, like o1")
    omit: list[Option] = Field(
        default_factory=list,
        description="what requests leave out: temperature, top_p, seed, reasoning_effort, stop, stream_options, "
        "max_tokens, or system, which puts the system message before the first user message",
    )
    terms: str | None = Field(default=None, description="URL of its terms of use, for dataset cards")
    licence: str | None = Field(default=None, description="licence of its outputs, according to its terms")


class OwnMarks(BaseModel):
    """Marks that a model puts around its thought, in addition to the built-in ones (``o1lab/chains/marks.py``)."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, description="name of the format, shown with each trace")
    thought: tuple[_Mark, _Mark] = Field(description="marks before and after the thought")
    solution: tuple[_Mark, _Mark] | tuple[()] = Field(default=(), description="marks before and after the solution")


class ServeConfig(BaseModel):
    """How models are served on this machine."""

    model_config = ConfigDict(extra="forbid")

    vllm: str | None = Field(default=None, description="the vllm program, or the python of its environment")
    trust_remote_code: list[str] = Field(default_factory=list, description="models that may run their own code")


class ChatConfig(BaseModel):
    """How long a chat waits for a server; teacher runs and evaluations have settings of their own."""

    model_config = ConfigDict(extra="forbid")

    first_token_timeout_s: float = Field(
        default=600, gt=0, description="seconds that a server may stay silent before the first token"
    )
    silence_timeout_s: float = Field(
        default=600, gt=0, description="seconds that a server may stay silent after the first token"
    )


BENCHMARKS = (
    "aime24",
    "aime25",
    "math500",
    "math2024",
    "amc23",
    "minerva_math",
    "olympiadbench",
    "gsm8k_test",
    "demo-heldout",
)


class ClusterConfig(BaseModel):
    """How ``o1lab distill --engine ray`` runs on Ray."""

    model_config = ConfigDict(extra="forbid")

    address: str | None = Field(
        default=None,
        description="Ray cluster: auto or HOST:6379; if null, RAY_ADDRESS, else this machine",
    )
    replicas: int = Field(default=1, ge=1, description="number of replicas of the model")
    gpus: int = Field(default=1, ge=0, description="GPUs per replica (tensor parallel); 0 for a CPU build")
    batch: int = Field(default=16, ge=1, description="number of requests that are sent and journalled together")
    stage: str | None = Field(
        default=None, description="the stage that answers, as module:Class; if null, vLLM (for the solver, itself)"
    )
    vllm: dict[str, Any] = Field(default_factory=dict, description="engine arguments of vLLM, such as max_model_len")
    runtime_env: dict[str, Any] = Field(
        default_factory=dict, description="Ray runtime environment of the replicas: py_executable, env_vars, ..."
    )


class LabConfig(BaseModel):
    """Who may use the lab."""

    model_config = ConfigDict(extra="forbid")

    shared: bool = Field(
        default=False, description="whether the group of the folder may read and write what is created from now on"
    )


class Config(BaseModel):
    """The content of o1lab.toml."""

    model_config = ConfigDict(extra="forbid")

    name: str = "lab"
    base: str = Field(default="smollm2-135m", description="the default base model of forms")
    lab: LabConfig = Field(default_factory=LabConfig)
    endpoints: list[Endpoint] = Field(default_factory=list)
    serve: ServeConfig = Field(default_factory=ServeConfig)
    chat: ChatConfig = Field(default_factory=ChatConfig)
    cluster: ClusterConfig = Field(default_factory=ClusterConfig)
    marks: list[OwnMarks] = Field(default_factory=list, description="think marks beside the built-in ones")
    benchmarks: list[str] = Field(
        default=list(BENCHMARKS), description="test sources: problems similar to them are excluded from training"
    )

    def endpoint(self, name: str) -> Endpoint | None:
        return next((e for e in self.endpoints if e.name == name), None)


def load_config(lab: Lab) -> Config:
    """Read o1lab.toml.

    Raises:
        LabError: it cannot be read, is not TOML, or has an unknown or invalid key.
    """
    try:
        data = read_toml(lab.config)
    except UnreadableError as error:
        raise LabError(error.message, error.hint, code="config") from error
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise LabError(
            f"{lab.config}: {where}: {first['msg']}.", "Correct or remove that key.", code="config"
        ) from error


def init_lab(root: Path, *, name: str | None = None, base: str | None = None) -> Lab:
    """Create a lab folder with an o1lab.toml; an existing lab is not changed.

    Args:
        root: the folder.
        name: the name of the lab; that of the folder if None.
        base: the default base model; that of :class:`Config` if None.

    Raises:
        LabError: the folder cannot be created or written.
    """
    lab = Lab(root.expanduser().absolute())
    protect_files(lab.config)
    try:
        lab.root.mkdir(parents=True, exist_ok=True)
        if not lab.config.exists():
            write_text(lab.config, _first_config(name or lab.root.name, base))
    except OSError as error:
        raise LabError(
            f"Cannot create a lab at {lab.root}: {error.strerror}.", "Choose a folder you can write to."
        ) from error
    return lab


def _first_config(name: str, base: str | None) -> str:
    """Return the text of a new o1lab.toml. A JSON string is also a TOML string."""
    example = "\n".join(f"# {line}".rstrip() for line in EXAMPLE.strip().splitlines())
    lines = ["# An o1lab lab. Keys are never stored here: name the environment variable that holds one."]
    lines.append(f"name = {json.dumps(name, ensure_ascii=False)}")
    if base:
        lines.append(f"base = {json.dumps(base, ensure_ascii=False)}")
    return "\n".join([*lines, "", example, ""])


EXAMPLE = """
[[endpoints]]
name = "o1"
url = "https://api.openai.com/v1"
model = "o1"
key_env = "OPENAI_API_KEY"
role = "teacher"
hidden_thoughts = true
input_usd = 15.0
output_usd = 60.0

# Think marks of a model, in addition to the built-in ones.
[[marks]]
name = "mine"
thought = ["<ponder>", "</ponder>"]
solution = ["<reply>", "</reply>"]
"""
