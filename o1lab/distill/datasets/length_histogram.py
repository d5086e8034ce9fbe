"""The lengths of a dataset's rows: percentiles and a text histogram."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

_BINS = 12
_BAR = 40


@dataclass
class Lengths:
    """The lengths of all rows, eight bytes each; ``unknown`` is the number of rows without a token count."""

    tokens: array[int] = field(default_factory=lambda: array("q"))
    characters: array[int] = field(default_factory=lambda: array("q"))
    unknown: int = 0

    def add(self, tokens: int | None, characters: int) -> None:
        if tokens is None:
            self.unknown += 1
        else:
            self.tokens.append(tokens)
        self.characters.append(characters)


def histogram(lengths: Sequence[int]) -> str:
    """Return percentiles (nearest rank), and a line for each of at most twelve bins of equal, round width."""
    ordered = sorted(lengths)
    if not ordered:
        return "no rows"
    marks = "  ".join(f"p{share} {_rank(ordered, share):,}" for share in (5, 50, 95))
    total = sum(ordered)
    lines = [f"min {ordered[0]:,}  {marks}  max {ordered[-1]:,}  mean {total / len(ordered):,.0f}  total {total:,}"]
    width = _round_up(max((ordered[-1] - ordered[0] + 1) / _BINS, 1))
    low = ordered[0] // width * width
    counts = [0] * ((ordered[-1] - low) // width + 1)
    for length in ordered:
        counts[(length - low) // width] += 1
    wide, most = len(f"{low + len(counts) * width:,}"), max(counts)
    for at, count in enumerate(counts):
        bar = "█" * math.ceil(_BAR * count / most)
        lines.append(f"{low + at * width:>{wide},} – {low + (at + 1) * width:>{wide},}  {bar:<{_BAR}}  {count:,}")
    return "\n".join(lines)


def _rank(ordered: Sequence[int], share: int) -> int:
    return ordered[max(math.ceil(share * len(ordered) / 100) - 1, 0)]


def _round_up(width: float) -> int:
    """Return the next of 1, 2, 5, 10, 20, 50, …"""
    size = 10 ** math.floor(math.log10(width))
    return next(int(step * size) for step in (1, 2, 5, 10) if step * size >= width)
