"""The settings of a teacher run: everything that decides its result, stored in full in its folder."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from o1lab.inference.settings import Engine, RequestSettings, StreamMode


def method_names() -> tuple[str, ...]:
    """The distillation methods that ``method`` takes, plugins included."""
    from o1lab.distill.methods.base import METHODS

    return METHODS.names()


def _known_method(name: str) -> str:
    if name not in (names := method_names()):
        raise ValueError(f"there is no method '{name}'; there are {', '.join(names)}")
    return name


MethodName = Annotated[str, AfterValidator(_known_method)]


class TeacherRunSettings(RequestSettings):
    """The settings of one run; the resolved form, defaults included, is what is stored."""

    method: MethodName = "sample"
    endpoint: str = Field(description="a model of the lab: an endpoint of o1lab.toml, `solver`, a run's checkpoint")
    critic: str | None = Field(default=None, description="debate: who criticises; the endpoint itself when null")
    prompt: str = Field(default="", description="a prompt's name, or name@version; each method has its own default")
    problems: str = Field(default="excluded:no has:answer", description="which problems, in the pool's filter language")
    traces: str = Field(default="", description="translate: which traces, in the traces' filter language")
    limit: int | None = Field(default=None, ge=1, description="at most so many items")
    n: int = Field(default=1, ge=1, description="samples an item")
    language: Literal["zh", "en"] = Field(default="zh", description="translate: into which language")
    rounds: int = Field(default=6, ge=1, description="debate: at most so many steps of the policy")

    engine: Engine = "local"
    stream: StreamMode = Field(
        default="auto", description="auto streams where max_tokens is over 4,096: streaming costs CPU"
    )
