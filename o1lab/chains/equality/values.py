"""The kinds of answers that are compared each in its own way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from o1lab.chains.equality import arithmetic


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number or formula in plain notation, its unit (in canonical form) and whether it is a percentage."""

    source: str
    unit: str = ""
    percent: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """Text, without case, spaces and punctuation, what comes before its first comma, and the formula at its end."""

    key: str
    lead: str = ""
    tail: Value | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """An option's letter, and what follows it: ``(B) 26``."""

    letter: str
    rest: Value | None = None


@dataclass(frozen=True, slots=True)
class Many:
    """Several values. The order counts in a ``tuple`` and in ``brackets``; a ``sum`` is ``5 ft 6 in``."""

    items: tuple[Value, ...]
    style: Literal["list", "set", "tuple", "brackets", "ratio", "sum"]


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval between two formulas; ``∞`` is infinity."""

    low: str
    high: str
    open_low: bool
    open_high: bool


@dataclass(frozen=True, slots=True)
class Region:
    """A union of intervals."""

    pieces: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """A chain of terms with ``<``, ``≤`` or ``≠`` between them, from the left to the right."""

    terms: tuple[str, ...]
    signs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Equation:
    """An equation.

    Attributes:
        left: the left side, without spaces.
        right: the last side, as a value.
        last: the last side as written.
        named: whether the left side is a name such as ``x`` or ``f(2)``, so that the right side says all.
        gives: whether the left side may name the value on the right, as in ``a + b = 25``; not so in ``x^2 = 25``.
        defines: the right side of a definition such as ``f(t) = 2t`` with fixed names for its arguments.
    """

    left: str
    right: Value
    last: str
    named: bool
    gives: bool
    defines: Value | None = None


@dataclass(frozen=True, slots=True)
class Either:
    """The same value written several times: ``1/3 ≈ 0.333``."""

    options: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day: minutes since midnight as written, and ``a``, ``p`` or nothing."""

    minutes: int
    half: str
    source: str

    @property
    def minutes_of_day(self) -> int:
        """The minutes since midnight."""
        if not self.half:
            return self.minutes
        return self.minutes % 720 + (720 if self.half == "p" else 0)


@dataclass(frozen=True, slots=True)
class Day:
    """A date."""

    year: int
    month: int
    day: int


@dataclass(frozen=True, slots=True)
class Family:
    r"""Values for each number of a set: ``k\pi``, ``k`` in ``Z``. The parameter has a fixed name where one is free."""

    value: Value
    name: str
    numbers: str


@dataclass(frozen=True, slots=True)
class Based:
    """A number in a base."""

    digits: str
    base: int


@dataclass(frozen=True, slots=True)
class Residue:
    """A value and its modulus."""

    value: Value
    modulus: str


Value = Scalar | Words | Option | Many | Region | Relation | Equation | Either | Clock | Day | Family | Based | Residue

_KINDS: dict[type, str] = {
    Words: "text", Option: "option", Many: "list", Region: "interval", Relation: "inequality", Equation: "equation",
    Clock: "time", Day: "date", Family: "family", Based: "number", Residue: "residue", Either: "number",
}  # fmt: skip


def kind_of(value: Value) -> str:
    """Return what a value is, in a word."""
    if isinstance(value, Scalar):
        return "formula" if arithmetic.variables(value.source) else "number"
    return _KINDS[type(value)]
