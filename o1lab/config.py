"""o1lab.toml: what a person decides once for a lab. Keys are never in it, only the names that hold them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from o1lab.errors import LabError
from o1lab.files import write_text
from o1lab.paths import Lab


class Endpoint(BaseModel):
    """An OpenAI-compatible URL, a model's name there, and the variable that holds its key."""

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
        default=None, ge=0, le=1, description="what its Batch API takes off the price: 0.5 is half; none known if null"
    )
    hidden_thoughts: bool = Field(default=False, description="it thinks and does not show it, like o1")
    terms: str | None = Field(default=None, description="where its terms of use stand; goes into dataset cards")
    licence: str | None = Field(default=None, description="the licence of what it writes, as its terms have it")


class ServeConfig(BaseModel):
    """How models are served from this machine."""

    model_config = ConfigDict(extra="forbid")

    vllm: str | None = Field(default=None, description="the vllm program, or the python, of its own environment")
    trust_remote_code: list[str] = Field(default_factory=list, description="models allowed to bring code")


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
        description="a Ray cluster: auto, or HOST:6379; else RAY_ADDRESS, else this machine",
    )
    replicas: int = Field(default=1, ge=1, description="copies of the model")
    gpus: int = Field(default=1, ge=0, description="GPUs a copy, which share it (tensor parallel); 0 for a CPU build")
    batch: int = Field(default=16, ge=1, description="requests that travel, and are journalled, together")
    stage: str | None = Field(
        default=None, description="what answers, as module:Class; vLLM, or the solver for itself, if null"
    )
    vllm: dict[str, Any] = Field(default_factory=dict, description="vLLM's engine arguments, like max_model_len")
    runtime_env: dict[str, Any] = Field(
        default_factory=dict, description="Ray's runtime environment of the copies: py_executable, env_vars, ..."
    )


class Config(BaseModel):
    """The whole of o1lab.toml."""

    model_config = ConfigDict(extra="forbid")

    name: str = "lab"
    base: str = Field(default="smollm2-135m", description="the base model that forms start with")
    endpoints: list[Endpoint] = Field(default_factory=list)
    serve: ServeConfig = Field(default_factory=ServeConfig)
    cluster: ClusterConfig = Field(default_factory=ClusterConfig)
    benchmarks: list[str] = Field(
        default=list(BENCHMARKS), description="sources that students are tested on: nothing near them may be trained on"
    )

    def endpoint(self, name: str) -> Endpoint | None:
        return next((e for e in self.endpoints if e.name == name), None)


def load_config(lab: Lab) -> Config:
    """Read o1lab.toml.

    Raises:
        LabError: it cannot be read, is not TOML, or holds a key that means nothing.
    """
    try:
        data = tomllib.loads(lab.config.read_text("utf-8"))
    except OSError as error:
        raise LabError(f"Cannot read {lab.config}: {error.strerror}.", code="config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LabError(f"{lab.config} is not valid TOML: {error}.", "Correct that line.", code="config") from error
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise LabError(
            f"{lab.config}: {where}: {first['msg']}.", "Correct or remove that key.", code="config"
        ) from error


def init_lab(root: Path, *, name: str | None = None, base: str | None = None) -> Lab:
    """Make a lab folder with its o1lab.toml; an existing lab is left as it is.

    Raises:
        LabError: the folder cannot be made or written.
    """
    lab = Lab(root.expanduser().absolute())
    try:
        lab.root.mkdir(parents=True, exist_ok=True)
        if not lab.config.exists():
            write_text(lab.config, _first_config(name or lab.root.name, base))
    except OSError as error:
        raise LabError(
            f"Cannot make a lab at {lab.root}: {error.strerror}.", "Choose a folder you can write to."
        ) from error
    return lab


def _first_config(name: str, base: str | None) -> str:
    """The text of a new o1lab.toml. A JSON string is a TOML string too."""
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
"""
