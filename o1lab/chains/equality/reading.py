r"""Read an answer as what it is: a number with its unit, an option, words, a list, an interval, an equation, ...

:func:`read` never fails: what it does not recognise is a formula (``Scalar``), about which sympy decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from o1lab.chains.equality import arithmetic, regions, units, written
from o1lab.chains.equality.notation import FUNCTIONS, closing, plain
from o1lab.chains.equality.numerals import spelled
from o1lab.chains.equality.values import (
    Based,
    Clock,
    Either,
    Equation,
    Many,
    Option,
    Region,
    Residue,
    Scalar,
    Value,
    Words,
)
from o1lab.chains.equality.wording import as_words, formula_after, wordy

_DEEPEST = 8
_LONGEST = 2000

_AND = r"(?:⟦\s*,?\s*(?:and|or|&)\s*⟧|(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])|&|[或和与及且])"
_SEPARATOR = re.compile(rf"\s*(?:[,;]\s*{_AND}|[,;]|{_AND})\s*")
_GROUPED = re.compile(r"(?<![\d,.])[1-9]\d{0,2}(?:,\d{3})+(?![\d,])")
_OPTION = re.compile(
    r"⟦?\s*(?:(?:[Oo]ption|[Cc]hoice|选项?)\s*)?"
    r"(?:\((?P<round>[A-J])\)[.:]?|(?P<marked>[A-J])[.):]|(?P<alone>[A-J])(?=\s*⟧?\s*$))"
    r"\s*⟧?(?P<gap>\s*)(?P<rest>.*)",
    re.DOTALL,
)
_OPTION_LAST = re.compile(r"(?P<rest>\S.*?)\s*⟦\((?P<letter>[A-J])\)⟧", re.DOTALL)
_NO_REST = re.compile(r"[+*/^=<>≤≥≠≈∈∪∩∖_,;&|!'±]|-(?!\d)|⟦?\s*(?:and|or|&|only)\b|[或和]")
_CLOCK = re.compile(
    r"(?P<han>上午|下午|晚上)?\s*(?P<hour>\d{1,2})(?::(?P<minute>[0-5]\d)|时|点)?(?::[0-5]\d)?\s*⟦?\s*"
    r"(?:(?P<half>[ap])\.?\s*m\.?)?\s*⟧?",
    re.IGNORECASE,
)
_HALVES = {"上午": "a", "下午": "p", "晚上": "p"}
_BASED = re.compile(
    r"\(?(?P<digits>[0-9A-Z]+)\)?\s*(?:_\s*\{?\s*⟦?(?P<sub>\d{1,2}|[a-z]+)⟧?\s*\}?"
    r"|⟦?\s*\(?\s*(?:in\s+)?base\s*⟧?\s*-?(?P<word>\d{1,2}|[a-z]+)\s*\)?⟧?)"
)
_MODULUS = re.compile(r"\s*(?:\\pmod\s*\{?([^{}]*)\}?|⟦?\(?\s*\\?b?mod\s*⟦?\s*\{?(\w+)\}?\s*\)?⟧?|\(⟦mod⟧\s*(\w+)\))$")
_CONDITION = re.compile(r"(?<=\S)\s*,?\s*⟦\s*\(?\s*(?:for|where|if|when|with|provided|since|because|as)\b.*", re.DOTALL)
_PERCENT = re.compile(r"\s*(?:%|⟦?\s*(?:percent|per\s?cent|pct)(?:age)?(?:\s+points?)?\s*⟧?)$", re.IGNORECASE)
_MATRIX = re.compile(
    r"\\begin\s*\{(?P<kind>[pbB]|small)?(?:matrix|array)\}(?:\{[lcr|]*\})?(?P<cells>.*)"
    r"\\end\s*\{(?P=kind)?(?:matrix|array)\}",
    re.DOTALL,
)
_SPELLED = re.compile(
    r"(?P<number>[a-z]+(?:-[a-z]+)?(?=\s+(?:[a-z]{3,}|%))|[零〇一二两三四五六七八九十百千]+(?=[\u4e00-\u9fff]+$))",
    re.IGNORECASE,
)
_QUANTITY = re.compile(r"(\d[\d.,]*)\s*(⟦[^⟦⟧\d]+⟧|[A-Za-z]+\.?|[\u4e00-\u9fff]+)")
_COMPOUND = re.compile(rf"(?:{_QUANTITY.pattern}\s*){{2,4}}")
_ANGLE_OF = re.compile(r"sin|cos|tan|cot|sec|csc")
RATIO = re.compile(r"\s*:\s*|\s*(?:⟦to⟧|(?<=\d)\s+to\s+(?=\d))\s*")
_BUILDER = re.compile(r"[^:|]*[:|]\s*(?P<condition>.*[<>≤≥≠].*)")
_PLAIN_TEXT = re.compile(r"\d|^[A-J]$|^\(?[A-J][).:]|,|\b(?:and|or)\b|%")  # what in a text may be more than words
_ALL_REALS = frozenset({"allrealnumber", "allreal", "realnumber", "anyrealnumber"})

_Again = Callable[[str], Value]


@lru_cache(maxsize=4096)
def read(answer: str, *, loose: bool = False) -> Value:
    """Return what ``answer`` is.

    Args:
        answer: as written.
        loose: whether a single letter after a number may be a unit.
    """
    return _value(plain(answer), loose, 0)


def _value(text: str, loose: bool, depth: int) -> Value:
    def again(part: str) -> Value:
        return _value(part, loose, depth + 1)

    if depth > _DEEPEST or len(text) > _LONGEST:
        return Scalar(_bare(text))
    if (found := written.family(text.strip(), again)) is not None:  # before its condition is dropped
        return found
    text = _bare(text)
    for reader in (
        _option, written.day, written.named_time, written.joined, written.segment, written.family, _clock_or_base,
        _modulus, _matrix, _ratio, _several, _region, _bracketed, _equated,
    ):  # fmt: skip
        found = reader(text, again)
        if found is not None:
            return found
    return _scalar(text, loose, again)


def _bare(text: str) -> str:
    """Drop conditions, final punctuation and brackets around a single value."""
    if "\\begin" not in text:
        text = _CONDITION.sub("", text)
    text = text.strip().strip(",;:").strip()
    while len(text) > 2 and text[0] in "({⟦" and closing(text, 0) == len(text) - 1:
        inner = text[1:-1].strip()
        several = text[0] == "(" and (re.fullmatch("[A-J]", inner) or len(parts(inner, grouped=False)) > 1)
        words = text[0] == "⟦" and not _PLAIN_TEXT.search(inner) and spelled(inner) is None
        if several or words or not inner:
            break
        text = inner
    return text


def _option(text: str, again: _Again) -> Value | None:
    found = _OPTION.fullmatch(text)
    if found is None:
        last = _OPTION_LAST.fullmatch(text)
        return Option(last["letter"], again(last["rest"])) if last is not None and "⟦" not in last["rest"] else None
    rest = found["rest"].strip().removesuffix("⟧").strip()
    if not rest:
        return Option(found["round"] or found["marked"] or found["alone"])
    if found["alone"] or _NO_REST.match(rest) or (rest[0] in "({" and not found["gap"]):
        return None
    return Option(found["round"] or found["marked"], again(rest))


def _clock_or_base(text: str, again: _Again) -> Value | None:
    clock = _CLOCK.fullmatch(text)
    if clock is not None and (clock["minute"] or clock["half"] or clock["han"]) and int(clock["hour"]) < 25:
        half = (clock["half"] or _HALVES.get(clock["han"] or "", "")).lower()
        return Clock(int(clock["hour"]) * 60 + int(clock["minute"] or 0), half, text)
    based = _BASED.fullmatch(text)
    if based is not None:
        name = based["sub"] or based["word"]
        base = int(name) if name.isdigit() else int(spelled(name) or 0)
        if 2 <= base <= 36 and all(int(digit, 36) < base for digit in based["digits"]):
            return Based(based["digits"].lstrip("0") or "0", base)
    return None


def _modulus(text: str, again: _Again) -> Value | None:
    found = _MODULUS.search(text)
    if found is None or not found.start():
        return None
    modulus = next(one for one in found.groups() if one is not None)
    return Residue(again(re.sub("^.*≡", "", text[: found.start()])), modulus)


def _matrix(text: str, again: _Again) -> Value | None:
    """Read a matrix as a tuple of rows, a column as a tuple."""
    found = _MATRIX.fullmatch(text)
    if found is None:
        return None
    lines = [line for line in found["cells"].strip().strip("\\").split("\\\\") if line.strip()]
    rows = [tuple(again(cell) for cell in line.split("&")) for line in lines]
    if all(len(row) == 1 for row in rows):
        return Many(tuple(row[0] for row in rows), "tuple")
    return Many(tuple(Many(row, "tuple") for row in rows), "tuple")


def _ratio(text: str, again: _Again) -> Value | None:
    terms = RATIO.split(text)
    if len(terms) < 2 or any(arithmetic.values(term) is None for term in terms):
        return None
    if len(terms) == 2:
        return Scalar(f"({terms[0]})/({terms[1]})")
    return Many(tuple(Scalar(term) for term in terms), "ratio")


def _several(text: str, again: _Again) -> Value | None:
    """Read a list, a union of inequalities, or a value with ±."""
    found = parts(text)
    if len(found) > 1:
        return _listed(text, tuple(again(part) for part in found))
    if ("±" in text or "∓" in text) and "=" not in text and not regions.has_inequality(text):
        upper, lower = (text.translate(str.maketrans("±∓", signs)) for signs in ("+-", "-+"))
        return Many((again(upper), again(lower)), "list")
    return None


def _listed(text: str, items: tuple[Value, ...]) -> Value:
    if isinstance(items[0], Region) and text.count("≠") == 1 and len(items[0].pieces) == 2:  # x ≠ 0, 1
        points = [item.source for item in items[1:] if isinstance(item, Scalar)]
        left = regions.without(items[0], points)
        if left is not None and len(points) == len(items) - 1:
            return left
    bounded = [item for item in items if isinstance(item, Region)]
    if len(bounded) == len(items):
        return regions.joined(bounded, either="or" in text or "或" in text)
    words = any(isinstance(item, Words) for item in items)
    if words and any(len(part.split()) > 4 for part in parts(text)):
        return as_words(text)  # a sentence with a comma
    named = [item for item in items if isinstance(item, Equation) and item.named]
    if len(named) == len(items):
        differ = len({item.left for item in named}) == len(items)
        return Many(items, "tuple") if differ else Many(tuple(item.right for item in named), "list")
    if len(named) == 1 and named[0] is items[0] and not words:  # x = 2, 3
        items = (named[0].right, *items[1:])
    return Many(items, "list")


def parts(text: str, *, grouped: bool = True) -> list[str]:
    """Split at commas, semicolons and words that join, outside brackets and (if ``grouped``) thousands."""
    found: list[str] = []
    start = at = depth = 0
    while at < len(text):
        depth += (text[at] in "([{❴") - (text[at] in ")]}❵")
        if depth == 0:
            if grouped and (number := _GROUPED.match(text, at)) is not None:
                at = number.end()
                continue
            if (joint := _SEPARATOR.match(text, at)) is not None:
                found.append(text[start:at])
                start = at = joint.end()
                continue
            if text[at] == "⟦" and (end := closing(text, at)) is not None:
                at = end
        at += 1
    found.append(text[start:])
    return [part.strip() for part in found if part.strip()]


def _outside(text: str, sign: str) -> list[str]:
    """Split at a sign outside brackets."""
    found, depth, start = [], 0, 0
    for at, character in enumerate(text):
        depth += (character in "([{❴⟦") - (character in ")]}❵⟧")
        if character == sign and depth == 0:
            found.append(text[start:at].strip())
            start = at + 1
    return [*found, text[start:].strip()]


def _region(text: str, again: _Again) -> Value | None:
    """Read intervals and inequalities, and the sets that are written with them."""
    if "∈" in text:
        name, _, rest = text.partition("∈")
        return again(rest) if "," in name or re.fullmatch(regions.NAME, name.strip()) else None
    if text == "ℝ" or (wordy(text) and as_words(text).key.removesuffix("s") in _ALL_REALS):
        return regions.REALS
    if text in {"\\emptyset", "❴❵", "❴ ❵"}:
        return as_words("no solution")
    if "∪" in text:
        pieces = [regions.as_region(again(part)) for part in _outside(text, "∪")]
        known = [piece for piece in pieces if piece is not None]
        return regions.joined(known, either=True) if len(known) == len(pieces) > 1 else None
    if "∖" in text:
        whole, *removed = _outside(text, "∖")
        region = regions.as_region(again(whole))
        points = [again(part) for part in removed]
        if region is None or len(points) != 1:
            return None
        items = points[0].items if isinstance(points[0], Many) else points
        sources = [item.source for item in items if isinstance(item, Scalar)]
        return regions.without(region, sources) if len(sources) == len(items) else None
    return regions.compared(text) if text[:1] != "❴" else None


def _bracketed(text: str, again: _Again) -> Value | None:
    if len(text) < 3 or text[0] not in "([❴" or text[-1] not in ")]❵":
        return None
    depth = 0
    for at, character in enumerate(text):
        depth += (character in "([❴") - (character in ")]❵")
        if depth == 0 and at < len(text) - 1:
            return None
    inner = text[1:-1]
    if text[0] == "❴" and (built := _BUILDER.fullmatch(inner)) is not None:
        return again(built["condition"])
    found = parts(inner, grouped=False)
    if text[0] == "❴":
        return Many(tuple(map(again, found)), "set")
    if len(found) == 2 and (text[0] + text[-1] not in {"()", "[]"} or "∞" in inner):
        return regions.interval(found[0], found[1], open_low=text[0] == "(", open_high=text[-1] == ")")
    if len(found) > 1 or text[0] == "[":
        items = tuple(map(again, found))
        if all(isinstance(item, Many) and item.style == "brackets" for item in items):  # a matrix: rows, not intervals
            items = tuple(Many(item.items, "tuple") for item in items if isinstance(item, Many))
        return Many(items, "tuple" if text[0] == "(" else "brackets")
    return None


def _equated(text: str, again: _Again) -> Value | None:
    """Read equations and approximations."""
    if "\\begin" in text or regions.has_inequality(text):
        return None
    if "≈" in text:
        options = [again(part) for part in _outside(text, "≈") if part]
        options = [part.right if isinstance(part, Equation) and part.gives else part for part in options]
        first = options[0] if options else None
        if first is None:
            return None
        if len(options) > 1 and isinstance(first, Scalar) and regions.FULL_NAME.fullmatch(first.source):
            options = options[1:]
        return options[0] if len(options) == 1 else Either(tuple(options))
    sides = _outside(text, "=")
    if len(sides) < 2 or not all(sides):
        return None
    left, last = sides[0], sides[-1]
    if regions.FULL_NAME.fullmatch(last) and arithmetic.exact(left) is not None:  # 5 = x
        left, last = last, left
    if left[0] in "([" and len(parts(left[1:-1])) > 1:  # (x, y) = (2, 3)
        return again(last)
    named = regions.FULL_NAME.fullmatch(left) is not None
    gives = named or (last != "0" and _gives(left))
    defines = written.definition(left, last, again) if len(sides) == 2 else None
    return Equation(re.sub(r"\s+", "", left), again(last), last, named, gives, defines)


def _gives(left: str) -> bool:
    """Return whether the left side of an equation may name a value, and no variable is to be found from it."""
    bare = re.sub(r"_(?:\{[^{}]*\}|\w)|⟦[^⟦⟧]*⟧", "", left)
    if set(re.findall("[a-zA-Z]{3,}", bare)) & (FUNCTIONS - {"sqrt", "log", "ln", "exp"} | {"angle"}):
        return True
    return len(arithmetic.variables(bare)) != 1 or not re.search(r"[|\d!^]|sqrt", bare)


def _scalar(text: str, loose: bool, again: _Again) -> Value:
    """Read a number with its unit, words, or a formula."""
    inner = text[1:-1].strip() if text[:1] == "⟦" and closing(text, 0) == len(text) - 1 else ""
    value = _in_digits(inner or text)
    if (percent_at := _PERCENT.search(value)) is not None and percent_at.start():
        return Scalar(value[: percent_at.start()].strip(), percent=True)
    quantity = units.split(value, loose=loose)
    if quantity is not None and _constant(quantity[0]) and not _ANGLE_OF.search(quantity[0]):
        scale, name = units.canonical(quantity[1])
        return Scalar(quantity[0] if scale == 1 else f"({quantity[0]})*{scale}", name)
    if _COMPOUND.fullmatch(value):
        sizes = [units.split(" ".join(part.groups()), loose=True) for part in _QUANTITY.finditer(value)]
        if all(sizes):
            return Many(tuple(Scalar(one[0], units.canonical(one[1])[1]) for one in sizes if one), "sum")
    if value != (inner or text) and _constant(value):
        return Scalar(value)
    if as_words(value).key == "infinity":
        return Scalar("∞")
    if inner:
        return Scalar(inner) if _constant(inner) else as_words(inner)
    if wordy(text):
        tail = formula_after(text)
        return as_words(text, again(tail) if tail is not None else None)
    return Scalar(text)


def _in_digits(text: str) -> str:
    """Write a number in words at the beginning in digits: ``five apples``, ``两个``, ``百分之五十``."""
    number = spelled(text)
    if number is not None:
        return f"{number * 100}%" if text.startswith("百分之") else str(number)
    found = _SPELLED.match(text)
    number = spelled(found["number"]) if found is not None else None
    return f"{number} {text[found.end('number') :].strip()}" if found is not None and number is not None else text


def _constant(text: str) -> bool:
    return arithmetic.values(text) is not None and not arithmetic.variables(text)
