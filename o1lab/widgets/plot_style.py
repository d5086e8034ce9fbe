"""How curves look: the letter and the colour of each, which it keeps, and the labels of the axes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil, floor, log10

from textual_plot import NumericAxisFormatter

from o1lab.format import duration, short_count

_COLOURS = ("cyan", "yellow", "magenta", "green", "blue", "red")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class CurveStyle:
    """How a curve is drawn; the letter tells curves apart where colours repeat."""

    letter: str
    colour: str


@dataclass
class CurveStyles:
    """Styles by the name of a curve. A name gets the next letter, and the colour least used by what is drawn."""

    _styles: dict[str, CurveStyle] = field(default_factory=dict)

    def of(self, name: str, drawn: Iterable[str] = ()) -> CurveStyle:
        """Return the style of a curve; a new one is chosen against those of the curves that are ``drawn``."""
        if name not in self._styles:
            used = Counter(self._styles[other].colour for other in drawn if other in self._styles)
            colour = min(_COLOURS, key=lambda one: (used[one], _COLOURS.index(one)))
            self._styles[name] = CurveStyle(_LETTERS[len(self._styles) % len(_LETTERS)], colour)
        return self._styles[name]


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
    """Ticks of the x axis at whole numbers of its unit, each with another label."""

    def __init__(self, words: Callable[[float], str]) -> None:
        super().__init__()
        self._words = words

    def get_ticks(self, min_: float, max_: float, max_ticks: int = 8) -> list[float]:
        ticks = super().get_ticks(min_, max_, max_ticks)
        if any(after - tick < 1 for tick, after in pairwise(ticks)):
            ticks = [float(whole) for whole in range(ceil(min_), floor(max_) + 1)] or ticks
        first_of = dict(reversed([(self._words(tick), tick) for tick in ticks]))
        return sorted(first_of.values())

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        return [self._words(tick) for tick in ticks]


X_AXES: Mapping[str, Callable[[float], str]] = {
    "steps": lambda value: f"{value:,.0f}",
    "tokens": lambda value: short_count(round(value)),
    "time": duration,
}
"""What the x axis can show, and how its values are written."""
