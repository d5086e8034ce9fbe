"""Metrics of samples: accuracy with its interval, pass@k, mean values, token counts.

Accuracy is correct over ALL samples: incomplete, unextracted, unscored and failed ones are in the denominator. Only
token averages leave out failed samples, which have no response.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal, final

from o1lab.text import json_of
from store.evaluations import Evaluation, ItemRow, Result, Tally

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Metric = Literal["accuracy", "mean_value"]

SEED = 42  # for all resampling, so that the same samples give the same figures
RESAMPLES = 2000
LEVEL = 0.95
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)

_MOST_DRAWS = 50_000_000  # clusters times resamples: about half a second
_FEWEST_RESAMPLES = 500
_CHUNK_DRAWS = 2_000_000
_KIND_COST = 20  # the cost of one binomial draw, in draws of an index


@final
@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval and the method that gave it."""

    low: float
    high: float
    method: str

    @property
    def ends(self) -> tuple[float, float]:
        return self.low, self.high

    @property
    def percent(self) -> tuple[float, float]:
        """The ends in percent."""
        return 100 * self.low, 100 * self.high

    def as_json(self) -> list[float]:
        return [round(self.low, 6), round(self.high, 6)]


def interval_json(interval: Interval | None) -> dict[str, Any]:
    """Return the JSON keys of an interval at 95 %: its ends, and the method that gave it."""
    return {"ci95": interval and interval.as_json(), "ci_method": interval and interval.method}


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of samples. ``interval`` is None if there are no samples or resampling is not possible."""

    correct: int
    n: int
    value: float | None
    interval: Interval | None

    def as_json(self) -> dict[str, Any]:
        return json_of(self, "correct", "n", "accuracy=value", digits=6) | interval_json(self.interval)


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean of n numbers out of ``total`` samples; ``rest_as_zero`` counts those without a number as 0."""

    value: float
    n: int
    total: int
    rest_as_zero: float
    interval: Interval | None

    def as_json(self) -> dict[str, Any]:
        return json_of(self, "mean=value", "n", "of=total", "rest_as_zero", digits=6) | interval_json(self.interval)


@dataclass(frozen=True, slots=True)
class Spread:
    """The distribution of n token counts. Percentiles are interpolated linearly."""

    n: int
    mean: float
    median: float
    p5: float
    p25: float
    p75: float
    p95: float
    most: int

    def as_json(self) -> dict[str, float]:
        return {name: round(value, 1) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token counts of the samples with a response. ``thought`` and ``answer`` cover samples that report both."""

    output: Spread | None
    thought: Spread | None
    answer: Spread | None
    correct: Spread | None  # output tokens of correct samples
    other: Spread | None  # output tokens of all other samples

    def as_json(self) -> dict[str, Any]:
        return json_of(self, "output", "thought", "answer", "correct", "other")


def wilson(correct: float, n: float) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion at 95 %: Wilson (1927), J. Am. Stat. Assoc. 22, 209-212.

    Computed in closed form and tested against scipy, because importing scipy.stats takes two seconds.

    Args:
        correct: the number of successes.
        n: the number of trials; an effective number need not be whole.

    Returns:
        The bounds, from 0 to 1. Without trials they are (0, 1).

    Raises:
        ValueError: not 0 <= correct <= n.
    """
    if not 0 <= correct <= n:
        raise ValueError(f"{correct} of {n}")
    if n == 0:
        return 0.0, 1.0
    z, share = NormalDist().inv_cdf((1 + LEVEL) / 2), correct / n
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    low, high = ((middle + side) / (1 + z * z / n) for side in (-half, half))
    # At 0 and n the bound equals the share; rounding could miss it.
    return 0.0 if correct == 0 else low, 1.0 if correct == n else high


def wilson_interval(correct: float, n: float, method: str = "Wilson") -> Interval:
    """Return :func:`wilson` as an interval."""
    return Interval(*wilson(correct, n), method)


def pass_at_k(n: int, c: int, k: int) -> float:
    """Return the probability that at least one of k samples is correct: 1 - C(n - c, k) / C(n, k).

    The unbiased estimator of Chen et al. (2021), "Evaluating Large Language Models Trained on Code", equation 1.

    Args:
        n: the number of samples of the item.
        c: the number of correct samples.
        k: the number of samples drawn.

    Raises:
        ValueError: not 0 <= c <= n, or not 1 <= k <= n.
    """
    if not (0 <= c <= n and 1 <= k <= n):
        raise ValueError(f"pass@{k} of {c} among {n}")
    return (math.comb(n, k) - math.comb(n - c, k)) / math.comb(n, k)


def mean_pass_at(results: Iterable[Result]) -> dict[int, float]:
    """Return pass@k by k, the mean of :func:`pass_at_k` over items (Chen et al., 2021).

    All samples count, failed ones too. The values of k are the powers of two up to the number of samples of the item
    with the fewest, and that number.
    """
    items = by_item(results).values()
    kinds = Counter((len(samples), sum(one.correct for one in samples)) for samples in items)
    ks = ladder(min((n for n, _ in kinds), default=0))
    return {k: math.fsum(pass_at_k(n, c, k) * number for (n, c), number in kinds.items()) / len(items) for k in ks}


def ladder(most: int) -> list[int]:
    """Return 1, 2, 4, ... up to ``most``, and ``most`` itself."""
    steps = [2**power for power in range(most.bit_length())]
    return steps if not steps or steps[-1] == most else [*steps, most]


def clustered_bootstrap(
    values: Sequence[float] | NDArray[np.float64],
    clusters: Sequence[Hashable],
    *,
    weights: Sequence[float] | None = None,
    resamples: int = RESAMPLES,
) -> Interval | None:
    """Return the 95 % interval of a mean over clustered samples, as percentiles of means of drawn clusters.

    Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapters 8 and 13; for clusters: Davison and
    Hinkley (1997), section 3.8. Identical clusters are drawn together (their counts are multinomial), which does not
    change the distribution. With more than 25,000 different clusters fewer resamples are drawn; the interval's method
    states their number and the seed.

    Args:
        values: one value per sample.
        clusters: the cluster of each sample, an item or a group of items.
        weights: one positive weight per sample, for the interval of the weighted mean.
        resamples: the number of resamples.

    Returns:
        The interval, in the unit of the values. None with fewer than two clusters, or if all resamples have the same
        mean because the clusters are alike, which says nothing about the precision of the mean.
    """
    import numpy as np

    sums, sizes = cluster_sums(values, clusters, weights)
    number = len(sums)
    if number < 2:
        return None
    means, drawn = _resampled(sums, sizes, resamples, np.random.default_rng(SEED))
    low, high = np.quantile(means, TAILS)
    if math.isclose(low, high, rel_tol=1e-9, abs_tol=1e-12):
        return None
    return Interval(float(low), float(high), f"bootstrap over {number:,} clusters, {drawn:,} resamples, seed {SEED}")


def cluster_sums(
    values: Sequence[float] | NDArray[np.float64], clusters: Sequence[Hashable], weights: Sequence[float] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sum of values and the number of samples of each cluster, weighted if there are weights."""
    import numpy as np

    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values in {len(clusters)} clusters")
    codes: dict[Hashable, int] = {}
    place = np.fromiter((codes.setdefault(one, len(codes)) for one in clusters), np.intp, len(clusters))
    given = np.asarray(values, np.float64)
    each = np.ones(len(given)) if weights is None else np.asarray(weights, np.float64)
    sums, sizes = (
        np.bincount(place, weights=one, minlength=len(codes)).astype(np.float64) for one in (given * each, each)
    )
    return sums, sizes


def _resampled(
    sums: NDArray[np.float64], sizes: NDArray[np.float64], resamples: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], int]:
    """Return the means of the resamples, and their number."""
    import numpy as np

    number = len(sums)
    kinds, often = np.unique(sums + 1j * sizes, return_counts=True)
    if len(kinds) * _KIND_COST <= number:
        drawn = rng.multinomial(number, often / number, size=resamples).astype(np.float64)
        return (drawn @ kinds.real) / (drawn @ kinds.imag), resamples
    resamples = min(resamples, max(_FEWEST_RESAMPLES, _MOST_DRAWS // number))
    means = np.empty(resamples)
    rows = max(1, _CHUNK_DRAWS // number)
    alike = bool((sizes == sizes[0]).all())
    for start in range(0, resamples, rows):
        end = min(start + rows, resamples)
        chosen = rng.integers(number, size=(end - start, number), dtype=np.int32)
        total = sizes[0] * number if alike else sizes[chosen].sum(axis=1)
        means[start:end] = sums[chosen].sum(axis=1) / total
    return means, resamples


def cluster(one: Result | ItemRow) -> tuple[str, str]:
    """Return the unit of resampling: the group of items that ask one question in several ways, else the item."""
    return ("group", one.group) if one.group is not None else ("item", one.item)


def accuracy(results: Sequence[Result], *, right: Callable[[Result], bool] = lambda one: one.correct) -> Rate:
    """Return the share of correct samples among all samples.

    The interval is Wilson's if no two samples share an item or a group, else that of :func:`clustered_bootstrap`. If
    all clusters are alike, so that resampling gives no width (30 items, each always wrong, or each right half of the
    time), it is Wilson's with the number of clusters as n.

    Args:
        results: the samples.
        right: which samples count; by default the correct ones.
    """
    return rate_of([right(one) for one in results], [cluster(one) for one in results])


def share_correct(samples: Sequence[Result]) -> float:
    """Return the share of correct samples."""
    return sum(one.correct for one in samples) / len(samples)


def rate_of(marks: Sequence[bool], clusters: Sequence[Hashable]) -> Rate:
    """Return the share of marks that are true, with the interval of :func:`share_interval`."""
    if not marks:
        return Rate(0, 0, None, None)
    return Rate(sum(marks), len(marks), sum(marks) / len(marks), share_interval(marks, clusters))


def share_interval(marks: Sequence[float], clusters: Sequence[Hashable]) -> Interval | None:
    """Return the interval of the mean of marks from 0 to 1, by the rule of :func:`accuracy`.

    None if resampling gives no width and the marks are grades (not just 0 and 1), or if a single cluster has different
    marks.
    """
    number, n = len(set(clusters)), len(marks)
    whole = all(mark in (0, 1) for mark in marks)
    if number == n and whole:
        return wilson_interval(round(sum(marks)), n)
    found = clustered_bootstrap(marks, clusters)
    if found is None and whole and (number > 1 or min(marks) == max(marks)):
        return wilson_interval(round(number * sum(marks) / n), number, f"Wilson over {number:,} clusters, all alike")
    return found


def mean_value(results: Sequence[Result]) -> Mean | None:
    """Return the mean of the scorer's values (0 to 1), with an interval as in :func:`accuracy`; None without values."""
    graded = [one for one in results if one.value is not None]
    if not graded:
        return None
    values = [one.value or 0.0 for one in graded]
    total = math.fsum(values)
    found = share_interval(values, [cluster(one) for one in graded])
    return Mean(total / len(values), len(values), len(results), total / len(results), found)


def spread(counts: Sequence[int]) -> Spread | None:
    """Return mean and percentiles (Hyndman and Fan, 1996, definition 7: linear); None without counts."""
    if not counts:
        return None
    import numpy as np

    found = np.asarray(counts)
    p5, p25, median, p75, p95 = (float(one) for one in np.percentile(found, [5, 25, 50, 75, 95]))
    return Spread(len(counts), float(found.mean()), median, p5, p25, p75, p95, int(found.max()))


def tokens(results: Iterable[Result]) -> Tokens:
    """Return the token counts of the responses; failed samples have none."""
    answered = [one for one in results if one.outcome != "failed"]
    apart = [(one.output_tokens, one.thought_tokens) for one in answered if one.thought_tokens is not None]
    return Tokens(
        output=spread([one.output_tokens for one in answered]),
        thought=spread([thought for _, thought in apart]),
        answer=spread([output - thought for output, thought in apart]),
        correct=spread([one.output_tokens for one in answered if one.correct]),
        other=spread([one.output_tokens for one in answered if not one.correct]),
    )


def by_item(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Return the samples by item, in order of first appearance."""
    found: dict[str, list[Result]] = {}
    for one in results:
        found.setdefault(one.item, []).append(one)
    return found


def headline(evaluation: Evaluation, scorer: str, tally: Tally) -> Metric:
    """Return which figure is the headline of an evaluation under a scorer.

    It is the suite's ``metric``, with two exceptions: human marks are not verdicts, so they always give the mean value;
    and if a scorer gave only verdicts, there is no mean value.
    """
    if scorer.partition("@")[0] == "human":
        return "mean_value"
    verdicts = tally.outcomes["correct"] + tally.outcomes["incorrect"]
    return "mean_value" if evaluation.metric == "mean_value" and (tally.valued or not verdicts) else "accuracy"


def rounded(value: float | None) -> float | None:
    """Round to the six decimals that JSON output shows."""
    return None if value is None else round(value, 6)


def rounded_ends(ends: tuple[float, float] | None) -> list[float] | None:
    """Round the ends of an interval to the four decimals that JSON output shows of percentages and coefficients."""
    return None if ends is None else [round(end, 4) for end in ends]
