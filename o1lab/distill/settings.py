"""The settings of a teacher run: everything that decides what comes out, stored in full in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from o1lab.settings import Display

MethodName = Literal["sample", "reformat", "translate", "debate"]
Engine = Literal["local", "batch", "ray"]
_TO_SERVER = "leave it to the server"
_OF_LAB = "as in o1lab.toml"


def _debates(values: Mapping[str, object]) -> bool:
    return values.get("method") == "debate"


def _translates(values: Mapping[str, object]) -> bool:
    return values.get("method") == "translate"


def _asks_problems(values: Mapping[str, object]) -> bool:
    return not _translates(values)


class TeacherRunSettings(BaseModel):
    """The settings of one run; the resolved form, defaults included, is what is stored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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

    temperature: Annotated[float | None, Display("Sampling", none=_TO_SERVER)] = Field(
        default=0.6, ge=0, description="Sampling temperature; 0 gives the most likely response."
    )
    top_p: Annotated[float | None, Display(none=_TO_SERVER)] = Field(
        default=0.95, gt=0, le=1, description="Probability mass of nucleus sampling."
    )
    seed: Annotated[int | None, Display(none=_TO_SERVER)] = Field(
        default=42, description="Seed of the first sample; sample k uses seed + k."
    )
    max_tokens: int = Field(
        default=8192,
        ge=1,
        description="Maximum length of a response in tokens, thought included; long thoughts need 8k to 32k.",
    )
    reasoning_effort: Annotated[str | None, Display(empty="not sent")] = Field(
        default=None, description="Reasoning effort, for models that accept one: low, medium or high."
    )

    budget_usd: Annotated[float | None, Display("Budgets", empty="no limit")] = Field(
        default=None, gt=0, description="Stop before more US dollars are spent; needs the prices in o1lab.toml."
    )
    budget_tokens: Annotated[int | None, Display(empty="no limit")] = Field(
        default=None, gt=0, description="Stop before more tokens are used, input and output together."
    )

    engine: Annotated[Engine, Display("Requests")] = Field(
        default="local",
        description="local asks from this machine now, batch uses the OpenAI Batch API (cheaper, later), ray runs "
        "vLLM on the [cluster] of o1lab.toml.",
    )
    concurrency: int = Field(default=16, ge=1, description="Maximum number of requests at the same time.")
    stream: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Whether responses are streamed; auto streams when max_tokens exceeds 4,096, as streaming costs "
        "CPU time.",
    )
    requests_per_minute: Annotated[int | None, Display(empty=_OF_LAB)] = Field(
        default=None, ge=1, description="Maximum number of requests per minute."
    )
    tokens_per_minute: Annotated[int | None, Display(empty=_OF_LAB)] = Field(
        default=None, ge=1, description="Maximum number of tokens per minute."
    )
    attempts: int = Field(default=5, ge=1, description="Attempts at one request before its sample counts as failed.")
    silence_timeout_s: Annotated[float, Display(options=("--silence-timeout",), metavar="SECONDS")] = Field(
        default=600, gt=0, description="Seconds that a server may stay silent before the request is tried again."
    )
