"""The settings of a teacher run: everything that decides what comes out, stored in full in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from o1lab.inference.settings import Engine, RequestSettings, StreamMode
from o1lab.settings import Display

MethodName = Literal["sample", "reformat", "translate", "debate"]


def _debates(values: Mapping[str, object]) -> bool:
    return values.get("method") == "debate"


def _translates(values: Mapping[str, object]) -> bool:
    return values.get("method") == "translate"


def _asks_problems(values: Mapping[str, object]) -> bool:
    return not _translates(values)


class TeacherRunSettings(RequestSettings):
    """The settings of one run; the resolved form, defaults included, is what is stored."""

    method: Annotated[MethodName, Display("Method and teacher")] = Field(
        default="sample",
        description="sample asks for long thoughts, reformat for short solutions in steps, translate translates "
        "traces, debate adds a critic.",
    )
    endpoint: Annotated[str, Display(options=("--endpoint", "-e"))] = Field(
        description="Teacher: an endpoint of o1lab.toml, solver (no key, sums only) or a checkpoint RUN/STEP."
    )
    critic: Annotated[str | None, Display(empty="the teacher itself", when=_debates)] = Field(
        default=None, description="Model that criticises in a debate."
    )
    rounds: Annotated[int, Display(when=_debates)] = Field(
        default=6, ge=1, description="Maximum number of steps in a debate."
    )
    language: Annotated[Literal["zh", "en"], Display(when=_translates)] = Field(
        default="zh", description="Language to translate traces into."
    )
    prompt: Annotated[str, Display(empty="the method's own")] = Field(
        default="", description="Prompt, NAME or NAME@VERSION; `o1lab distill prompts` lists them."
    )

    problems: Annotated[str, Display("Problems", empty="every problem", when=_asks_problems)] = Field(
        default="excluded:no has:answer", description="Problems to ask, in the filter language of the problem pool."
    )
    traces: Annotated[str, Display(empty="every trace", when=_translates)] = Field(
        default="", description="Traces to translate, in the filter language of the Traces screen."
    )
    limit: Annotated[int | None, Display(empty="all")] = Field(
        default=None, ge=1, description="Maximum number of problems or traces."
    )
    n: int = Field(default=1, ge=1, description="Samples per problem, each with its own seed.")

    engine: Annotated[Engine, Display("Requests")] = Field(
        default="local",
        description="local asks from this machine now, batch uses the OpenAI Batch API (cheaper, later), ray runs "
        "vLLM on the [cluster] of o1lab.toml.",
    )
    stream: StreamMode = Field(
        default="auto",
        description="Whether responses are streamed; auto streams when max_tokens exceeds 4,096, as streaming costs "
        "CPU time.",
    )
