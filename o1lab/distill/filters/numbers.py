r"""Decide whether an answer is one exact real number, with or without a unit.

Answers are read by :mod:`o1lab.chains.equality`, as for verification. Integers, decimals, fractions, percentages,
roots, multiples of pi and expressions of such constants are numbers; tuples, intervals, sets, equations, free
variables, words, option letters and approximations are not.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

from o1lab.chains.answers import extract_answer
from o1lab.chains.equality import arithmetic
from o1lab.chains.equality.notation import plain
from o1lab.chains.equality.reading import RATIO, read
from o1lab.chains.equality.values import Based, Equation, Family, Many, Option, Region, Relation, Scalar, Value, Words
from o1lab.distill.filters.rule import quoted

LONGEST = 2000  # characters of an expression; a number of digits may have any length


class Reading(NamedTuple):
    """What an answer is (one number, several, or something else), and why."""

    kind: Literal["number", "several", "other"]
    why: str


_NUMBER = Reading("number", "is a number")
_DIGITS = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")
_GROUPED = re.compile(r"(?<![\w.,^])\d{1,3}(?: \d{3})+(?![\d/])")  # 1 000 000
_BOXED = re.compile(r"(?:[$\s]|\\[(\[])*\\(?:boxed|fbox)\s*\{[^$]*\}(?:[$\s.]|\\[)\]])*")
_FLOOR = re.compile(r"\\(?:(l)|r)(?:floor|ceil)(?![a-zA-Z])")
_COMMON_LOGARITHM = re.compile(r"\\?\blo?g(?![a-zA-Z])(?!\s*_)")
_WRITTEN = re.compile(r"[\dπ√]|\\[a-z]+")  # a number in other words is not exactly written
_KINDS: dict[type, str] = {
    Region: "is an interval", Relation: "is an equation or inequality", Equation: "is an equation or inequality",
    Words: "is in words", Option: "is an option letter", Family: "is a family of values",
}  # fmt: skip


@lru_cache(maxsize=1024)  # two rules read the answer of a problem
def read_answer(answer: str) -> Reading:
    """Classify an answer; the reason completes "the answer ...".

    Several numbers are separated by commas, semicolons, "and" or "or" at the top level, or are ``a ± b``.
    """
    given = answer.strip()
    answer = _GROUPED.sub(lambda at: at[0].replace(" ", ""), given)
    if _DIGITS.fullmatch(answer):
        return _NUMBER
    if len(answer) > LONGEST:
        return Reading("other", "is too long to be one")
    boxed = extract_answer(answer) if _BOXED.fullmatch(answer) else None
    inner = boxed.text if boxed is not None else answer
    text = plain(inner)
    if not text:
        return Reading("other", "is empty")
    value = read(_FLOOR.sub(lambda at: "(" if at[1] else ")", inner))
    if isinstance(value, Many) and value.style in ("list", "tuple", "brackets") and len(value.items) == 1:
        value = value.items[0]
    items = value.items if isinstance(value, Many) and value.style == "list" else (value,)
    why = next(filter(None, (_why_not(item, text) for item in items)), "")
    if why:
        return Reading("other", f"{why}: {quoted(given)}")
    return Reading("several", f"is several numbers: {quoted(given)}") if len(items) > 1 else _NUMBER


def _why_not(value: Value, text: str) -> str:
    """Return why a value in an answer is not an exact real number; empty if it is one."""
    if why := _KINDS.get(type(value)):
        return why
    if any(sign in text for sign in "≈…∞"):
        return "is infinite" if "∞" in text else "is not exactly written"
    if isinstance(value, Many) and value.style != "sum":
        return {"set": "is a set", "ratio": "is a ratio"}.get(value.style, "is a tuple or an interval")
    if isinstance(value, Based | Many):
        return ""
    if not isinstance(value, Scalar) or RATIO.search(text):
        return "is a date, a ratio, a time or a residue"
    if variables := arithmetic.variables(value.source):
        return f"has a variable {min(variables)}"
    if not _WRITTEN.search(text):
        return "is in words"
    return arithmetic.fault(_COMMON_LOGARITHM.sub(r"\\ln", value.source))
