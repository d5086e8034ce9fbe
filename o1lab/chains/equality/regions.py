"""Intervals, unions of intervals, and the inequalities that mean them."""

from __future__ import annotations

import re

from o1lab.chains.equality import arithmetic
from o1lab.chains.equality.values import Interval, Many, Region, Relation, Scalar, Value

_SIGN = re.compile("[<>≤≥≠]")
_ABSOLUTE = re.compile(r"\|\s*([^|]+?)\s*\|")
NAME = r"(?:\\[a-zA-Z]+|[A-Za-zπ])(?:_(?:\{[^{}]*\}|[A-Za-z0-9]))?'*"
FULL_NAME = re.compile(rf"{NAME}(?:\s*\((?:[^()]|\([^()]*\))*\))?|[A-Za-z]{{2,}}|⟦[^⟦⟧]*⟧")
REALS = Region((Interval("-∞", "∞", True, True),))


def has_inequality(text: str) -> bool:
    """Return whether a text contains a sign of an inequality."""
    return _SIGN.search(text) is not None


def as_region(value: Value) -> Region | None:
    """Return a value as a region: a pair in brackets is an interval too."""
    if isinstance(value, Region):
        return value
    if isinstance(value, Many) and len(value.items) == 2 and value.style in {"tuple", "brackets"}:
        low, high = value.items
        if isinstance(low, Scalar) and isinstance(high, Scalar):
            is_open = value.style == "tuple"
            return Region((Interval(low.source, high.source, is_open, is_open),))
    return None


def interval(low: str, high: str, *, open_low: bool, open_high: bool) -> Region:
    """Return an interval; infinite ends are open."""
    low, high = (end.replace("+∞", "∞").strip() for end in (low, high))
    return Region((Interval(low, high, open_low or "∞" in low, open_high or "∞" in high),))


def joined(regions: list[Region], *, either: bool) -> Region:
    """Return the union of regions; two half-lines that overlap are a condition with "and" unless ``either``."""
    pieces = tuple(piece for region in regions for piece in region.pieces)
    if not either and len(pieces) == 2:
        upper, lower = sorted(pieces, key=lambda piece: piece.high != "∞")
        low, high = arithmetic.real(upper.low), arithmetic.real(lower.high)
        if upper.high == "∞" and lower.low == "-∞" and low is not None and high is not None and low < high:
            return Region((Interval(upper.low, lower.high, upper.open_low, lower.open_high),))
    return Region(pieces)


def without(region: Region, points: list[str]) -> Region | None:
    """Return a region without some points; None if a number among them is not known."""
    pieces = list(region.pieces)
    for point in points:
        at = arithmetic.real(point)
        for index, piece in enumerate(pieces):
            low, high = arithmetic.real(piece.low), arithmetic.real(piece.high)
            if at is None or low is None or high is None:
                return None
            if low < at < high:
                left = Interval(piece.low, point, piece.open_low, True)
                pieces[index : index + 1] = [left, Interval(point, piece.high, True, piece.open_high)]
                break
            if at in {low, high}:
                pieces[index] = Interval(
                    piece.low, piece.high, piece.open_low or at == low, piece.open_high or at == high
                )
                break
    return Region(tuple(pieces))


def compared(text: str) -> Region | Relation | None:
    """Read inequalities: a region where they bound one variable by numbers, else a chain of terms."""
    signs = tuple(_SIGN.findall(text))
    terms = tuple(term.strip() for term in _SIGN.split(text))
    if not signs or not all(terms) or len(signs) > 4 or "⟦" in text or "\\begin" in text:
        return None
    if set(signs) <= {">", "≥"}:
        signs = tuple("<" if sign == ">" else "≤" for sign in reversed(signs))
        terms = terms[::-1]
    elif not set(signs) <= {"<", "≤"} and signs != ("≠",):
        return None
    free = [at for at, term in enumerate(terms) if arithmetic.real(term) is None]
    return (_bounding(terms, signs, free[0]) if len(free) == 1 else None) or Relation(terms, signs)


def _bounding(terms: tuple[str, ...], signs: tuple[str, ...], free: int) -> Region | None:
    """Return what inequalities say about their only term that is not a number: a name or its absolute value."""
    opened = [sign == "<" for sign in signs]
    absolute = _ABSOLUTE.fullmatch(terms[free])
    if not FULL_NAME.fullmatch(absolute[1] if absolute else terms[free]):
        return None
    if absolute:
        if len(terms) != 2 or signs == ("≠",):
            return None
        bound = terms[1 - free]
        if free == 0:
            return interval(f"-({bound})", bound, open_low=opened[0], open_high=opened[0])
        outer = (("-∞", f"-({bound})"), (bound, "∞"))
        return joined([interval(*ends, open_low=opened[0], open_high=opened[0]) for ends in outer], either=True)
    if signs == ("≠",):
        return without(REALS, [terms[1 - free]])
    if len(terms) == 2:
        low, high = ("-∞", terms[1]) if free == 0 else (terms[0], "∞")
        return interval(low, high, open_low=opened[0], open_high=opened[0])
    if len(terms) == 3 and free == 1:
        return interval(terms[0], terms[2], open_low=opened[0], open_high=opened[1])
    return None
