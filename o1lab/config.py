"""o1lab.toml, the settings of a lab. API keys are not stored in it, only the names of the variables that hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from o1lab.errors import LabError
from o1lab.files import protect_files, write_text
from o1lab.paths import Lab
from o1lab.small_files import UnreadableError, first_fault, read_toml
from store.policy import POLICIES

_Mark = Annotated[str, Field(min_length=2)]


Option = Literal[
    "temperature", "top_p", "seed", "reasoning_effort", "stop", "stream_options", "max_tokens", "system"
]  # fmt: skip


class _Section(BaseModel):
    """A table of o1lab.toml; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")


class Endpoint(_Section):
    """A model on an OpenAI-compatible server, and the environment variable of its key."""

    name: str = Field(description="the name that commands use")
    url: str = Field(description="the base URL of the server, such as https://api.openai.com/v1")
    model: str = Field(description="the name of the model at the server")
    key_env: str | None = Field(
        default=None, description="the environment variable with the key; null if none is needed"
    )
    role: Literal["teacher", "student", "base", "judge", "other"] = Field(
        default="other", description="shown before its name in lists of models"
    )
    context: int | None = Field(default=None, description="longest prompt plus answer, in tokens")
    input_usd: float | None = Field(default=None, ge=0, description="price of a million input tokens")
    output_usd: float | None = Field(default=None, ge=0, description="price of a million output tokens")
    requests_per_minute: int | None = Field(default=None, ge=1, description="its limit; null if it has none")
    tokens_per_minute: int | None = Field(default=None, ge=1, description="its limit; null if it has none")
    batch_discount: float | None = Field(
        default=None, ge=0, le=1, description="discount of its Batch API: 0.5 is half the price; null if unknown"
    )
    first_token_timeout_s: float | None = Field(
        default=None, gt=0, description="seconds that it may stay silent before the first token of a streamed response"
    )
    hidden_thoughts: bool = Field(default=False, description="whether it hides its thoughts, like o1")
    omit: list[Option] = Field(
        default_factory=list,
        description="what requests leave out: temperature, top_p, seed, reasoning_effort, stop, stream_options, "
        "max_tokens, or system, which puts the system message before the first user message",
    )
    terms: str | None = Field(default=None, description="URL of its terms of use, for dataset cards")
    licence: str | None = Field(default=None, description="licence of its outputs, according to its terms")
    publication: Literal["allowed", "forbidden"] | None = Field(
        default=None, description="whether its terms allow publishing its outputs and what is trained on them"
    )


class OwnMarks(_Section):
    """Marks that a model puts around its thought, in addition to the built-in ones (``o1lab/chains/marks.py``)."""

    name: str = Field(min_length=1, description="name of the format, shown with each trace")
    thought: tuple[_Mark, _Mark] = Field(description="marks before and after the thought")
    solution: tuple[_Mark, _Mark] | tuple[()] = Field(default=(), description="marks before and after the solution")


class ServeConfig(_Section):
    """How models are served on this machine."""

    vllm: str | None = Field(default=None, description="the vllm program, or the python of its environment")
    vllm_options: list[str] = Field(
        default_factory=list, description="options of vLLM, such as 'tensor-parallel-size=2' or 'max-model-len=16384'"
    )
    trust_remote_code: list[str] = Field(default_factory=list, description="models that may run their own code")


FIRST_TOKEN_S = 600
"""Seconds that a chat waits for the first token if neither the settings nor the endpoint say it."""


class ChatConfig(_Section):
    """How long a chat waits for a server; teacher runs and evaluations have their own settings."""

    first_token_timeout_s: float | None = Field(
        default=None,
        gt=0,
        description="seconds that a server may stay silent before the first token; if null, as the endpoint says, "
        f"else {FIRST_TOKEN_S}",
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


class ClusterConfig(_Section):
    """A Ray cluster, for ``o1lab distill --engine ray`` and ``o1lab train --on ray``."""

    address: str | None = Field(
        default=None,
        description="Ray cluster: auto or HOST:6379; if null, RAY_ADDRESS, else this machine",
    )
    dashboard: str | None = Field(
        default=None,
        description="address of its dashboard, which takes training jobs, such as http://HOST:8265; if null, "
        "RAY_API_SERVER_ADDRESS, else port 8265 of the host in address",
    )
    token_env: str = Field(
        default="RAY_AUTH_TOKEN",
        description="the environment variable with its token, whose name begins with RAY_; if it is not set, the file "
        "in RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token",
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

    @field_validator("token_env")
    @classmethod
    def _names_a_token_of_ray(cls, name: str) -> str:
        """Refuse other variables: their value is sent to the cluster, and o1lab.toml may be another person's."""
        if not name.startswith("RAY_"):
            raise PydanticCustomError(
                "token_env", "the name must begin with RAY_, because the value of the variable is sent to the cluster"
            )
        return name


class SlurmConfig(_Section):
    """The jobs of ``o1lab train --on slurm``."""

    partition: str | None = Field(default=None, description="partition; if null, the cluster's default")
    account: str | None = Field(default=None, description="account; if null, the user's default")
    time: str | None = Field(
        default=None, description="time limit, such as 12:00:00 or 2-00:00:00; if null, the partition's default"
    )
    gpus_per_node: int | None = Field(
        default=None, ge=0, description="GPUs on each node; if null, one per process; none for the device cpu"
    )
    cpus_per_node: int | None = Field(
        default=None, ge=1, description="CPU cores on each node; if null, the partition's default"
    )
    options: list[str] = Field(
        default_factory=list, description="more options of sbatch, such as '--mem=200G' or '--constraint=a100'"
    )
    python: str | None = Field(
        default=None, description="the python of o1lab on the nodes; if null, the one that submits the job"
    )
    signal_s: int = Field(
        default=120, ge=1, le=65_535, description="seconds before the time limit at which the run saves a checkpoint"
    )
    requeues: int = Field(
        default=20,
        ge=0,
        description="how often a run that was preempted or reached its time limit goes back into the queue",
    )


class HandConfig(_Section):
    """The nodes of ``o1lab train --on hand``."""

    hosts: list[str] = Field(
        default_factory=list,
        description="the address of the first node as the others see it, optionally with a port, and those of the "
        "others for people; if empty, this machine is the first",
    )


class LabConfig(_Section):
    """Who may use the lab."""

    shared: bool = Field(
        default=False, description="whether the group of the folder may read and write what is created from now on"
    )


class AnnotationsConfig(_Section):
    """Whose decisions count when several annotators decide on a trace."""

    policy: Literal["own", "majority", "adjudicated"] = Field(
        default="majority", description="; ".join(f"{name}: {about}" for name, about in POLICIES.items())
    )


EventName = Literal["finished", "failed", "dead", "budget", "spike"]
"""An event of a job that notifications and the hook report. A job that a person stopped has none.

finished
    The job has done all of its work.
failed
    An error ended it, or stopped it, such as a refused API key.
dead
    Its process ended without a final status, for example because it was killed.
budget
    It stopped because its budget in money or tokens is spent.
spike
    The loss of a training run jumped: it is more than half above the median of the last 30 logged losses, and more than
    eight median absolute deviations above it (``train/callbacks.spike``).
"""
EVENTS: tuple[EventName, ...] = get_args(EventName)


class NotifySettings(_Section):
    """Notifications of the events of jobs."""

    on: list[EventName] = Field(default=list(EVENTS), description="the events to report")
    bell: bool = Field(default=True, description="whether the app rings the bell of the terminal")
    desktop: list[Literal["osc9", "osc777"]] = Field(
        default=["osc9", "osc777"],
        description="escape sequences by which the app asks the terminal to show a notification",
    )
    hook: list[str] = Field(
        default_factory=list,
        description="a command and its arguments, called by jobs; it gets O1LAB_EVENT, O1LAB_RUN, O1LAB_STATE, "
        "O1LAB_CAUSE, O1LAB_KIND, O1LAB_NAME, O1LAB_DIR and O1LAB_LAB",
    )
    hook_timeout_s: float = Field(default=60, gt=0, description="seconds after which the hook is ended")


class Config(_Section):
    """The content of o1lab.toml."""

    name: str = Field(default="lab", description="a name for the lab, for people who read this file")
    base: str = Field(default="smollm2-135m", description="the default base model of forms")
    lab: LabConfig = Field(default_factory=LabConfig)
    endpoints: list[Endpoint] = Field(default_factory=list)
    serve: ServeConfig = Field(default_factory=ServeConfig)
    chat: ChatConfig = Field(default_factory=ChatConfig)
    cluster: ClusterConfig = Field(default_factory=ClusterConfig)
    slurm: SlurmConfig = Field(default_factory=SlurmConfig)
    hand: HandConfig = Field(default_factory=HandConfig)
    annotations: AnnotationsConfig = Field(default_factory=AnnotationsConfig)
    notify: NotifySettings = Field(default_factory=NotifySettings, description="notifications of the events of jobs")
    keys: dict[str, str] = Field(default_factory=dict, description="keys of actions; `o1lab keys` lists the actions")
    marks: list[OwnMarks] = Field(default_factory=list, description="think marks in addition to the built-in ones")
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
        raise LabError(f"{lab.config}: {first_fault(error)}.", "Correct or remove that key.", code="config") from error


def name_of(lab: Lab) -> str:
    """Return the name of a lab: the one in o1lab.toml, or that of its folder if the file cannot be read."""
    try:
        return load_config(lab).name
    except LabError:
        return lab.name


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

# Whose decisions count when several annotators decide: own, majority or adjudicated.
[annotations]
policy = "majority"

# Keys of actions; `o1lab keys` lists the actions.
[keys]
stop = "f12"

# Notify of jobs that finished, failed, died, spent their budget, or whose loss spiked.
[notify]
on = ["finished", "failed", "dead", "budget", "spike"]
hook = ["notify-send", "o1lab"]

# Jobs of `o1lab train --on slurm`.
[slurm]
partition = "gpu"
time = "12:00:00"
options = ["--mem=200G"]

# Think marks of a model, in addition to the built-in ones.
[[marks]]
name = "mine"
thought = ["<ponder>", "</ponder>"]
solution = ["<reply>", "</reply>"]
"""
