r"""Decide without sympy whether formulas are equal.

Each variable has a fixed pseudo-random value, so that two formulas are equal if their values are (Schwartz-Zippel):
``x^2-1`` and ``(x-1)(x+1)``. They are computed at three points: ``\\sqrt{x^2}`` equals ``x`` for positive ``x`` only. A
formula with a sign that is not understood has no value; sympy decides about it in another process.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from fractions import Fraction
from functools import lru_cache

from o1lab.chains.equality.formula import NotComputedError, Number, UnsureError, as_float, compute, context, names

_LONGEST = 600
_FAILURES = (UnsureError, ArithmeticError, ValueError, RecursionError, TypeError)
_EQUAL = 1e-35
_KEY_DIGITS = 25
_LOCK = threading.Lock()  # a context of mpmath has one precision for all threads


@lru_cache(maxsize=8192)
def exact(text: str) -> Fraction | None:
    """Return the value of a formula that is an exact rational number, else None."""
    value = _evaluated(text, "")
    return value if isinstance(value, Fraction) else None


@lru_cache(maxsize=8192)
def values(text: str) -> tuple[Number, ...] | None:
    """Return the values of a formula where variables are positive, negative, of either sign. None if it has none."""
    found = []
    for point in "+-~":
        value = _evaluated(text, point)
        if value is None:
            return None
        found.append(value)
        if isinstance(value, Fraction):
            break
    return tuple(found)


def equal(one: tuple[Number, ...], other: tuple[Number, ...]) -> bool | None:
    """Return whether two results of :func:`values` are equal; None if they are equal for positive variables only."""
    pairs = zip(one + one[-1:] * (3 - len(one)), other + other[-1:] * (3 - len(other)), strict=True)
    with _LOCK:
        first, *rest = (_close(left, right) for left, right in pairs)
    return None if first and not all(rest) else first


def ratio(one: tuple[Number, ...], other: tuple[Number, ...]) -> float | None:
    """Return the real number c with one = c·other at all points; None if there is none."""
    if len(one) < 3 or len(other) < 3:
        return None
    with _LOCK:
        over, under = [as_float(part) for part in one], [as_float(part) for part in other]
        if not all(under) or not all(over):
            return None
        ratios = [left / right for left, right in zip(over, under, strict=True)]
        if not all(_close(ratios[0], part) for part in ratios[1:]) or abs(ratios[0].imag) > _EQUAL:
            return None
        return float(ratios[0].real)


def rounds_to(one: Number, other: Number, places: int, most: Fraction) -> bool:
    """Return whether two numbers agree rounded to ``places`` decimals, and differ by at most the part ``most``."""
    if isinstance(one, Fraction) and isinstance(other, Fraction):
        return abs(one - other) <= most * abs(one) and round(one, places) == round(other, places)
    with _LOCK:
        left, right = as_float(one), as_float(other)
        return bool(abs(left - right) <= float(most) * abs(left) and abs(left - right) < 0.5 * 10.0**-places)


def key(one: tuple[Number, ...]) -> Hashable:
    """Return what is the same for equal values: a number where it is a whole one or a fraction, else its digits."""
    if isinstance(one[0], Fraction):
        return one[0]
    with _LOCK:
        points = one[:1] if all(_close(one[0], part) for part in one) else one
        if len(points) == 1 and _close(points[0], whole := Fraction(int(context().nint(points[0].real)))):
            return whole
        return " ".join(context().nstr(context().chop(as_float(part)), _KEY_DIGITS) for part in points)


@lru_cache(maxsize=8192)
def variables(text: str) -> frozenset[str]:
    """Return the names of a formula that stand for variables, without subscripts."""
    return names(text)


def real(text: str) -> float | None:
    """Return a constant as a float, with infinities; None if it is none."""
    if text.strip("+- ") == "∞":
        return float("-inf") if text.strip().startswith("-") else float("inf")
    found = None if variables(text) else values(text)
    if found is None:
        return None
    with _LOCK:
        value = as_float(found[0])
        return None if getattr(value, "imag", 0) else float(value.real)


def fault(text: str) -> str:
    """Return why a formula without variables is not a real number; empty if it is one, even if it is not computed."""
    if len(text) > _LONGEST:
        return "is too long to be read"
    with _LOCK:
        try:
            value = compute(text, "")
        except NotComputedError:
            return ""
        except _FAILURES as error:
            return str(error) if isinstance(error, UnsureError) and error.args else "cannot be read as a number"
        if isinstance(value, Fraction) or (context().isfinite(value) and abs(value.imag) <= _EQUAL * abs(value)):
            return ""
        return "is not real"


def _close(left: Number, right: Number) -> bool:
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left == right
    left, right = as_float(left), as_float(right)
    return bool(abs(left - right) <= _EQUAL * max(abs(left), abs(right)))


def _evaluated(text: str, point: str) -> Number | None:
    if len(text) > _LONGEST:
        return None
    with _LOCK:
        try:
            value = compute(text, point)
        except _FAILURES:
            return None
        if isinstance(value, Fraction):
            return value
        size = abs(value)
        if not context().isfinite(value) or (size and not context().mpf("1e-200") < size < context().mpf("1e200")):
            return None
        return value
