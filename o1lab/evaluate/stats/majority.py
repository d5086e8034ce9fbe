r"""maj@k: how often the answer that most of k samples give is right.

Wang et al. (2023), "Self-Consistency Improves Chain of Thought Reasoning in Language Models". What one draw of k would
give is a matter of luck, so the expectation over all subsets of k of an item's n samples is computed, exactly, by
generating functions; beyond :data:`MOST_SAMPLES` samples an item, over :data:`DRAWS` drawn subsets, and said so.

- Answers are the same by :func:`o1lab.chains.verify.canonical`: equal numbers, or equal text but for its dress. Right
  and wrong answers are told apart by this alone. ``x+1`` and ``1+x`` stay two answers, so a true majority of them may
  be missed, the right one as well as a wrong one.
- A sample without an answer (cut off, failed, nothing extracted) is one of the k, and a vote for nothing.
- Where several answers have the most votes, a tie counts as the share of right ones among them (one is picked by lot);
  ``strict`` counts a tie as wrong, and ``ties`` says how many subsets tie.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from o1lab.evaluate.stats.metrics import SEED, Interval, cluster, ladder, rounded, share_interval
from o1lab.evaluate.stats.voting import answers_are_votes
from store.evaluations import Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_SAMPLES = 256
DRAWS = 10_000
_MUTE = ("incomplete", "failed", "unextracted")


@dataclass(frozen=True, slots=True)
class Votes:
    """An item's samples: how many gave each answer and which share of those is right, and how many gave none."""

    groups: tuple[tuple[int, float], ...]
    silent: int

    @property
    def n(self) -> int:
        return self.silent + sum(size for size, _ in self.groups)


@dataclass(frozen=True, slots=True)
class Majority:
    """Over an item's subsets of k: right with ties by lot, right with ties as wrong, how many tie, have no vote."""

    fair: float
    strict: float
    ties: float
    silent: float


@dataclass(frozen=True, slots=True)
class MajorityPoint:
    """A point of the curve, the mean over items. ``tokens`` is k times the average output tokens of a response."""

    k: int
    value: float
    strict: float
    ties: float
    silent: float
    tokens: float | None
    items: int
    exact: bool
    interval: Interval | None

    def as_json(self) -> dict[str, Any]:
        return {
            "k": self.k,
            "value": rounded(self.value),
            "ties_wrong": rounded(self.strict),
            "ties": rounded(self.ties),
            "no_answer": rounded(self.silent),
            "tokens": rounded(self.tokens),
            "items": self.items,
            "how": "all subsets" if self.exact else f"{DRAWS:,} drawn subsets, seed {SEED}",
            "ci95": self.interval and self.interval.as_json(),
            "ci_method": self.interval and self.interval.method,
        }


def votes(samples: Iterable[Result]) -> Votes:
    """The votes of one item's samples.

    One that is right without naming an answer votes for the right one: the answer that most of the right ones name.
    """
    from o1lab.chains.verify import canonical

    told: dict[str, list[int]] = {}  # by the answer as it is written, [how often, how often right]
    silent = unnamed = 0
    for one in samples:
        if one.answer is not None and one.answer.strip() and one.outcome not in _MUTE:
            said = told.setdefault(one.answer, [0, 0])
            said[0] += 1
            said[1] += one.correct
        elif one.correct:
            unnamed += 1
        else:
            silent += 1
    groups: dict[object, list[int]] = {}
    for answer, (number, right) in told.items():
        group = groups.setdefault(canonical(answer), [0, 0])
        group[0] += number
        group[1] += right
    if unnamed:
        named = max(groups.values(), key=lambda group: (group[1], -group[0]), default=[0, 0])
        into = named if named[1] else groups.setdefault(None, [0, 0])
        into[0] += unnamed
        into[1] += unnamed
    return Votes(tuple(sorted((size, right / size) for size, right in groups.values())), silent)


def maj_at(results: Sequence[Result], scorer: str, ks: Sequence[int] | None = None) -> tuple[MajorityPoint, ...]:
    """The curve of maj@k against k times the average output tokens (section 3.2 of the paper).

    Nothing where no sample names an answer, or what the scorer takes for one is no vote: then there is nothing to vote
    for. A k that some item has too few samples for is left out. With as many samples of every item, maj@1 is the
    accuracy.

    Args:
        scorer: the label of the scores.
        ks: by default the powers of two up to the number of samples, and that number.
    """
    if not answers_are_votes(scorer) or not any(one.answer for one in results):
        return ()
    by_item: dict[str, list[Result]] = {}
    for one in results:
        by_item.setdefault(one.item, []).append(one)
    cast = [votes(samples) for samples in by_item.values()]
    fewest = min(one.n for one in cast)
    wanted = tuple(ladder(fewest) if ks is None else sorted({k for k in ks if 1 <= k <= fewest}))
    if not wanted:
        return ()
    found = [majority(one, wanted) for one in cast]
    clusters = [cluster(samples[0]) for samples in by_item.values()]
    responses = [one.output_tokens for one in results if one.outcome != "failed"]
    average = sum(responses) / len(responses) if responses else None
    exact = all(one.n <= MOST_SAMPLES for one in cast)
    points = []
    for k in wanted:
        there = [item[k] for item in found]
        fair = [item.fair for item in there]
        points.append(
            MajorityPoint(
                k=k,
                value=math.fsum(fair) / len(there),
                strict=math.fsum(item.strict for item in there) / len(there),
                ties=math.fsum(item.ties for item in there) / len(there),
                silent=math.fsum(item.silent for item in there) / len(there),
                tokens=None if average is None else k * average,
                items=len(there),
                exact=exact,
                interval=share_interval(fair, clusters),
            )
        )
    return tuple(points)


def majority(cast: Votes, ks: Sequence[int]) -> dict[int, Majority]:
    """One item's expectation over all subsets of k samples, for each k.

    Raises:
        ValueError: a k is not from 1 to n.
    """
    if not all(1 <= k <= cast.n for k in ks):
        raise ValueError(f"maj@{list(ks)} of {cast.n} samples")
    how = _exact if cast.n <= MOST_SAMPLES else _drawn
    return dict(zip(ks, how(cast, tuple(ks)), strict=True))


@lru_cache(maxsize=65536)  # many items vote alike
def _exact(cast: Votes, ks: tuple[int, ...]) -> tuple[Majority, ...]:
    """By generating functions, for each number t of votes that wins.

    The power of x is the size of the subset. Samples of answers that occur less than t times, and silent ones, may be
    in it or not: (1 + x)^rest. Of an answer that occurs g >= t times, a < t are in it in C(g, a) ways, or t in C(g, t),
    and then it is one of the winners; those are counted in the rows of the array.
    """
    import numpy as np

    most = max(ks)
    sums = np.zeros((4, most + 1))  # subsets weighted by the winners' share of right; by that if one wins; tied; silent
    for t in range(1, min(most, max((size for size, _ in cast.groups), default=0)) + 1):
        able = [(size, right) for size, right in cast.groups if size >= t]
        rest = cast.n - sum(size for size, _ in able)
        winners = min(len(able), most // t)
        # ways[0]: how many subsets; ways[1]: the winners' shares of right, summed over the subsets
        # Zeros after x^most keep the rows apart when all are multiplied in one convolution.
        ways = np.zeros((2, winners + 1, most + 1 + t))
        ways[0, 0, : min(rest, most) + 1] = _row(rest)[: most + 1]
        for size, right in able:
            row = _row(size)
            winning = ways[:, :-1, : most + 1 - t] * row[t]
            winning[1] += right * winning[0]
            ways = np.convolve(ways.ravel(), row[:t])[: ways.size].reshape(ways.shape)
            ways[:, 1:, t : most + 1] += winning
            ways[:, :, most + 1 :] = 0
        share = 1 / np.arange(1, winners + 1)
        sums[0] += share @ ways[1, 1:, : most + 1]
        sums[1] += ways[1, 1, : most + 1]
        sums[2] += ways[0, 2:, : most + 1].sum(axis=0)
    sums[3, : min(cast.silent, most) + 1] = _row(cast.silent)[: most + 1]
    total = _row(cast.n)
    # Doubles may miss a whole number by their last digits, and then a certain win would not be 1.
    return tuple(Majority(*(round(float(part[k] / total[k]), 12) for part in sums)) for k in ks)


@cache
def _row(n: int) -> NDArray[np.float64]:
    """C(n, 0) ... C(n, n)."""
    import numpy as np

    return np.array([float(math.comb(n, a)) for a in range(n + 1)])


def _drawn(cast: Votes, ks: tuple[int, ...]) -> tuple[Majority, ...]:
    """The same over drawn subsets."""
    import numpy as np

    rng = np.random.default_rng(SEED)
    sizes = np.array([size for size, _ in cast.groups] + [cast.silent])
    right = np.array([share for _, share in cast.groups])
    made = []
    for k in ks:
        drawn = rng.multivariate_hypergeometric(sizes, k, size=DRAWS)[:, :-1]
        top = drawn.max(axis=1, initial=0)
        wins = (drawn == top[:, None]) & (top > 0)[:, None]
        number = wins.sum(axis=1)
        fair = (wins @ right) / np.maximum(number, 1)
        made.append(
            Majority(
                float(fair.mean()),
                float((fair * (number == 1)).mean()),
                float((number > 1).mean()),
                float((number == 0).mean()),
            )
        )
    return tuple(made)
