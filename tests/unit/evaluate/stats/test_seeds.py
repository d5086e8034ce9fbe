"""The mean over seeds: its interval covers the truth when items and seeds both vary."""

from __future__ import annotations

import math
import random

import pytest

from o1lab.evaluate.stats.metrics import wilson
from o1lab.evaluate.stats.seeds import mean_over_seeds


def test_one_run_has_wilsons_interval_up_to_the_estimate_of_the_variance() -> None:
    found = mean_over_seeds([{f"i{n}": float(n < 30) for n in range(60)}])
    assert found is not None and (found.value, found.each, found.items) == (0.5, (0.5,), 60)
    low, high = wilson(30, 60)
    assert (found.interval.low, found.interval.high) == (pytest.approx(low, abs=0.002), pytest.approx(high, abs=0.002))


def test_identical_outcomes_are_not_certain() -> None:
    for value in (0.0, 1.0):
        found = mean_over_seeds([{f"i{n}": value for n in range(20)}] * 3)
        assert found is not None
        assert (found.interval.low, found.interval.high) == wilson(round(20 * value), 20)


def test_seeds_that_differ_widen_the_interval_and_items_that_repeat_do_not_narrow_it() -> None:
    steady = [{f"i{n}": float(n < 30) for n in range(60)}] * 3
    one = mean_over_seeds(steady[:1])
    alike = mean_over_seeds(steady)
    apart = mean_over_seeds([{f"i{n}": float(n < right) for n in range(60)} for right in (15, 30, 45)])
    assert one is not None and alike is not None and apart is not None
    width = {found: found.interval.high - found.interval.low for found in (one, alike, apart)}
    assert width[alike] == pytest.approx(width[one])
    assert width[apart] > 1.2 * width[alike]


def test_items_of_a_cluster_count_as_one() -> None:
    run = {f"i{n}": float(n < 30) for n in range(60)}
    plain = mean_over_seeds([run])
    paired = mean_over_seeds([run], {f"i{n}": n // 2 for n in range(60)})
    assert plain is not None and paired is not None
    assert paired.interval.high - paired.interval.low == pytest.approx(
        math.sqrt(2) * (plain.interval.high - plain.interval.low), rel=0.05
    )


def test_only_items_that_all_runs_answered_count() -> None:
    found = mean_over_seeds([{"a": 1.0, "b": 0.0}, {"a": 1.0, "c": 1.0}])
    assert found is not None and (found.value, found.items) == (1.0, 1)
    assert mean_over_seeds([{"a": 1.0}, {"b": 1.0}]) is None
    assert mean_over_seeds([]) is None


@pytest.mark.parametrize(("middle", "of_items", "of_seeds"), [(0.0, 1.5, 0.3), (1.5, 1.0, 0.0), (-1.0, 0.5, 0.5)])
def test_the_interval_covers_the_truth(middle: float, of_items: float, of_seeds: float) -> None:
    """Items and seeds are drawn again each time; the truth is the mean over the whole population of both."""
    draw = random.Random(7)

    def right(item: float, seed: float) -> float:
        return 1 / (1 + math.exp(-(middle + item + seed)))

    def other(spread: float) -> float:
        return draw.gauss(0, spread)

    truth = sum(right(other(of_items), other(of_seeds)) for _ in range(40_000)) / 40_000
    covered, trials = 0, 400
    for _ in range(trials):
        items = [other(of_items) for _ in range(40)]
        seeds = [other(of_seeds) for _ in range(3)]
        runs = [{str(at): float(draw.random() < right(item, seed)) for at, item in enumerate(items)} for seed in seeds]
        found = mean_over_seeds(runs)
        assert found is not None
        covered += found.interval.low <= truth <= found.interval.high
    assert covered / trials >= 0.91
