r"""Compare an answer with the gold answer, both read as what the gold answer is.

:func:`same` returns True, False, or None where only algebra or a conversion of units can tell. With an
:class:`Algebra`, which the verifying process has, it always decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from fractions import Fraction
from typing import Protocol, TypeVar

from o1lab.chains.equality import arithmetic
from o1lab.chains.equality.regions import as_region
from o1lab.chains.equality.values import (
    Based,
    Clock,
    Day,
    Either,
    Equation,
    Family,
    Interval,
    Many,
    Option,
    Region,
    Relation,
    Residue,
    Scalar,
    Value,
    Words,
)
from o1lab.chains.equality.wording import words_key

Part = TypeVar("Part")

_ROUNDED = Fraction(1, 10_000)
_PLACES = 6  # decimals that agree in this many places are equal: 0.333333 is 1/3
_DECIMAL = re.compile(r"\.\d|\d[eE][+-]?\d")
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+")


class Algebra(Protocol):
    """What needs sympy or pint."""

    def equal(self, gold: str, answer: str) -> bool:
        """Return whether two formulas or equations in plain notation are equal."""
        ...

    def convert(self, one: str, other: str) -> tuple[Fraction, Fraction] | None:
        """Return (a, b) so that x of one unit are a·x + b of the other, or None."""
        ...


def same(gold: Value, answer: Value, algebra: Algebra | None = None) -> bool | None:  # noqa: PLR0912 - one case a kind
    """Return whether ``answer`` gives what ``gold`` asks for; None if that needs algebra and there is none."""
    if gold == answer:
        return True

    def again(one: Value, other: Value) -> bool | None:
        return same(one, other, algebra)

    match gold, answer:
        case Either(), _:
            return _any(again(one, answer) for one in gold.options)
        case _, Either():
            return _any(again(gold, one) for one in answer.options)
        case Option(), Option():
            return gold.letter == answer.letter
        case Option(), Equation():
            return answer.gives and again(gold, answer.right)
        case Option(), _:
            if gold.rest is not None:
                return again(gold.rest, answer)
            if isinstance(answer, Scalar):
                return answer.source.upper() == gold.letter
            return isinstance(answer, Words) and answer.tail is not None and again(gold, answer.tail)
        case ((Many() | Words()), (Many() | Words() | Option())) if _letters(gold) and _letters(answer):
            return _letters(gold) == _letters(answer)
        case _, Option():
            return again(gold, Scalar(answer.letter) if answer.rest is None else answer.rest)
        case Residue(), Residue():
            return _all((again(gold.value, answer.value), again(Scalar(gold.modulus), Scalar(answer.modulus))))
        case Residue(), _:
            return again(gold.value, answer)
        case _, Residue():
            return again(gold, answer.value)
        case Equation(), Equation():
            return _equations(gold, answer, algebra)
        case Equation(), Words() if isinstance(gold.right, Words):
            return words_key(f"{gold.left}={gold.last}") == answer.key or again(gold.right, answer)
        case Equation(), _:
            return gold.named and again(gold.right, answer)
        case _, Equation():
            return answer.gives and again(gold, answer.right)
        case Words(), _:
            return _words(gold, answer)
        case _, Words():
            if answer.tail is not None:
                return again(gold, answer.tail)
            return isinstance(gold, Scalar) and words_key(gold.source) == answer.key
        case (Many(style="sum"), Many(style="sum") | Scalar()) | (Scalar(), Many(style="sum")):
            return _sums(gold, answer, algebra)
        case Many(), Many():
            return _several(gold, answer, again)
        case Many(), Region():
            region = as_region(gold)
            return region is not None and _regions(region, answer, algebra)
        case Many(), Scalar():
            if len(gold.items) == 1:
                return again(gold.items[0], answer)
            return bool(_GROUPED.fullmatch(answer.source)) and again(gold, _split(answer))
        case Region(), _:
            given = as_region(answer)
            return given is not None and _regions(gold, given, algebra)
        case Relation(), Relation():
            return _relations(gold, answer, algebra)
        case Family(), Family():
            return gold.numbers == answer.numbers and again(gold.value, answer.value)
        case Clock(), Clock():
            return _clocks(gold, answer)
        case Clock(), Scalar():
            return again(_ratio(gold), answer)
        case Scalar(), Clock():
            return again(gold, _ratio(answer))
        case Based(), Based():
            return int(gold.digits, gold.base) == int(answer.digits, answer.base)
        case Based(), Scalar():
            return gold.digits == answer.source.lstrip("0")
        case Scalar(), Based():
            value = Scalar(str(int(answer.digits, answer.base)))
            return gold == Scalar(answer.digits) or again(gold, value)
        case Scalar(), Many():
            if len(answer.items) == 1:
                return again(gold, answer.items[0])
            return bool(_GROUPED.fullmatch(gold.source)) and answer.style == "list" and again(_split(gold), answer)
        case Scalar(), Scalar():
            return _scalars(gold, answer, algebra)
    return False


def _any(results: Iterable[bool | None]) -> bool | None:
    found = list(results)
    return True if True in found else (None if None in found else False)


def _all(results: Iterable[bool | None]) -> bool | None:
    unsure = False
    for result in results:
        if result is False:
            return False
        unsure = unsure or result is None
    return None if unsure else True


def _split(scalar: Scalar) -> Many:
    """Read ``123,456`` as two numbers."""
    return Many(tuple(Scalar(part) for part in scalar.source.split(",")), "list")


def _letters(value: Value) -> str:
    """Return the letters of a choice of several options: ``A, C`` or ``AC``; empty if it is none."""
    if isinstance(value, Many) and all(isinstance(item, Option) and item.rest is None for item in value.items):
        return "".join(sorted(item.letter for item in value.items if isinstance(item, Option)))
    if isinstance(value, Words) and re.fullmatch("[a-h]{2,6}", value.key) and list(value.key) == sorted(set(value.key)):
        return value.key.upper()
    return ""


def _words(gold: Words, answer: Value) -> bool:
    match answer:
        case Words():
            return gold.key == answer.key or (gold.key in {"yes", "no", "true", "false"} and answer.lead == gold.key)
        case Scalar():
            return gold.key == words_key(answer.source)
        case Many(items=(single,)):
            return _words(gold, single)
        case Many(items=letters) if all(isinstance(one, Option) for one in letters):
            return gold.key == "".join(one.letter for one in letters if isinstance(one, Option)).casefold()
        case Many(items=(first, *_)) if gold.key in {"yes", "no", "true", "false"}:
            return isinstance(first, Words) and first.key == gold.key
    return False


def _clocks(gold: Clock, answer: Clock) -> bool:
    """Compare times of day; where one has no half of the day, it counts on the clock with 24 or with 12 hours."""
    if gold.half and answer.half:
        return gold.minutes_of_day == answer.minutes_of_day
    return gold.minutes == answer.minutes or gold.minutes_of_day == answer.minutes_of_day


def _ratio(clock: Clock) -> Scalar:
    hours, minutes = divmod(clock.minutes, 60)
    return Scalar(f"({hours})/({minutes})" if ":" in clock.source and not clock.half else str(hours))


def _several(gold: Many, answer: Many, again: Callable[[Value, Value], bool | None]) -> bool | None:
    """Compare lists, sets and tuples. Multiplicity counts where the gold answer has it."""
    expected, given = list(gold.items), list(answer.items)
    names = [{one.left: one.right for one in items if isinstance(one, Equation)} for items in (expected, given)]
    if len(names[0]) == len(expected) and names[0].keys() == names[1].keys() and len(names[1]) == len(given):
        return _all(again(value, names[1][name]) for name, value in names[0].items())
    if gold.style == "ratio" or answer.style == "ratio":
        return len(expected) == len(given) and _all(
            again(
                Scalar(f"({_source(one)})/({_source(expected[0])})"),
                Scalar(f"({_source(other)})/({_source(given[0])})"),
            )
            for one, other in zip(expected, given, strict=True)
        )
    if gold.style in {"tuple", "brackets"}:
        closed = answer.style == "brackets" and as_region(answer) is not None
        if len(expected) != len(given) or (gold.style == "tuple" and closed):
            return False
        return _all(again(one, other) for one, other in zip(expected, given, strict=True))
    if len(given) > len(expected) and len({canonical(one) for one in expected}) == len(expected):
        given = list({canonical(one): one for one in given}.values())
    return _matched(expected, given, again)


def _matched(
    expected: Sequence[Part], given: Sequence[Part], equal: Callable[[Part, Part], bool | None]
) -> bool | None:
    """Return whether each expected part equals another given one, in any order, and none is left."""
    if len(given) != len(expected):
        return False
    left, unsure = list(given), False
    for one in expected:
        found = [equal(one, other) for other in left]
        if True in found:
            left.pop(found.index(True))
        elif None in found:
            unsure = True
        else:
            return False
    return None if unsure else True


def _sums(gold: Value, answer: Value, algebra: Algebra | None) -> bool | None:
    """Compare quantities of which one is a sum: ``5 ft 6 in`` and ``66 in``."""
    if algebra is None:
        return None
    sides = [[one for one in (side.items if isinstance(side, Many) else (side,)) if isinstance(one, Scalar)]
             for side in (gold, answer)]  # fmt: skip
    totals = []
    for side in sides:
        factors = [algebra.convert(one.unit, sides[0][0].unit) if one.unit else None for one in side]
        if None in factors:
            return False
        totals.append("+".join(f"({one.source})*({two[0]})" for one, two in zip(side, factors, strict=True) if two))
    return _formulas(totals[0], totals[1], algebra, rounded="".join(totals))


def _source(value: Value) -> str:
    return value.source if isinstance(value, Scalar) else "?"


def _regions(gold: Region, answer: Region, algebra: Algebra | None) -> bool | None:
    def pair(one: Interval, other: Interval) -> bool | None:
        if (one.open_low, one.open_high) != (other.open_low, other.open_high):
            return False
        return _all((_formulas(one.low, other.low, algebra), _formulas(one.high, other.high, algebra)))

    return _matched(gold.pieces, answer.pieces, pair)


def _relations(gold: Relation, answer: Relation, algebra: Algebra | None) -> bool | None:
    if gold.signs != answer.signs:
        return False
    terms = _all(_formulas(one, other, algebra) for one, other in zip(gold.terms, answer.terms, strict=True))
    if terms or len(gold.terms) > 2:
        return terms
    ratio = _ratio_of(gold.terms[0], gold.terms[1], answer.terms[0], answer.terms[1])
    if ratio is not None:
        return ratio > 0 or gold.signs == ("≠",)
    return terms


def _equations(gold: Equation, answer: Equation, algebra: Algebra | None) -> bool | None:
    lefts = (gold.left, answer.left)  # y = ... and f(x) = ... name the same value
    if gold.named and answer.named and (words_key(gold.left) == words_key(answer.left) or "(" in "".join(lefts)):
        found = same(gold.right, answer.right, algebra)
        if found or gold.left == answer.left:
            return found
        if gold.defines is not None and answer.defines is not None:  # f(x) = 2x and f(t) = 2t
            return same(gold.defines, answer.defines, algebra)
    ratio = _ratio_of(gold.left, gold.last, answer.left, answer.last)
    if ratio is not None:
        return True
    if isinstance(gold.right, Words) or isinstance(answer.right, Words):
        return words_key(f"{gold.left}={gold.last}") == words_key(f"{answer.left}={answer.last}")
    values = [arithmetic.values(f"({one.left})-({one.last})") for one in (gold, answer)]
    if all(values) and not arithmetic.variables(gold.left + gold.last) & arithmetic.variables(
        answer.left + answer.last
    ):
        return False
    return algebra.equal(f"{gold.left}={gold.last}", f"{answer.left}={answer.last}") if algebra else None


def _ratio_of(left: str, right: str, other_left: str, other_right: str) -> float | None:
    """Return the number c with left - right = c·(other_left - other_right) everywhere; None if there is no such c."""
    one, other = arithmetic.values(f"({left})-({right})"), arithmetic.values(f"({other_left})-({other_right})")
    return None if one is None or other is None else arithmetic.ratio(one, other)


def _scalars(gold: Scalar, answer: Scalar, algebra: Algebra | None) -> bool | None:
    """Compare numbers and formulas. The answer's unit counts only where the gold answer has one."""
    if gold.percent or answer.percent:
        part, whole = (gold, answer) if gold.percent else (answer, gold)
        if whole.unit:
            return False
        hundredth = f"({part.source})/100"
        if gold.percent and answer.percent:
            return _formulas(gold.source, answer.source, algebra)
        return _any((_formulas(part.source, whole.source, algebra), _formulas(hundredth, whole.source, algebra)))
    if gold.unit == "degree" and not answer.unit and "π" in answer.source:
        return _formulas(f"({gold.source})*π/180", answer.source, algebra)
    if answer.unit == "degree" and not gold.unit and "π" in gold.source:
        return _formulas(gold.source, f"({answer.source})*π/180", algebra)
    if gold.unit in {"", answer.unit} or not answer.unit:
        return _formulas(gold.source, answer.source, algebra)
    if algebra is None:
        return None
    conversion = algebra.convert(answer.unit, gold.unit)
    if conversion is None:
        return False
    scale, offset = conversion
    return _formulas(
        gold.source, f"({answer.source})*({scale})+({offset})", algebra, rounded=gold.source + answer.source
    )


def _formulas(gold: str, answer: str, algebra: Algebra | None, *, rounded: str = "") -> bool | None:
    if re.sub(r"\s", "", gold) == re.sub(r"\s", "", answer):
        return True
    one, other = arithmetic.values(gold), arithmetic.values(answer)
    if one is None or other is None:
        if "∞" in (gold.strip("-+ "), answer.strip("-+ ")):
            return False
        return algebra.equal(gold, answer) if algebra else None
    found = arithmetic.equal(one, other)
    if found:
        return True
    constant = not arithmetic.variables(gold) and not arithmetic.variables(answer)
    if constant:
        return bool(_DECIMAL.search(rounded or gold + " " + answer)) and arithmetic.rounds_to(
            one[0], other[0], _PLACES, _ROUNDED
        )
    return algebra.equal(gold, answer) if algebra else None


def canonical(value: Value) -> Hashable:  # noqa: PLR0912 - one case a kind
    """Return a key that groups answers: equal keys are one vote.

    Equality is not transitive (``5`` equals ``5 cm`` and ``5 m``, ``50%`` equals ``50`` and ``0.5``); the key is: a
    number counts without its unit, a percentage as its hundredth, an option by its letter, the left side of an equation
    that names its value not at all.
    """
    match value:
        case Scalar():
            found = arithmetic.values(f"({value.source})/100" if value.percent else value.source)
            return re.sub(r"\s", "", value.source) if found is None else arithmetic.key(found)
        case Words():
            return value.key
        case Option():
            return value.letter.casefold()
        case Equation():
            return (
                canonical(value.right)
                if value.named
                else (canonical(Scalar(value.left)), canonical(Scalar(value.last)))
            )
        case Either():
            return canonical(value.options[0])
        case Residue():
            return canonical(value.value)
        case Based():
            return ("base", value.base, value.digits)
        case Clock():
            return ("time", value.minutes_of_day)
        case Day():
            return ("date", value.year, value.month, value.day)
        case Family():
            return ("family", value.name, value.numbers, canonical(value.value))
        case Many():
            items = [canonical(item) for item in value.items]
            return ("many", *(sorted(items, key=repr) if value.style in {"list", "set"} else items))
        case Region():
            pieces = [
                (canonical(Scalar(one.low)), canonical(Scalar(one.high)), one.open_low, one.open_high)
                for one in value.pieces
            ]
            return ("region", *sorted(pieces, key=repr))
        case Relation():
            return ("relation", *value.signs, *(canonical(Scalar(term)) for term in value.terms))
