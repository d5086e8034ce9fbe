"""Which rows share a batch: rows of similar length, so that little of it is padding. Does not import torch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from store.batches import batched

_WORTH = 1.05
"""Grouping is used if random batches have this many times the tokens of grouped ones."""
_MEGABATCH = 250
"""Batches that are sorted together: enough for little padding, few enough that batches still mix all rows."""


@dataclass(frozen=True, slots=True)
class Padding:
    """Padded over real tokens of one pass over the rows, in random batches and in those of similar length."""

    random: float
    grouped: float

    @property
    def is_worth_it(self) -> bool:
        return self.random > self.grouped * _WORTH


def grouped(lengths: Sequence[int], batch: int, *, seed: int, epoch: int = 0) -> list[int]:
    """Return an order of the rows in which each ``batch`` consecutive rows have similar lengths.

    As in transformers' ``LengthGroupedSampler`` random groups of batches are sorted, and the longest row comes first,
    so that too little memory shows at once. The batches are in random order: sorted ones would be a sawtooth in the
    loss. The order depends on nothing but the arguments, so a resumed run continues it.

    Args:
        lengths: tokens of each row.
        batch: rows of a batch, those of all processes together.
        seed: the seed of the run.
        epoch: the pass over the rows; each has its own order.
    """
    draw = random.Random(f"{seed}/{epoch}")  # noqa: S311 - not used for secrets
    shuffled = _shuffled(len(lengths), draw)
    size = batch * max(min(len(lengths) // (batch * 4), _MEGABATCH), 1)
    order = [at for some in batched(shuffled, size) for at in sorted(some, key=lambda at: -lengths[at])]
    batches = [*batched(order, batch)]
    partial = [batches.pop()] if batches and len(batches[-1]) < batch else []
    draw.shuffle(batches)
    batches.sort(key=lambda one: max(lengths[at] for at in one) < max(lengths))
    return [at for one in (*batches, *partial) for at in one]


def padding(lengths: Sequence[int], batch: int, *, seed: int) -> Padding:
    """Count the padding of the first pass in random and in grouped batches."""
    shuffled = _shuffled(len(lengths), random.Random(f"{seed}/random"))  # noqa: S311 - not used for secrets
    return Padding(
        padded_over_real(lengths, shuffled, batch),
        padded_over_real(lengths, grouped(lengths, batch, seed=seed), batch),
    )


def padded_over_real(lengths: Sequence[int], order: Sequence[int], batch: int) -> float:
    """Return the tokens of the batches, each row padded to the longest of its batch, over those of the rows."""
    batches = [[lengths[at] for at in some] for some in batched(order, batch)]
    return sum(max(one) * len(one) for one in batches) / max(sum(map(sum, batches)), 1)


def _shuffled(count: int, draw: random.Random) -> list[int]:
    order = list(range(count))
    draw.shuffle(order)
    return order
