"""Moves per 1,000 tokens with intervals, and the correlation of a rate with a score across models."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

from o1lab.chains.segmentation.moves import MoveKind
from o1lab.evaluate.stats.metrics import LEVEL, Interval, clustered_bootstrap

PER = 1000  # tokens
REFLECTION = "self_reflection"
"""The rate of the moves in which a text looks back at itself: ``REFLECTING``."""
REFLECTING = (MoveKind.REFLECT, MoveKind.BACKTRACK, MoveKind.VERIFY)
ALL = "moves"
"""The rate of all moves."""
RATES = (REFLECTION, *(str(kind) for kind in MoveKind), ALL)
FEWEST_MODELS = 4  # Fisher's interval divides by the number of models minus 3
_KINDS = tuple(MoveKind)


class CountedText(NamedTuple):
    """Moves of one text by kind, in the order of ``MoveKind``; ``cluster`` is its unit of resampling."""

    cluster: Hashable
    tokens: float
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MoveRate:
    """Moves per 1,000 tokens. ``interval`` is None if resampling has no width, as with a single item."""

    value: float
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class MoveRates:
    """The rates of all kinds of moves over the same texts, by the names in ``RATES``."""

    texts: int
    tokens: float
    rates: Mapping[str, MoveRate]


@dataclass(frozen=True, slots=True)
class Correlation:
    """Pearson's r across n models.

    Attributes:
        r: None with fewer than ``FEWEST_MODELS`` models, or if one of the two figures does not vary.
        interval: at 95 %; None without r, or if the models are on one line.
        why_not: why r is None; empty if it is not.
    """

    n: int
    r: float | None
    interval: Interval | None
    why_not: str = ""


def move_rates(texts: Sequence[CountedText]) -> MoveRates | None:
    """Return the moves per 1,000 tokens of these texts: all their moves over all their tokens.

    The interval is :func:`clustered_bootstrap` of this ratio: whole items are drawn. Texts without tokens do not count.

    Returns:
        The rates, or None if no text has tokens.
    """
    read = [one for one in texts if one.tokens > 0]
    if not read:
        return None
    tokens = [one.tokens for one in read]
    clusters = [one.cluster for one in read]
    total = math.fsum(tokens)
    rates = {}
    for name in RATES:
        places = [place for place, kind in enumerate(_KINDS) if _counts(kind, name)]
        moves = [sum(one.counts[place] for place in places) for one in read]
        each = [PER * number / size for number, size in zip(moves, tokens, strict=True)]
        rates[name] = MoveRate(PER * sum(moves) / total, clustered_bootstrap(each, clusters, weights=tokens))
    return MoveRates(len(read), total, rates)


def _counts(kind: MoveKind, name: str) -> bool:
    return name in (ALL, kind) or (name == REFLECTION and kind in REFLECTING)


def correlation(pairs: Sequence[tuple[float, float]]) -> Correlation:
    """Return Pearson's r of (rate, score) pairs, a pair for each model, with Fisher's interval.

    Fisher (1921), "On the 'probable error' of a coefficient of correlation deduced from a small sample", Metron 1,
    3-32: artanh(r) has the standard error 1 / sqrt(n - 3). It takes models as independent draws and their figures as
    exact; checkpoints of one run are not independent, so the true interval is wider.
    """
    n = len(pairs)
    if n < FEWEST_MODELS:
        return Correlation(n, None, None, f"too few models: {n} of at least {FEWEST_MODELS}")
    means = [math.fsum(side) / n for side in zip(*pairs, strict=True)]
    x, y = ([pair[side] - means[side] for pair in pairs] for side in (0, 1))
    spread = math.sqrt(math.fsum(one * one for one in x) * math.fsum(one * one for one in y))
    if math.isclose(spread, 0.0, abs_tol=1e-12):
        return Correlation(n, None, None, "one of the two figures is the same for all models")
    r = max(-1.0, min(1.0, math.fsum(one * other for one, other in zip(x, y, strict=True)) / spread))
    if 1 - abs(r) < 1e-12:
        return Correlation(n, r, None)
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) / math.sqrt(n - 3)
    low, high = (math.tanh(math.atanh(r) + side) for side in (-half, half))
    return Correlation(n, r, Interval(low, high, "Fisher"))
