"""Before and after on the same ground: the difference, and how sure it is. On different grounds there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from o1lab.errors import UsageError
from o1lab.evaluate.cells import Cell, Interval, verdict
from o1lab.evaluate.chosen import Measured, differing, same_ground

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_RESAMPLES = 2000
_SEED = 42


@dataclass(frozen=True, slots=True)
class Change:
    """After minus before, out of 100, with its 95 % interval by a bootstrap over the items both answered."""

    difference: float
    interval: Interval | None
    evaluations: tuple[str, ...]
    scorer: str = ""

    def cell(self) -> Cell:
        """The difference in words and a sign."""
        said = verdict(self.difference, self.interval)
        return Cell(self.difference, self.interval, verdict=said, scorer=self.scorer, evaluations=self.evaluations)


def change(before: Measured, after: Measured) -> Change | None:
    """What became of ``before``, item by item; None while one of the two is unfinished or has nothing to compare.

    Raises:
        UsageError: the two are of different suite versions, items or scorers.
    """
    _check(before, after)
    return overall_change([(before, after)])


def overall_change(pairs: Sequence[tuple[Measured, Measured]]) -> Change | None:
    """The mean of several suites' differences, each suite weighing the same, however many items it has.

    Items are drawn with replacement within each suite, both models' samples of an item together (a stratified paired
    bootstrap, percentile interval: Efron and Tibshirani, 1993, chapters 8 and 13; 2,000 resamples, seed 42).

    Raises:
        UsageError: a pair is of different suite versions, items or scorers.
    """
    for before, after in pairs:
        _check(before, after)
    if not pairs or not all(one.finished for pair in pairs for one in pair):
        return None
    apart = [_by_cluster(before, after) for before, after in pairs]
    if any(not len(sums) for sums, _ in apart):
        return None
    difference = math.fsum(float(sums.sum() / sizes.sum()) for sums, sizes in apart) / len(apart)
    ids = tuple(dict.fromkeys(one.evaluation.id for pair in pairs for one in pair))
    scorers = {after.scorer for _, after in pairs}
    return Change(difference, _interval(apart), ids, scorers.pop() if len(scorers) == 1 else "")


def _check(before: Measured, after: Measured) -> None:
    if not same_ground(before, after):
        raise UsageError(
            f"{before.evaluation.id} and {after.evaluation.id} may not be compared: {differing(before, after)}.",
            "Evaluate both on one version of the suite, or score one of them again: o1lab eval --rescore ID",
        )
    if before.graded != after.graded:
        raise UsageError(
            f"{before.evaluation.id} and {after.evaluation.id} may not be compared: only one of them is graded.",
            "Score the other one too: o1lab eval --rescore ID",
        )


def _by_cluster(before: Measured, after: Measured) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(summed differences of items, number of items) of each cluster of the items that both have."""
    import numpy as np

    from o1lab.evaluate import metrics

    left, right = _by_item(before), _by_item(after)
    clusters = {one.item: metrics.cluster(one) for one in before.results}
    sums: dict[tuple[str, str], list[float]] = {}
    for item in left.keys() & right.keys():
        sums.setdefault(clusters[item], []).append(right[item] - left[item])
    ordered = [sums[key] for key in sorted(sums)]
    return np.array([math.fsum(one) for one in ordered]), np.array([float(len(one)) for one in ordered])


def _by_item(one: Measured) -> dict[str, float]:
    """Each item's mean over its samples, out of 100; where it is graded, of those that have a value."""
    found: dict[str, list[float]] = {}
    for result in one.results:
        value = result.value if one.graded else float(result.correct)
        if value is not None:
            found.setdefault(result.item, []).append(100 * value)
    return {item: math.fsum(values) / len(values) for item, values in found.items()}


def _interval(apart: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> Interval | None:
    import numpy as np

    if any(len(sums) < 2 for sums, _ in apart):
        return None
    rng = np.random.default_rng(_SEED)
    means = np.zeros(_RESAMPLES)
    for number in range(_RESAMPLES):
        for sums, sizes in apart:
            drawn = rng.integers(len(sums), size=len(sums))
            means[number] += sums[drawn].sum() / sizes[drawn].sum() / len(apart)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
