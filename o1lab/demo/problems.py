"""The demo's problems: sums of two 3-digit numbers, 400 to learn from and 60 held out, the same every time."""

from __future__ import annotations

import random
from typing import NamedTuple

SEED = 20241125  # the day the paper appeared
TRAINING = 400
HELD_OUT = 60
EXAMPLE = (964, 494)  # what the Compare screen starts with: never trained on, never counted


class Sum(NamedTuple):
    """One problem."""

    a: int
    b: int

    @property
    def statement(self) -> str:
        return f"What is {self.a} + {self.b}?"

    @property
    def answer(self) -> str:
        return str(self.a + self.b)

    @property
    def pair(self) -> tuple[int, int]:
        """The operands without their order: 123 + 456 and 456 + 123 are one pair."""
        return min(self), max(self)


def draw() -> tuple[list[Sum], list[Sum]]:
    """The training problems and the held-out ones; no pair of operands occurs twice, in either order."""
    generator = random.Random(SEED)  # noqa: S311 - a fixed draw, no secret
    seen = {Sum(*EXAMPLE).pair}
    drawn: list[Sum] = []
    while len(drawn) < TRAINING + HELD_OUT:
        one = Sum(generator.randint(100, 999), generator.randint(100, 999))
        if one.pair not in seen:
            seen.add(one.pair)
            drawn.append(one)
    training, held_out = drawn[:TRAINING], drawn[TRAINING:]
    require_disjoint(training, held_out)
    return training, held_out


def require_disjoint(training: list[Sum], held_out: list[Sum]) -> None:
    """See that no held-out pair of operands is among the training pairs, in either order.

    Raises:
        AssertionError: one is. A figure measured on it would mean nothing, so nothing goes on.
    """
    shared = {one.pair for one in training} & {one.pair for one in held_out}
    if shared:
        raise AssertionError(f"held-out operands are among the training problems: {sorted(shared)[:3]}")
