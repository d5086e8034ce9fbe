"""The parts of preflight's report on batches and on what fits. Does not import torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from o1lab.format import byte_size


class Batches(BaseModel):
    """How rows share batches: padded over real tokens in random batches and in those of rows of similar length.

    ``used`` says which of them the run has. ``packed_rows`` is the number of rows after packing, of up to
    ``packed_tokens`` tokens.
    """

    used: Literal["random", "grouped", "packed"] = "random"
    random: float = 1.0
    grouped: float = 1.0
    packed_rows: int = 0
    packed_tokens: int = 0

    def words(self, rows: int) -> str:
        """Return them as a phrase, of ``rows`` training rows; empty where nothing is padded."""
        if self.used == "packed":
            return f"{rows:,} rows in {self.packed_rows:,} packed rows of up to {self.packed_tokens:,} tokens"
        if self.random < 1.005:
            return ""
        used = {name: " (used)" if name == self.used else "" for name in ("random", "grouped")}
        return (
            f"padded over real tokens {self.random:.2f} in random batches{used['random']},"
            f" {self.grouped:.2f} in batches of similar length{used['grouped']}"
        )


class Plan(BaseModel):
    """Settings that change the recipe, what they need for rows of ``tokens`` tokens, and whether that fits."""

    name: str
    settings: dict[str, Any] = Field(default_factory=dict)
    tokens: int = 0
    memory_bytes: int = 0
    fits: bool = False


def plan_lines(plans: Sequence[Plan], available: int) -> list[str]:
    """Return a line for each plan: what it needs of the ``available`` bytes, and whether it fits."""
    width = max((len(one.name) for one in plans), default=0)
    total = byte_size(available)
    return [
        f"{'fits' if one.fits else '-':5}{one.name:{width}}  {byte_size(one.memory_bytes)} of {total}" for one in plans
    ]
