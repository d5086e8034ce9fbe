"""How an evaluation asks: everything that decides its figures, written out in full in its folder."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from o1lab.distill.settings import TeacherRunSettings


class EvaluationSettings(BaseModel):
    """The settings of one evaluation; the resolved form, the suite's defaults included, is what is stored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    suite: str = Field(description="a suite's name, or the path of its file")
    model: str = Field(
        description="a model of the lab: an endpoint of o1lab.toml, a base, `solver`, a run's checkpoint"
    )
    items_file: str | None = Field(default=None, description="take the items from this file")
    limit: int | None = Field(default=None, ge=1, description="the first so many items")
    samples: int = Field(default=1, ge=1, description="samples an item")
    temperature: float | None = Field(default=0.0, ge=0, description="null leaves it to the server")
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = Field(default=42, description="sample k is asked with seed + k")
    max_tokens: int = Field(default=4096, ge=1)
    reasoning_effort: str | None = None
    force_answer: int | None = Field(
        default=None, ge=1, description="a response that was cut off is asked for its final answer in so many tokens"
    )
    judge: str | None = Field(default=None, description="the model that judges, where the scorer is a judge")
    reuse: bool = Field(default=True, description="take what earlier evaluations asked in just the same way")

    concurrency: int = Field(default=16, ge=1)
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    attempts: int = Field(default=5, ge=1, description="times one call is tried within a run")
    silence_timeout_s: float = Field(default=600, gt=0, description="how long a server may say nothing")
    budget_usd: float | None = Field(default=None, gt=0)
    budget_tokens: int | None = Field(default=None, gt=0, description="input and output together")

    def doubt(self) -> str:
        """What a person should know of these settings before anything is paid; mostly nothing."""
        if self.samples > 1 and self.temperature == 0:
            return (
                f"At temperature 0 the {self.samples} samples of an item hardly differ: "
                "pass@k and maj@k want --temperature 0.6 or so."
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
