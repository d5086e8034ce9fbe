"""The settings of an evaluation: everything that decides its figures, stored in full in its folder."""

from __future__ import annotations

from pydantic import Field

from o1lab.inference.settings import RequestSettings


class EvaluationSettings(RequestSettings):
    """The settings of one evaluation; the resolved form, the suite's defaults included, is what is stored."""

    suite: str = Field(description="a suite's name, or the path of its file")
    model: str = Field(
        description="a model of the lab: an endpoint of o1lab.toml, a base, `solver`, a run's checkpoint"
    )
    items_file: str | None = Field(default=None, description="take the items from this file")
    limit: int | None = Field(default=None, ge=1, description="the first so many items")
    samples: int = Field(default=1, ge=1, description="samples an item")
    temperature: float | None = Field(default=0.0, ge=0, description="null leaves it to the server")
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int = Field(default=4096, ge=1)
    force_answer: int | None = Field(
        default=None, ge=1, description="a response that was cut off is asked for its final answer in so many tokens"
    )
    judge: str | None = Field(default=None, description="the model that judges, where the scorer is a judge")
    reuse: bool = Field(default=True, description="take what earlier evaluations asked in just the same way")

    def doubt(self) -> str:
        """What a person should know of these settings before anything is paid; mostly nothing."""
        if self.samples > 1 and self.temperature == 0:
            return (
                f"At temperature 0 the {self.samples} samples of an item hardly differ: "
                "pass@k and maj@k want --temperature 0.6 or so."
            )
        return ""
