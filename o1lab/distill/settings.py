"""How a teacher run asks: everything that decides what comes out, written out in full in its folder."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Engine = Literal["local", "batch", "ray"]


def method_names() -> tuple[str, ...]:
    """The distillation methods that ``method`` takes, plugins included."""
    from o1lab.distill.methods.base import METHODS

    return METHODS.names()


def _known_method(name: str) -> str:
    if name not in (names := method_names()):
        raise ValueError(f"there is no method '{name}'; there are {', '.join(names)}")
    return name


MethodName = Annotated[str, AfterValidator(_known_method)]


class TeacherRunSettings(BaseModel):
    """The settings of one run; the resolved form, defaults included, is what is stored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: MethodName = "sample"
    endpoint: str = Field(description="a model of the lab: an endpoint of o1lab.toml, `solver`, a run's checkpoint")
    critic: str | None = Field(default=None, description="debate: who criticises; the endpoint itself when null")
    prompt: str = Field(default="", description="a prompt's name, or name@version; each method has its own default")
    problems: str = Field(default="excluded:no has:answer", description="which problems, in the pool's filter language")
    traces: str = Field(default="", description="translate: which traces, in the traces' filter language")
    limit: int | None = Field(default=None, ge=1, description="at most so many items")
    n: int = Field(default=1, ge=1, description="samples an item")
    temperature: float | None = Field(default=0.6, ge=0, description="null leaves it to the server")
    top_p: float | None = Field(default=0.95, gt=0, le=1)
    seed: int | None = Field(default=42, description="sample k is asked with seed + k")
    max_tokens: int = Field(default=8192, ge=1)
    reasoning_effort: str | None = None
    language: Literal["zh", "en"] = Field(default="zh", description="translate: into which language")
    rounds: int = Field(default=6, ge=1, description="debate: at most so many steps of the policy")

    engine: Engine = "local"
    stream: Literal["auto", "always", "never"] = Field(
        default="auto", description="auto streams where max_tokens is over 4,096: streaming costs CPU"
    )
    concurrency: int = Field(default=16, ge=1)
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    attempts: int = Field(default=5, ge=1, description="times one call is tried within a run")
    silence_timeout_s: float = Field(default=600, gt=0, description="how long a server may say nothing")
    budget_usd: float | None = Field(default=None, gt=0)
    budget_tokens: int | None = Field(default=None, gt=0, description="input and output together")
