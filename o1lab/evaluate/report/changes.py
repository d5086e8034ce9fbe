"""Differences between two comparable evaluations, before and after, with interval and p-value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from o1lab.errors import UsageError
from o1lab.evaluate.report.cells import Cell, Interval, verdict
from o1lab.evaluate.report.selection import EvaluationResult, comparable, differing
from o1lab.evaluate.stats.metrics import RESAMPLES, SEED, TAILS, cluster, cluster_sums, clustered_bootstrap

if TYPE_CHECKING:
    from o1lab.evaluate.stats.variants import Weighted


@dataclass(frozen=True, slots=True)
class Change:
    """After minus before, in percentage points.

    Attributes:
        interval: at 95 %, by a bootstrap over items; None if that gives no width because all items differ alike.
        p: the two-sided p-value of :func:`~o1lab.evaluate.stats.paired.sign_flips`.
        evaluations: the ids of the evaluations that were compared.
        scorer: the label of the scores, if there is only one.
    """

    difference: float
    interval: Interval | None
    p: float
    evaluations: tuple[str, ...]
    scorer: str = ""

    def cell(self) -> Cell:
        """Return the difference as a table cell with its verdict."""
        found = verdict(self.difference, self.interval, self.p)
        return Cell(
            self.difference, self.interval, p=self.p, verdict=found, scorer=self.scorer, evaluations=self.evaluations
        )


@dataclass(frozen=True, slots=True)
class Differences:
    """The difference of each shared item, in percentage points, and its cluster for resampling."""

    names: list[str]
    values: list[float]
    clusters: list[tuple[str, str]]


def change(before: EvaluationResult, after: EvaluationResult) -> Change | None:
    """Return the mean difference over the shared items, as `o1lab eval compare`; of graded ones in the values.

    Returns:
        The difference, or None if one of the two is unfinished or they share no item.

    Raises:
        UsageError: the two differ in suite version, items or scorer.
    """
    _check(before, after)
    if not (before.finished and after.finished):
        return None
    return _change([(before, after)], [_differences(before, after)])


def weighted_change(before: EvaluationResult, after: EvaluationResult) -> tuple[Weighted, Weighted, Change] | None:
    """Return the weighted shares before and after and their difference; None if the items have no weights.

    Raises:
        UsageError: the two differ in suite version, items or scorer.
    """
    from o1lab.evaluate.stats.variants import weight_of, weighted

    _check(before, after)
    if not (before.finished and after.finished) or before.graded:
        return None
    earned = weighted(before.results, before.items), weighted(after.results, after.items)
    if earned[0] is None or earned[1] is None:
        return None
    weights = {name: weight for name, row in before.items.items() if (weight := weight_of(row)) is not None}
    plain = _differences(before, after)
    rows = [row for row in zip(plain.names, plain.values, plain.clusters, strict=True) if row[0] in weights]
    scale = len(rows) / earned[0].total
    values = [value * weights[name] * scale for name, value, _ in rows]
    found = _change([(before, after)], [Differences([row[0] for row in rows], values, [row[2] for row in rows])])
    return None if found is None else (earned[0], earned[1], found)


def overall_change(pairs: Sequence[tuple[EvaluationResult, EvaluationResult]]) -> Change | None:
    """Return the mean of the differences of several suites. Each suite has the same weight.

    Items are drawn with replacement within each suite, both models' samples of an item together (a stratified paired
    bootstrap, percentile interval: Efron and Tibshirani, 1993, chapters 8 and 13; 2,000 resamples, seed 42).

    Args:
        pairs: (before, after) of each suite.

    Raises:
        UsageError: a pair differs in suite version, items or scorer.
    """
    for before, after in pairs:
        _check(before, after)
    if not pairs or not all(one.finished for pair in pairs for one in pair):
        return None
    return _change(pairs, [_differences(before, after) for before, after in pairs])


def _check(before: EvaluationResult, after: EvaluationResult) -> None:
    if not comparable(before, after):
        raise UsageError(
            f"{before.evaluation.id} and {after.evaluation.id} cannot be compared: {differing(before, after)}.",
            "Evaluate both with the same version of the suite, or score one of them again: o1lab eval --rescore ID",
        )


def _change(pairs: Sequence[tuple[EvaluationResult, EvaluationResult]], parts: Sequence[Differences]) -> Change | None:
    from o1lab.evaluate.stats.paired import sign_flips

    if not parts or not all(one.values for one in parts):
        return None
    means = [math.fsum(one.values) / len(one.values) for one in parts]
    if len(parts) == 1:
        found = clustered_bootstrap(parts[0].values, parts[0].clusters)
        interval = found and found.ends
    else:
        interval = _stratified(parts)
    if interval is not None and interval[0] == interval[1]:
        interval = None
    sums: dict[tuple[int, tuple[str, str]], float] = {}
    for place, one in enumerate(parts):
        for value, group in zip(one.values, one.clusters, strict=True):
            sums[place, group] = sums.get((place, group), 0.0) + value / len(one.values)
    ids = tuple(dict.fromkeys(one.evaluation.id for pair in pairs for one in pair))
    scorers = {after.scorer for _, after in pairs}
    chance = sign_flips(list(sums.values()))
    return Change(math.fsum(means) / len(means), interval, chance.p, ids, scorers.pop() if len(scorers) == 1 else "")


def _differences(before: EvaluationResult, after: EvaluationResult) -> Differences:
    left, right = item_means(before), item_means(after)
    clusters = {one.item: cluster(one) for one in before.results}
    shared = [item for item in left if item in right]
    values = [right[item] - left[item] for item in shared]
    return Differences(shared, values, [clusters[item] for item in shared])


def item_means(one: EvaluationResult) -> dict[str, float]:
    """Return the mean of each item's samples, out of 100; of a graded evaluation, of the samples with a value."""
    found: dict[str, list[float]] = {}
    for result in one.results:
        value = result.value if one.graded else float(result.correct)
        if value is not None:
            found.setdefault(result.item, []).append(100 * value)
    return {item: math.fsum(values) / len(values) for item, values in found.items()}


def _stratified(parts: Sequence[Differences]) -> Interval | None:
    import numpy as np

    means = np.zeros(RESAMPLES)
    rng = np.random.default_rng(SEED)
    for one in parts:
        sums, sizes = cluster_sums(one.values, one.clusters)
        if len(sums) < 2:
            return None
        for number in range(RESAMPLES):
            drawn = rng.integers(len(sums), size=len(sums))
            means[number] += sums[drawn].sum() / sizes[drawn].sum() / len(parts)
    low, high = np.quantile(means, TAILS)
    return float(low), float(high)
