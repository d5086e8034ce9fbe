"""A question that the student is asked during training."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

ARROW = "=>"


class Probe(BaseModel):
    """A question that the student is asked during training; written as ``question => answer`` in text."""

    model_config = ConfigDict(extra="forbid")

    prompt: str = Field(min_length=1, description="The question.")
    gold: str | None = Field(default=None, description="The right answer, to verify the student's.")

    @model_validator(mode="before")
    @classmethod
    def _from_line(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        prompt, arrow, gold = value.rpartition(ARROW)
        return {
            "prompt": (prompt if arrow else value).strip().replace("\\n", "\n"),
            "gold": (gold.strip() or None) if arrow else None,
        }

    def __str__(self) -> str:
        return self.prompt.replace("\n", "\\n") + (f" {ARROW} {self.gold}" if self.gold else "")
