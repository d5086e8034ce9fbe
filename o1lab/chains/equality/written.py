r"""Read answers in a form of their own: dates, ``noon``, ``1 hour and 30 minutes``, ``\overline{AB}``, families."""

from __future__ import annotations

import re
from collections.abc import Callable

from o1lab.chains.equality.notation import FUNCTIONS
from o1lab.chains.equality.values import Clock, Day, Family, Many, Scalar, Value
from o1lab.chains.equality.wording import as_words

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_MONTH = rf"(?P<month>{'|'.join(f'{one[:3]}(?:{one[3:]})?' for one in _MONTHS)}|sept)\.?"
_WEEKDAY = r"(?:on\s+)?(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day,?\s+)?"
_NUMBER = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_DAYS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?P<year>\d{4})-(?P<month>0[1-9]|1[0-2])-(?P<day>0[1-9]|[12]\d|3[01])",
        r"(?P<year>\d{4})\s*年\s*(?P<month>\d{1,2})\s*月\s*(?P<day>\d{1,2})\s*[日号]",
        rf"{_WEEKDAY}(?:the\s+)?{_NUMBER}\s+(?:of\s+)?{_MONTH},?\s+(?P<year>\d{{4}})",
        rf"{_WEEKDAY}{_MONTH}\s+(?:the\s+)?{_NUMBER}(?:\s*,\s*|\s+)(?P<year>\d{{4}})",
    )
]
_NAMED_TIMES = {"noon": "p", "midday": "p", "正午": "p", "中午": "p", "midnight": "a", "午夜": "a", "半夜": "a"}
_NAMED_TIME = re.compile(rf"(?:12(?::00)?\s*)?(?:at\s+)?({'|'.join(_NAMED_TIMES)})(?:\s*12\s*[点时])?", re.IGNORECASE)
_SIZES = (
    {"year": 6, "week": 5, "day": 4, "hour": 3, "h": 3, "hr": 3, "minute": 2, "min": 2, "second": 1, "sec": 1, "s": 1},
    {"mile": 4, "yard": 3, "foot": 2, "feet": 2, "ft": 2, "inch": 1, "inche": 1, "in": 1},
    {"pound": 2, "lb": 2, "ounce": 1, "oz": 1},
    {"dollar": 2, "cent": 1},
)
"""Units of which people join quantities, by size."""
_CANONICAL = {"h": "hour", "hr": "hour", "min": "minute", "sec": "second", "s": "second", "feet": "foot", "ft": "foot"}
_CANONICAL |= {"inche": "inch", "in": "inch", "lb": "pound", "oz": "ounce"}
_PIECE = re.compile(r"\s*(?P<size>\d+(?:\.\d+)?)\s*(?P<unit>[A-Za-z]+)\.?\s*")
_JOINED = re.compile(r",?\s*\band\b|,")
_SEGMENT = re.compile(r"\\overline\s*\{\s*(?:⟦\s*)?([A-Z]{2})(?:\s*⟧)?\s*\}")
_FAMILY = re.compile(
    r"(?P<body>.+?)\s*[,;:|]?\s*\(?\s*(?:⟦?\s*(?:where|for|with)(?:\s+(?:any|all|every|some))?\s*⟧?\s*)?"
    r"(?P<name>[a-zA-Z])\s*(?:∈|\\in(?![a-z]))\s*\{?(?P<set>[ZNℤℕ])\}?\s*\)?",
)
_SETS = {"ℤ": "Z", "ℕ": "N"}
_PARAMETERS = ("n", "k", "m", "j")
_DEFINED = re.compile(r"[A-Za-z]\w?\(([a-z](?:,[a-z])*)\)")
_PLACES = ("u", "v", "w")
_LETTERS = re.compile(r"\\[A-Za-z]+|⟦[^⟦⟧]*⟧|[A-Za-z]+")

_Again = Callable[[str], Value]


def day(text: str, _again: _Again) -> Value | None:
    """Read a date with its year. Numbers alone are one only in ISO form: 3/5/2024 may be March or May."""
    bare = text.replace("⟦", "").replace("⟧", "").strip().rstrip(".")
    for pattern in _DAYS:
        if found := pattern.fullmatch(bare):
            month = found["month"]
            number = int(month) if month.isdigit() else 1 + [one[:3] for one in _MONTHS].index(month[:3].lower())
            date = Day(int(found["year"]), number, int(found["day"]))
            return date if 1 <= date.month <= 12 and 1 <= date.day <= 31 else None
    return None


def named_time(text: str, _again: _Again) -> Value | None:
    """Read ``noon`` and ``midnight``."""
    found = _NAMED_TIME.fullmatch(text.strip("⟦⟧ ."))
    return Clock(720, _NAMED_TIMES[found[1].lower()], text) if found is not None else None


def joined(text: str, _again: _Again) -> Value | None:
    """Read a quantity in several units that are joined by words: ``1 hour and 30 minutes``. Units become smaller."""
    bare = text.replace("⟦", " ").replace("⟧", " ")
    if _JOINED.search(bare) is None:
        return None
    pieces = [_PIECE.fullmatch(part) for part in _JOINED.split(bare)]
    named = [(piece["size"], piece["unit"].lower()) for piece in pieces if piece is not None]
    if len(named) < len(pieces):
        return None
    units = [unit if unit in {"s", "h"} else unit.removesuffix("s") for _, unit in named]
    for sizes in _SIZES:
        order = [sizes.get(unit, 0) for unit in units]
        if all(order) and order == sorted(set(order), reverse=True):
            scalars = (Scalar(size, _CANONICAL.get(unit, unit)) for (size, _), unit in zip(named, units, strict=True))
            return Many(tuple(scalars), "sum")
    return None


def segment(text: str, _again: _Again) -> Value | None:
    r"""Read ``\overline{AB}``, a segment between two points, as its name. Digits under a line repeat."""
    found = _SEGMENT.fullmatch(text)
    return as_words(found[1]) if found is not None else None


def family(text: str, again: _Again) -> Value | None:
    r"""Read ``k\pi, k \in \mathbb{Z}``: values for each number of a set."""
    found = _FAMILY.fullmatch(text)
    if found is None or found["name"] not in _runs(found["body"]):
        return None
    free = [one for one in _PARAMETERS if one == found["name"] or one not in _runs(found["body"])]
    name = free[0] if free else found["name"]
    return Family(again(_renamed(found["body"], {found["name"]: name})), name, _SETS.get(found["set"], found["set"]))


def definition(left: str, body: str, again: _Again) -> Value | None:
    """Return the right side of ``f(x) = ...`` with fixed names for its arguments; None otherwise."""
    found = _DEFINED.fullmatch(re.sub(r"\s+", "", left))
    names = found[1].split(",") if found is not None else []
    if not names or len(set(names)) < len(names) or len(names) > len(_PLACES):
        return None
    places = _PLACES[: len(names)]
    if set(places) & (_runs(body) - set(names)):
        return None
    return again(_renamed(body, dict(zip(names, places, strict=True))))


def _runs(text: str) -> set[str]:
    """Return the single letters that stand for variables in a formula."""
    return {letter for run in _LETTERS.findall(text) if _is_product(run) for letter in run}


def _is_product(run: str) -> bool:
    """Whether a run of letters is a product of variables, and neither a command, a function nor words."""
    return run[0] not in "\\⟦" and run.lower() not in FUNCTIONS and len(run) < 4


def _renamed(text: str, names: dict[str, str]) -> str:
    def replaced(at: re.Match[str]) -> str:
        return "".join(names.get(one, one) for one in at.group()) if _is_product(at.group()) else at.group()

    return _LETTERS.sub(replaced, text)
