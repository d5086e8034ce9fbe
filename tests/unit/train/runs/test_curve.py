"""Curves: nothing tall is lost, nothing that is no number is drawn."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from o1lab.train.runs.curve import downsample, series


@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400),
    columns=st.integers(1, 60),
)
def test_extremes_and_ends_survive_and_order_stays(values: list[float], columns: int) -> None:
    x = np.arange(len(values), dtype=float)
    kept_x, kept_y = downsample(x, np.array(values), columns)
    assert len(kept_x) <= max(2 * columns + 2, 1)
    assert kept_y.min() == min(values)
    assert kept_y.max() == max(values)
    assert kept_x[0] == 0
    assert kept_x[-1] == len(values) - 1
    assert np.all(np.diff(kept_x) > 0)
    assert all(values[int(at)] == y for at, y in zip(kept_x, kept_y, strict=True))


def test_a_single_spike_in_100_000_steps_is_drawn() -> None:
    y = np.ones(100_000)
    y[54_321] = 50.0
    drawn = series(np.arange(100_000.0), y, columns=80)
    assert drawn.y.max() == 50.0
    assert len(drawn.x) <= 162


def test_a_value_that_is_not_a_number_is_a_gap() -> None:
    drawn = series([1.0, 2.0, 3.0, 4.0], [1.0, math.nan, math.inf, 2.0], columns=10)
    assert drawn.y.tolist() == [1.0, 2.0]
    assert drawn.gaps.tolist() == [2.0, 3.0]


def test_a_log_axis_leaves_out_what_has_no_logarithm() -> None:
    drawn = series([1.0, 2.0, 3.0], [0.0, -1.0, 2.0], columns=10, log=True)
    assert drawn.y.tolist() == [2.0]
    assert drawn.gaps.tolist() == [1.0, 2.0]


def test_zooming_keeps_every_point_of_a_small_range() -> None:
    drawn = series(np.arange(1000.0), np.arange(1000.0), columns=40, x_range=(100, 119))
    assert drawn.x.tolist() == list(range(100, 120))


def test_an_empty_curve_is_empty() -> None:
    assert len(series([], [], columns=80).x) == 0
