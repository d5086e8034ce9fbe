r"""maj@k: how often the most frequent answer of k samples is right.

Wang et al. (2023), "Self-Consistency Improves Chain of Thought Reasoning in Language Models". One draw of k samples
depends on chance, so the exact expectation over all subsets of k of an item's n samples is computed, by generating
functions. Beyond :data:`MOST_SAMPLES` samples per item it is estimated from :data:`DRAWS` drawn subsets; the result
states which.

- Answers are one vote if they are equal by :func:`o1lab.chains.verify.canonical`: each is read as what it is, so that
  ``1/2``, ``0.5`` and ``\frac12`` are one vote, as are ``x+1`` and ``1+x``. All answers that the verifier called right
  are one vote too: it found each equal to the gold answer (``50%`` and ``0.5``, or forms that only sympy can compare).
- A sample without an answer (cut off, failed, nothing extracted) is one of the k but votes for nothing.
- A tie counts as the share of right answers among those with the most votes (one is picked at random). ``strict``
  counts a tie as wrong, and ``ties`` is the share of subsets with a tie.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from o1lab.evaluate.scorers import SCORERS
from o1lab.evaluate.stats.metrics import (
    SEED,
    Interval,
    by_item,
    cluster,
    interval_json,
    ladder,
    share_interval,
)
from o1lab.text import json_of
from store.evaluations import Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_SAMPLES = 256
DRAWS = 10_000
_RIGHT = "all that are right"
_NO_VOTE = ("incomplete", "failed", "unextracted")


@dataclass(frozen=True, slots=True)
class Votes:
    """The votes of an item's samples: (size, share that is right) of each answer, and the samples without an answer."""

    groups: tuple[tuple[int, float], ...]
    silent: int

    @property
    def n(self) -> int:
        return self.silent + sum(size for size, _ in self.groups)


@dataclass(frozen=True, slots=True)
class Majority:
    """Shares of an item's subsets of k: right (ties at random), right (ties as wrong), tied, without any vote."""

    fair: float
    strict: float
    ties: float
    silent: float


@dataclass(frozen=True, slots=True)
class MajorityPoint:
    """A point of the curve, averaged over items. ``tokens`` is k times the average output tokens of a response."""

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
        shares = ("value", "ties_wrong=strict", "ties", "no_answer=silent")
        counted = json_of(self, "k", *shares, "tokens", "items", digits=6)
        how = "all subsets" if self.exact else f"{DRAWS:,} drawn subsets, seed {SEED}"
        return counted | {"how": how} | interval_json(self.interval)


def answers_are_votes(label: str) -> bool:
    """Whether the answers stored under a scorer's label can be counted as votes.

    The scorer's class decides (``votes``): always, never, or if the final answer alone is compared as a whole
    (``part=final``). A quoted claim, a kind of refusal or a whole answer is not a vote: wrong answers would split over
    many different texts. Answers of a scorer that is no longer installed are not votes either.
    """
    name, _, rest = label.partition("@")
    scorer = SCORERS.find(name)
    if scorer is None or scorer.votes == "never":
        return False
    options = rest.partition("(")[2].removesuffix(")").split(", ")
    return scorer.votes == "always" or ("part=final" in options and "mode=contains" not in options)


def votes(samples: Iterable[Result]) -> Votes:
    """Count the votes of one item's samples.

    A correct sample without a stored answer votes for the answer that most correct samples give.
    """
    from o1lab.chains.verify import canonical

    counts: dict[str, list[int]] = {}  # by the answer as written: [samples, correct samples]
    silent = unnamed = 0
    for one in samples:
        if one.answer is not None and one.answer.strip() and one.outcome not in _NO_VOTE:
            count = counts.setdefault(one.answer, [0, 0])
            count[0] += 1
            count[1] += one.correct
        elif one.correct:
            unnamed += 1
        else:
            silent += 1
    groups: dict[object, list[int]] = {}
    for answer, (number, right) in counts.items():
        group = groups.setdefault(canonical(answer), [0, 0])
        group[0] += number
        group[1] += right
    groups = _right_as_one(groups)
    if unnamed:
        named = max(groups.values(), key=lambda group: (group[1], -group[0]), default=[0, 0])
        into = named if named[1] else groups.setdefault(None, [0, 0])
        into[0] += unnamed
        into[1] += unnamed
    return Votes(tuple(sorted((size, right / size) for size, right in groups.values())), silent)


def _right_as_one(groups: dict[object, list[int]]) -> dict[object, list[int]]:
    """Merge the groups of which every sample is right: each answer in them equals the gold answer."""
    right = [group for group in groups.values() if group[0] == group[1]]
    if len(right) < 2:
        return groups
    merged = sum(group[0] for group in right)
    return {key: group for key, group in groups.items() if group[0] > group[1]} | {_RIGHT: [merged, merged]}


def maj_at(results: Sequence[Result], scorer: str) -> tuple[MajorityPoint, ...]:
    """Return the curve of maj@k against k times the average output tokens (section 3.2 of the paper).

    If all items have the same number of samples, maj@1 equals the accuracy. The values of k are the powers of two up to
    the number of samples of the item with the fewest, and that number.

    Args:
        results: the samples of an evaluation.
        scorer: the label of the scores.

    Returns:
        The points by ascending k; empty if no sample has an answer or the scorer's answers cannot be counted as votes.
    """
    if not answers_are_votes(scorer) or not any(one.answer for one in results):
        return ()
    items = by_item(results)
    cast = [votes(samples) for samples in items.values()]
    wanted = tuple(ladder(min(one.n for one in cast)))
    found = [majority(one, wanted) for one in cast]
    clusters = [cluster(samples[0]) for samples in items.values()]
    responses = [one.output_tokens for one in results if one.outcome != "failed"]
    average = sum(responses) / len(responses) if responses else None
    exact = all(one.n <= MOST_SAMPLES for one in cast)
    points = []
    for k in wanted:
        shares = [item[k] for item in found]
        fair = [item.fair for item in shares]
        points.append(
            MajorityPoint(
                k=k,
                value=math.fsum(fair) / len(shares),
                strict=math.fsum(item.strict for item in shares) / len(shares),
                ties=math.fsum(item.ties for item in shares) / len(shares),
                silent=math.fsum(item.silent for item in shares) / len(shares),
                tokens=None if average is None else k * average,
                items=len(shares),
                exact=exact,
                interval=share_interval(fair, clusters),
            )
        )
    return tuple(points)


def majority(cast: Votes, ks: Sequence[int]) -> dict[int, Majority]:
    """Return one item's expectation over all subsets of k samples, by k.

    Raises:
        ValueError: a k is not from 1 to n.
    """
    if not all(1 <= k <= cast.n for k in ks):
        raise ValueError(f"maj@{list(ks)} of {cast.n} samples")
    how = _exact if cast.n <= MOST_SAMPLES else _drawn
    return dict(zip(ks, how(cast, tuple(ks)), strict=True))


@lru_cache(maxsize=65536)  # many items have the same votes
def _exact(cast: Votes, ks: tuple[int, ...]) -> tuple[Majority, ...]:
    """Compute the expectation exactly, by generating functions, for each winning number of votes t.

    The power of x is the size of the subset. Samples of answers with fewer than t votes, and silent ones, may be in it
    or not: (1 + x)^rest. An answer with g >= t votes has a < t of them in it in C(g, a) ways, or t of them in C(g, t)
    ways; then it is one of the winners, which the rows of the array count.
    """
    import numpy as np

    most = max(ks)
    sums = np.zeros((4, most + 1))  # right (ties shared), right (single winner), tied, silent
    for t in range(1, min(most, max((size for size, _ in cast.groups), default=0)) + 1):
        able = [(size, right) for size, right in cast.groups if size >= t]
        rest = cast.n - sum(size for size, _ in able)
        winners = min(len(able), most // t)
        # ways[0]: number of subsets; ways[1]: sum over the subsets of the winners' shares of right
        # Zeros after x^most separate the rows, so that one convolution multiplies all of them.
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
    # Rounding errors of doubles would make a certain win differ from 1.
    return tuple(Majority(*(round(float(part[k] / total[k]), 12) for part in sums)) for k in ks)


@cache
def _row(n: int) -> NDArray[np.float64]:
    """Return C(n, 0), ..., C(n, n)."""
    import numpy as np

    return np.array([float(math.comb(n, a)) for a in range(n + 1)])


def _drawn(cast: Votes, ks: tuple[int, ...]) -> tuple[Majority, ...]:
    """Estimate the expectation from drawn subsets."""
    import numpy as np

    rng = np.random.default_rng(SEED)
    sizes = np.array([size for size, _ in cast.groups] + [cast.silent])
    right = np.array([share for _, share in cast.groups])
    points = []
    for k in ks:
        drawn = rng.multivariate_hypergeometric(sizes, k, size=DRAWS)[:, :-1]
        top = drawn.max(axis=1, initial=0)
        wins = (drawn == top[:, None]) & (top > 0)[:, None]
        number = wins.sum(axis=1)
        fair = (wins @ right) / np.maximum(number, 1)
        points.append(
            Majority(
                float(fair.mean()),
                float((fair * (number == 1)).mean()),
                float((number > 1).mean()),
                float((number == 0).mean()),
            )
        )
    return tuple(points)
