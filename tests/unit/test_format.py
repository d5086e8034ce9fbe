"""Formatting of figures."""

from __future__ import annotations

import math

import pytest

from o1lab.format import byte_size, duration, money, number, percent, short_count


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0s"), (59, "59s"), (109, "1m49s"), (7380, "2h03m"), (273_600, "3d04h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0112, "0.0112"), (5e-4, "5.0e-4"), (451.3, "451"), (1234.5, "1,234"), (math.nan, "NaN"), (math.inf, "+inf"),
        (None, "-"),
    ],
)  # fmt: skip
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


def test_percentages() -> None:
    assert (percent(0.4333), percent(None)) == ("43.3%", "-")


@pytest.mark.parametrize(("usd", "text"), [(0.0125, "$0.0125"), (1234.5, "$1,234.50"), (None, "price not known")])
def test_money(usd: float | None, text: str) -> None:
    assert money(usd) == text


@pytest.mark.parametrize(("count", "text"), [(873, "873 B"), (12_400, "12 kB"), (31e6, "31 MB"), (2.54e9, "2.5 GB")])
def test_byte_sizes(count: float, text: str) -> None:
    assert byte_size(count) == text


@pytest.mark.parametrize(
    ("count", "text"), [(873, "873"), (4_912, "4.9k"), (31_200, "31k"), (999_500, "1.0M"), (1_200_000, "1.2M")]
)
def test_short_counts(count: int, text: str) -> None:
    assert short_count(count) == text
