"""The labels of the axes of a plot: logarithmic values, and steps, tokens or time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil, floor, log10

from textual_plot import NumericAxisFormatter

from o1lab.format import duration, short_count


class LogFormatter(NumericAxisFormatter):
    """Ticks of a logarithmic axis; the values of the plot are decimal logarithms."""

    def get_ticks(self, min_: float, max_: float, max_ticks: int = 8) -> list[float]:
        decades = range(floor(min_), ceil(max_) + 1)
        steps = (1,) if max_ - min_ > 3 else (1, 2, 5)
        ticks = [decade + log10(step) for decade in decades for step in steps]
        inside = [tick for tick in ticks if min_ <= tick <= max_]
        return inside if len(inside) > 1 else super().get_ticks(min_, max_, max_ticks)

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        return [f"{10**tick:.3g}" for tick in ticks]


class XFormatter(NumericAxisFormatter):
    """Labels of the x axis in its unit."""

    def __init__(self, words: Callable[[float], str]) -> None:
        super().__init__()
        self._words = words

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        return [self._words(tick) for tick in ticks]


X_AXES: Mapping[str, Callable[[float], str]] = {
    "steps": lambda value: f"{value:,.0f}",
    "tokens": lambda value: short_count(round(value)),
    "time": duration,
}
"""What the x axis can show, and how its values are written."""
