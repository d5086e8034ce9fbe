"""The settings of an evaluation: everything that affects its figures, stored in full in its directory."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from o1lab.evaluate.run.budget_forcing import Forcing
from o1lab.inference.settings import TO_SERVER, RequestSettings
from o1lab.settings import NONE, Display

_OF_SUITE = "the suite's"


class EvaluationSettings(RequestSettings):
    """The settings of one evaluation; they are stored in full, the suite's defaults included."""

    suite: Annotated[str, Display("Suite and model", argument=True, names=("suite",))] = Field(
        description="Suite to evaluate on: a name (`o1lab eval suites` lists them) or the path of a suite file."
    )
    model: Annotated[str, Display(options=("--model", "-m"), names=("endpoint", "base", "checkpoint"))] = Field(
        description="Model to evaluate: an endpoint of o1lab.toml, a base, a checkpoint RUN/STEP or solver (no key, "
        "sums only)."
    )
    system: Annotated[str | None, Display(empty="the suite's, else that of the student's run", verbatim=True)] = Field(
        default=None, description="System message of every item; an empty one sends none."
    )
    judge: Annotated[str | None, Display(empty=NONE, names=("endpoint",))] = Field(
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
    temperature: Annotated[float | None, Display(default=_OF_SUITE, none=TO_SERVER)] = Field(default=0.0, ge=0)
    top_p: Annotated[float | None, Display(default=_OF_SUITE, none=TO_SERVER)] = Field(default=None, gt=0, le=1)
    seed: Annotated[int | None, Display(default=_OF_SUITE, none=TO_SERVER)] = 42
    max_tokens: Annotated[int, Display(default=_OF_SUITE)] = Field(
        default=4096,
        ge=1,
        description="Maximum length of a response in tokens, thought included; a longer one counts as incomplete.",
    )
    force_answer: Annotated[int | None, Display(empty="never", metavar="N")] = Field(
        default=None, ge=1, description="Ask a truncated response for its final answer, in at most N more tokens."
    )
    budget_forcing: Annotated[int, Display(default=_OF_SUITE, metavar="N")] = Field(
        default=0, ge=0, description="When a thought ends, continue it with the word of --wait, up to N times."
    )
    wait: Annotated[str, Display(default=_OF_SUITE, verbatim=True)] = Field(
        default="Wait", min_length=1, description="Word that is appended to continue a thought."
    )
    max_thought_tokens: Annotated[int | None, Display(empty="never", default=_OF_SUITE, metavar="N")] = Field(
        default=None, ge=1, description="Close a thought after N tokens, so that the model has to answer."
    )
    reuse: bool = Field(default=True, description="Reuse samples of earlier evaluations with the same settings.")

    @property
    def forcing(self) -> Forcing | None:
        """How thoughts are made longer or shorter; None if they are not."""
        if not self.budget_forcing and self.max_thought_tokens is None:
            return None
        return Forcing(self.budget_forcing, self.wait, self.max_thought_tokens, self.max_tokens)

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.max_thought_tokens is not None and self.max_thought_tokens >= self.max_tokens:
            raise ValueError("max_thought_tokens leaves no room for the answer: it must be below max_tokens")
        return self

    def doubt(self) -> str:
        """Return a warning about settings that rarely make sense together, or an empty text."""
        if self.samples > 1 and self.temperature == 0:
            return (
                f"At temperature 0 the {self.samples} samples of an item are nearly equal; "
                "pass@k and maj@k need a temperature such as --temperature 0.6."
            )
        return ""
