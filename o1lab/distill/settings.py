"""The settings of a teacher run: everything that affects its results, stored in full in its directory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from o1lab.chains.trees.walk import TreeRules
from o1lab.distill.engines import ENGINES
from o1lab.distill.method import METHODS, Method
from o1lab.inference.calls import Role
from o1lab.inference.settings import Engine, RequestSettings, StreamMode
from o1lab.settings import Display


def method_names() -> tuple[str, ...]:
    """Return the names that ``method`` accepts, plugins included."""
    return METHODS.names()


def engine_names() -> tuple[str, ...]:
    """Return the names that ``engine`` accepts, plugins included."""
    return ENGINES.names()


def _known(noun: str, names: Callable[[], tuple[str, ...]]) -> AfterValidator:
    """Return a validator that accepts registered names only."""

    def check(name: str) -> str:
        if name not in names():
            raise ValueError(f"there is no {noun} '{name}'; there are {', '.join(names())}")
        return name

    return AfterValidator(check)


MethodName = Annotated[str, _known("method", method_names)]
EngineName = Annotated[Engine, _known("engine", engine_names)]


def _method(values: Mapping[str, object]) -> type[Method] | None:
    return METHODS.find(str(values.get("method")))


def _calls(role: Role) -> Callable[[Mapping[str, object]], bool]:
    """Return a function that says whether the method calls a model of this role."""
    return lambda values: (method := _method(values)) is not None and role in method.roles


def _asks_traces(values: Mapping[str, object]) -> bool:
    return (method := _method(values)) is not None and method.source == "traces"


def _asks_problems(values: Mapping[str, object]) -> bool:
    return not _asks_traces(values)


def _uses(name: str) -> Callable[[Mapping[str, object]], bool]:
    """Return a function that says whether the method reads this setting."""
    return lambda values: (method := _method(values)) is not None and name in method.uses


class TeacherRunSettings(RequestSettings, TreeRules):
    """The settings of one run; they are stored in full, defaults included."""

    method: Annotated[MethodName, Display("Method and teacher", choices=method_names)] = Field(
        default="sample",
        description="sample asks for long thoughts, reformat for short solutions in steps, translate translates "
        "traces, rescue lets the teacher finish what a student cannot, rescue-traces what wrong traces began, debate "
        "adds a critic, tree_search writes the reflections of walks through search trees, replay keeps a base's own "
        "answers, judge-steps marks the first wrong step of traces.",
    )
    endpoint: Annotated[str, Display(options=("--endpoint", "-e"), names=("endpoint",))] = Field(
        description="Teacher: an endpoint of o1lab.toml, solver (no key, sums only) or a checkpoint RUN/STEP."
    )
    student: Annotated[
        str | None,
        Display(empty="none", metavar="RUN", when=_calls("student"), names=("checkpoint", "base", "endpoint")),
    ] = Field(default=None, description="Student to rescue: a run (its last checkpoint), RUN/STEP or another model.")
    critic: Annotated[str | None, Display(empty="the teacher itself", when=_calls("critic"), names=("endpoint",))] = (
        Field(default=None, description="Model that criticises in a debate.")
    )
    rounds: Annotated[int, Display(when=_uses("rounds"))] = Field(
        default=6, ge=1, description="Maximum number of steps in a debate."
    )
    language: Annotated[Literal["zh", "en"], Display(when=_uses("language"))] = Field(
        default="zh", description="Language to translate traces into."
    )
    prompt: Annotated[str, Display(empty="the method's own", names=("prompt",))] = Field(
        default="", description="Prompt, NAME or NAME@VERSION; `o1lab distill prompts` lists them."
    )

    problems: Annotated[str, Display("Problems", empty="every problem", when=_asks_problems)] = Field(
        default="excluded:no has:answer", description="Problems to ask, in the filter language of the problem pool."
    )
    traces: Annotated[str, Display(empty="every trace", when=_asks_traces)] = Field(
        default="", description="Traces to translate, rescue or judge, in the filter language of the Traces screen."
    )
    limit: Annotated[int | None, Display(empty="all")] = Field(
        default=None, ge=1, description="Maximum number of problems, traces or trees."
    )
    n: int = Field(default=1, ge=1, description="Samples per problem, each with its own seed.")

    engine: Annotated[EngineName, Display("Requests", choices=engine_names)] = Field(
        default="local",
        description="local asks from this machine now, batch uses the OpenAI Batch API (cheaper, later), ray runs "
        "vLLM on the [cluster] of o1lab.toml.",
    )
    stream: StreamMode = Field(
        default="auto",
        description="Whether responses are streamed; auto streams when max_tokens exceeds 4,096, as streaming costs "
        "CPU time.",
    )
