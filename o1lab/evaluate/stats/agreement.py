"""Agreement of annotators beyond chance: Cohen's kappa (two, categories) and Krippendorff's alpha (any number).

Intervals are drawn with a fixed seed, so the same ratings give the same interval: percentile bootstraps over units, and
posterior draws where units were sampled by stratum.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from o1lab.evaluate.stats.metrics import TAILS
from o1lab.format import counted
from o1lab.text import json_of

Level = Literal["nominal", "ordinal", "interval", "ratio"]

RESAMPLES = 2000
_SEED = 20241125
_FEWEST = 50  # resamples with a defined coefficient that an interval needs
FEWEST_UNITS = 10
"""Units that the interval of a bootstrap needs: of fewer, most resamples repeat one or two of them."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """A coefficient of agreement: 1 is full agreement, 0 is chance level, negative is worse than chance.

    Attributes:
        value: the coefficient; None if undefined, because there is nothing to compare or all ratings are equal.
        units: the number of units that were compared.
        raters: the number of annotators.
        ci95: the interval, or None if there are too few units or defined resamples.
        observed: the share of units with equal ratings (kappa only).
        why_not: why the value is None.
    """

    value: float | None
    units: int
    raters: int
    ci95: tuple[float, float] | None = None
    observed: float | None = None
    why_not: str = ""

    def text(self, noun: str) -> str:
        """Format the coefficient with its interval and number of units, or say that it is not defined.

        Args:
            noun: the word for a unit, such as ``trace``.
        """
        if self.value is None:
            return f"not defined, {self.why_not}"
        units = counted(self.units, noun)
        if self.ci95 is None:
            return f"{self.value:.2f}, {units}: too few for an interval"
        return f"{self.value:.2f} (95 % {self.ci95[0]:.2f} to {self.ci95[1]:.2f}), {units}"

    def as_json(self) -> dict[str, Any]:
        return json_of(self, "value", "ci95", "units", "raters", "observed", "why_not", digits=4)


def cohen_kappa(ones: Sequence[Hashable], others: Sequence[Hashable], *, resamples: int = RESAMPLES) -> Agreement:
    """Return Cohen's kappa of two annotators' categories for the same units, in the same order.

    kappa = (p_o - p_e) / (1 - p_e), where p_o is the share of units on which they agree and p_e the share expected
    from how often each uses each category (Cohen, 1960, Educational and Psychological Measurement 20, 37-46).

    Args:
        ones: the categories of one annotator.
        others: the categories of the other.
        resamples: the number of bootstrap resamples.

    Raises:
        ValueError: the sequences differ in length.
    """
    import numpy as np

    pairs = list(zip(ones, others, strict=True))
    if not pairs:
        return Agreement(None, 0, 2, why_not="no unit was rated by both")
    places = {label: at for at, label in enumerate(dict.fromkeys(label for pair in pairs for label in pair))}
    table = np.zeros((len(places), len(places)))
    for one, other in pairs:
        table[places[one], places[other]] += 1
    n = len(pairs)
    observed = float(np.trace(table)) / n
    value = float(_kappas(table[None])[0])
    if math.isnan(value):
        return Agreement(None, n, 2, None, observed, "both used one category only")
    draws = np.random.default_rng(_SEED).multinomial(n, table.ravel() / n, size=resamples)
    enough = n >= FEWEST_UNITS
    return Agreement(value, n, 2, _middle(_kappas(draws.reshape(-1, *table.shape))) if enough else None, observed)


@dataclass(frozen=True, slots=True)
class Stratum:
    """Units to which one annotator gave the same category, of which some were rated by another.

    Attributes:
        category: the category.
        population: the number of all units of this category.
        others: the categories of the other annotator for the units that were rated, a random sample.
    """

    category: Hashable
    population: int
    others: Sequence[Hashable]


def stratified_kappa(strata: Sequence[Stratum], *, resamples: int = RESAMPLES) -> Agreement:
    """Return Cohen's kappa over all units, estimated from random samples of the units of each category.

    The confusion matrix is that of the samples, where each stratum weighs as much as its population (Cochran, 1977,
    Sampling Techniques, chapter 5). The interval is the middle 95 % of draws from the posterior of each stratum's
    shares under Jeffreys' prior: unlike a bootstrap, it has a width where all ratings of a stratum agree.

    Args:
        strata: the categories of one annotator, each once. A stratum without ratings cannot be estimated.
        resamples: the number of draws.
    """
    import numpy as np

    units = sum(len(stratum.others) for stratum in strata)
    seen = [stratum for stratum in strata if stratum.population]
    if not units or not all(stratum.others for stratum in seen):
        return Agreement(None, units, 2, why_not="a category of the scorer has no ratings yet")
    labels = dict.fromkeys([*(one.category for one in seen), *(label for one in seen for label in one.others)])
    places = {label: at for at, label in enumerate(labels)}
    if len(places) < 2:
        return Agreement(None, units, 2, None, 1.0, "both used one category only")
    counts = np.zeros((len(seen), len(places)))
    shares = np.array([one.population for one in seen], dtype=float)
    shares /= shares.sum()
    for row, stratum in enumerate(seen):
        for label in stratum.others:
            counts[row, places[label]] += 1

    def tables(rates: Any) -> Any:
        whole = np.zeros((len(rates), len(places), len(places)))
        whole[:, [places[one.category] for one in seen]] = rates * shares[:, None]
        return whole

    found = tables((counts / counts.sum(axis=1, keepdims=True))[None])
    rng = np.random.default_rng(_SEED)
    drawn = np.stack([rng.dirichlet(row + 0.5, size=resamples) for row in counts], axis=1)
    value, observed = float(_kappas(found)[0]), float(np.trace(found[0]))
    if math.isnan(value):
        return Agreement(None, units, 2, None, observed, "both used one category only")
    return Agreement(value, units, 2, _middle(_kappas(tables(drawn))), observed)


def krippendorff_alpha(
    ratings: Mapping[str, Mapping[str, float]], *, level: Level = "interval", resamples: int = RESAMPLES
) -> Agreement:
    """Return Krippendorff's alpha of any number of annotators, each of whom may have skipped units.

    Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability".

    Args:
        ratings: the rating by annotator and unit.
        level: the level of measurement; marks from 0 to 100 have the level ``interval``.
        resamples: the number of bootstrap resamples.

    Returns:
        The coefficient; its ``units`` are those with at least two ratings, as only they can be compared.
    """
    import krippendorff
    import numpy as np

    units = sorted({unit for given in ratings.values() for unit in given})
    every = [[given[unit] for given in ratings.values() if unit in given] for unit in units]
    paired = [given for given in every if len(given) > 1]
    raters = sum(bool(given) for given in ratings.values())
    if not paired:
        return Agreement(None, 0, raters, why_not="no unit has two ratings")
    domain = sorted({value for given in paired for value in given})
    if len(domain) < 2:
        return Agreement(None, len(paired), raters, why_not="every rating is the same")
    places = {value: at for at, value in enumerate(domain)}
    counts = np.zeros((len(paired), len(domain)))
    for row, given in enumerate(paired):
        for value in given:
            counts[row, places[value]] += 1

    def alpha(counted: Any) -> float:
        used = counted.any(axis=0)
        if used.sum() < 2:
            return math.nan
        values = np.array(domain, dtype=float)[used]
        return float(krippendorff.alpha(value_counts=counted[:, used], value_domain=values, level_of_measurement=level))

    if len(paired) < FEWEST_UNITS:
        return Agreement(alpha(counts), len(paired), raters)
    rng = np.random.default_rng(_SEED)
    drawn = np.array([alpha(counts[rng.integers(len(paired), size=len(paired))]) for _ in range(resamples)])
    return Agreement(alpha(counts), len(paired), raters, _middle(drawn))


def _kappas(tables: Any) -> Any:
    """Return kappa of each confusion matrix in an array of shape (tables, k, k); NaN where undefined."""
    import numpy as np

    n = tables.sum(axis=(1, 2))
    observed = np.trace(tables, axis1=1, axis2=2) / n
    expected = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1) / n**2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected < 1, (observed - expected) / (1 - expected), math.nan)


def _middle(drawn: Any) -> tuple[float, float] | None:
    """Return the middle 95 % of the defined values; None if there are too few."""
    import numpy as np

    defined = drawn[~np.isnan(drawn)]
    if len(defined) < _FEWEST:
        return None
    low, high = np.quantile(defined, TAILS)
    return float(low), float(high)
