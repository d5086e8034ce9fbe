"""The mean of several runs that differ in their seed, on the same items, with an interval that covers both."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from o1lab.evaluate.stats.metrics import Interval, wilson_interval


@dataclass(frozen=True, slots=True)
class SeedMean:
    """The mean share of several runs.

    Attributes:
        value: the mean over items and runs, from 0 to 1.
        each: the mean of each run.
        interval: at 95 %, for other items and other seeds of the same kind.
        items: the number of items that all runs have answered.
    """

    value: float
    each: tuple[float, ...]
    interval: Interval
    items: int


def mean_over_seeds(
    runs: Sequence[Mapping[str, float]], clusters: Mapping[str, Hashable] | None = None
) -> SeedMean | None:
    """Return the mean share of runs on the items that all of them answered; None without such items.

    The variance of the mean is that between the means of the runs plus that between the means of the items, each
    divided by its number. The part that belongs to neither is in both, so the sum is not too small on average. It is
    turned into an effective number of items for Wilson's interval, as is done for surveys (Franco, Little, Louis and
    Slud, 2019, J. Surv. Stat. Methodol. 7, 334-364). With few runs, their spread is itself uncertain.

    Args:
        runs: for each run, the share of each item's samples that are right, from 0 to 1.
        clusters: for each item, the cluster it belongs to, if items are not independent.
    """
    shared = sorted(set.intersection(*(set(run) for run in runs))) if runs else []
    if not shared:
        return None
    each = tuple(math.fsum(run[item] for item in shared) / len(shared) for run in runs)
    value = math.fsum(each) / len(each)
    sums: dict[Hashable, list[float]] = {}
    for item in shared:
        mean = math.fsum(run[item] for run in runs) / len(runs)
        sums.setdefault(clusters[item] if clusters is not None else item, []).append(mean - value)
    number = len(sums)
    variance = 0.0
    if number > 1:
        squares = math.fsum(math.fsum(parts) ** 2 for parts in sums.values())
        variance += squares / len(shared) ** 2 * number / (number - 1)
    if len(each) > 1:
        variance += math.fsum((one - value) ** 2 for one in each) / (len(each) - 1) / len(each)
    free = value * (1 - value)
    effective = min(free / variance, number * len(runs)) if free > 0 and variance > 0 else number
    interval = wilson_interval(value * effective, effective, "Wilson, effective number of items")
    return SeedMean(value, each, interval, len(shared))
