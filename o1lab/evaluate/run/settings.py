"""The settings of an evaluation: everything that decides its figures, stored in full in its folder."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from o1lab.distill.settings import TeacherRunSettings
from o1lab.settings import NONE, Display

_OF_SUITE = "the suite's"
_TO_SERVER = "leave it to the server"
_OF_LAB = "as in o1lab.toml"


class EvaluationSettings(BaseModel):
    """The settings of one evaluation; the resolved form, the suite's defaults included, is what is stored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    suite: Annotated[str, Display("Suite and model", argument=True)] = Field(
        description="Suite to evaluate on: a name (`o1lab eval suites` lists them) or the path of a suite file."
    )
    model: Annotated[str, Display(options=("--model", "-m"))] = Field(
        description="Model to evaluate: an endpoint of o1lab.toml, a base, a checkpoint RUN/STEP or solver (no key, "
        "sums only)."
    )
    judge: Annotated[str | None, Display(empty=NONE)] = Field(
        default=None, description="Model that judges the responses, for suites whose scorer asks one."
    )
    items_file: Annotated[str | None, Display(empty="the suite's own", options=("--items",), metavar="FILE")] = Field(
        default=None, description="Take the items from this file; its columns must be those the suite names."
    )
    limit: Annotated[int | None, Display(empty="all")] = Field(
        default=None, ge=1, description="Maximum number of items, the first ones; groups of variants stay whole."
    )

    samples: Annotated[int, Display("Sampling", default=_OF_SUITE)] = Field(
        default=1, ge=1, description="Samples per item, each with its own seed; maj@k and pass@k need several."
    )
    temperature: Annotated[float | None, Display(default=_OF_SUITE, none=_TO_SERVER)] = Field(
        default=0.0, ge=0, description="Sampling temperature; 0 gives the most likely response."
    )
    top_p: Annotated[float | None, Display(default=_OF_SUITE, none=_TO_SERVER)] = Field(
        default=None, gt=0, le=1, description="Probability mass of nucleus sampling."
    )
    seed: Annotated[int | None, Display(default=_OF_SUITE, none=_TO_SERVER)] = Field(
        default=42, description="Seed of the first sample; sample k uses seed + k."
    )
    max_tokens: Annotated[int, Display(default=_OF_SUITE)] = Field(
        default=4096,
        ge=1,
        description="Maximum length of a response in tokens, thought included; a longer one counts as incomplete.",
    )
    reasoning_effort: Annotated[str | None, Display(empty="not sent")] = Field(
        default=None, description="Reasoning effort, for models that accept one: low, medium or high."
    )
    force_answer: Annotated[int | None, Display(empty="never", metavar="N")] = Field(
        default=None, ge=1, description="Ask a truncated response for its final answer, in at most N more tokens."
    )

    budget_usd: Annotated[float | None, Display("Budgets", empty="no limit")] = Field(
        default=None, gt=0, description="Stop before more US dollars are spent; needs the prices in o1lab.toml."
    )
    budget_tokens: Annotated[int | None, Display(empty="no limit")] = Field(
        default=None, gt=0, description="Stop before more tokens are used, input and output together."
    )

    concurrency: Annotated[int, Display("Requests")] = Field(
        default=16, ge=1, description="Maximum number of requests at the same time."
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
    reuse: bool = Field(default=True, description="Reuse samples of earlier evaluations with the same settings.")

    def doubt(self) -> str:
        """A warning about settings that rarely make sense together; empty where there is none."""
        if self.samples > 1 and self.temperature == 0:
            return (
                f"At temperature 0 the {self.samples} samples of an item hardly differ; "
                "pass@k and maj@k need a temperature such as --temperature 0.6."
            )
        return ""

    def asking(self) -> TeacherRunSettings:
        """The same for the client that asks."""
        return TeacherRunSettings(
            endpoint=self.model,
            n=self.samples,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            max_tokens=self.max_tokens,
            reasoning_effort=self.reasoning_effort,
            concurrency=self.concurrency,
            requests_per_minute=self.requests_per_minute,
            tokens_per_minute=self.tokens_per_minute,
            attempts=self.attempts,
            silence_timeout_s=self.silence_timeout_s,
            budget_usd=self.budget_usd,
            budget_tokens=self.budget_tokens,
        )
