"""The letter and the colour of each curve, which it keeps for as long as the screen exists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

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
