"""Units after a number: find them, write them in one form, and convert them (with pint, in the verifying process)."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

from o1lab.chains.equality.numerals import SCALES

if TYPE_CHECKING:
    import pint

# Short units that may follow a number outside \text. A single letter there is a variable.
_SYMBOLS = frozenset({
    "mm", "cm", "dm", "km", "nm", "pm", "um", "in", "ft", "yd", "mi", "ly", "pc", "kpc", "Mpc", "AU", "mg", "kg",
    "lb", "lbs", "oz", "mol", "ml", "mL", "cl", "dl", "cc", "ms", "ns", "hr", "hrs", "min", "mins", "sec", "secs",
    "yr", "yrs", "mph", "kph", "rpm", "Hz", "kHz", "MHz", "GHz", "eV", "keV", "MeV", "GeV", "kJ", "MJ", "kcal",
    "cal", "kW", "MW", "kWh", "Pa", "kPa", "atm", "bar", "rad", "deg", "amu", "mas", "GB", "MB", "KB", "kB", "TB",
    "sq", "cu", "USD", "EUR", "RMB", "CNY", "ha", "mV", "kV", "mA", "kN", "dB",
})  # fmt: skip
_LETTERS = frozenset("mgslhdtLJNWVAKCFT")
_SPACED = re.compile(r"\s+[mgshLNJWVK](?:\s*\^.*)?|\s*[m]\s*\^\s*\{?[23]\}?")  # 5 m, 5m^2
_NO_UNIT = frozenset({
    "sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "exp", "det", "max", "gcd", "lcm", "mod", "and", "or",
    "if", "for", "where", "when", "with", "is", "are", "the", "sqrt", "arcsin", "arccos", "arctan", "sinh", "cosh",
    "tanh", "not", "but", "choose", "pi", "factorial",
})  # fmt: skip
_CURRENCY = {"$": "dollar", "€": "euro", "£": "sterling", "¥": "yuan", "₹": "rupee", "US$": "dollar"}
_HAN_UNITS = {
    "毫米": "mm", "厘米": "cm", "分米": "dm", "米": "m", "千米": "km", "公里": "km", "克": "g", "千克": "kg",
    "公斤": "kg", "吨": "tonne", "秒": "s", "分钟": "min", "小时": "hour", "时": "hour", "天": "day", "日": "day",
    "周": "week", "星期": "week", "月": "month", "个月": "month", "年": "year", "元": "yuan", "块": "yuan",
    "人民币": "yuan", "角": "jiao", "分": "fen", "美元": "dollar", "度": "degree", "升": "liter", "毫升": "mL",
    "公顷": "hectare",
}  # fmt: skip
_WORDS = {
    "°": "degree", "°C": "degC", "°F": "degF", "centigrade": "degC", "celsius": "degC", "fahrenheit": "degF",
    "bucks": "dollar", "usd": "dollar", "eur": "euro", "rmb": "yuan", "cny": "yuan", "¢": "cent", "pence": "penny",
    "secs": "s", "mins": "min", "hrs": "hour", "yrs": "year", "lbs": "lb", "deg": "degree", "Å": "angstrom",
}  # fmt: skip
_COUNTERS = frozenset({
    "unit", "way", "item", "thing", "piece", "time", "number", "answer",
})  # fmt: skip
_FILLERS = frozenset({
    "in", "total", "all", "altogether", "each", "of", "the", "a", "an", "only", "about", "exactly",
})  # fmt: skip
_WORD = r"(?:[A-Za-zÅμ¢][A-Za-zμ]*\.?|°[CF]?|[\u4e00-\u9fff]+|[€£¥₹¢$])"
_POWER = r"\s*\^\s*(?:\{\s*-?\d\s*\}|-?\d)"
_ONE = rf"(?:{_WORD}|⟦[^⟦⟧]+⟧)(?:{_POWER})?"
_GAP = r"(?:\s*[-*/]\s*|\s+|(?=⟦)|(?<=⟧)|(?<=\})|(?<=\d)|(?=[\u4e00-\u9fff]))"
_TAIL = re.compile(rf"(?P<value>.*?[\d)}}\]π!])\s*(?P<unit>{_ONE}(?:{_GAP}{_ONE}){{0,7}})(?:\s*\.)?")
_PREFIX = re.compile(r"(?P<sign>-?)\s*(?P<symbol>US\$|[$€£¥₹])\s*(?P<value>-?[\d.\\(].*)")
_PIECE = re.compile(rf"(?P<word>{_WORD})|\^\s*\{{?\s*(?P<power>-?\d)\s*\}}?|(?P<over>/)|[⟦⟧*\s.-]+|.")
_LONGEST = 200
_SQUARE = {"square": 2, "sq": 2, "cubic": 3, "cu": 3, "平方": 2, "立方": 3}


def split(text: str, *, loose: bool = False) -> tuple[str, str] | None:
    """Split a quantity in the notation of :mod:`o1lab.chains.equality.notation` into value and unit, or return None.

    Args:
        text: such as ``5 cm^2``, ``18 ⟦dollars⟧``, ``$3`` or ``60度``.
        loose: whether a single letter outside text may be a unit: ``5 m``.
    """
    if (prefixed := _PREFIX.fullmatch(text)) is not None:
        value, unit = f"{prefixed['sign']}{prefixed['value']}", _CURRENCY[prefixed["symbol"]]
        more = split(value, loose=loose)
        if more is None or canonical(more[1])[1] not in {"", unit}:
            return (value, unit) if more is None else (more[0], unit)
        return more[0], f"{more[1]} {unit}"
    found = _TAIL.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        return None
    spaced = _SPACED.fullmatch(text, found.end("value")) is not None
    if not spaced and not _credible(found["unit"], loose):
        return None
    return found["value"], found["unit"]


def _credible(unit: str, loose: bool) -> bool:
    """Return whether a text after a number is a unit, and neither variables nor a part of a formula."""
    if unit.startswith("⟦"):
        return not set(re.findall(r"[A-Za-z]+", unit.lower()[:8])[:1]) & _NO_UNIT
    words = re.findall(_WORD, unit)
    bare = [word.rstrip(".") for word in words if word.isascii() and word[:1].isalpha()]
    if any(word.lower() in _NO_UNIT for word in bare[:1]):
        return False
    short = [word for word in bare if len(word) < 3 and word not in _SYMBOLS]
    if not short:
        return True
    if all(word in _LETTERS or word in _SYMBOLS for word in bare):
        return loose or len(bare) > 1 or "/" in unit
    return len(bare[0]) > 2  # words of a sentence: "apples in all"


@lru_cache(maxsize=2048)
def canonical(unit: str) -> tuple[int, str]:
    """Return the number that a unit multiplies with (``million people``: 1,000,000) and the unit in one form."""
    if unit.strip("⟦⟧ .") == "in":
        return 1, "inch"
    scale, under, next_power = 1, False, 1
    parts: list[str] = []
    for piece in _PIECE.finditer(_han(unit)):
        word = piece["word"]
        if piece["over"] or word == "per":
            under = True
        elif piece["power"] and parts:
            power = int(piece["power"]) * (-1 if parts[-1].endswith("**-1") else 1)
            parts[-1] = f"{parts[-1].removesuffix('**-1')}**{power}"
        elif word:
            word = word.rstrip(".")
            lower = word.lower()
            if (factor := SCALES.get(lower, SCALES.get(lower.removesuffix("s")))) is not None and not parts:
                scale *= factor
            elif lower in _SQUARE:
                next_power = _SQUARE[lower]
            elif lower in _FILLERS and word != "a":
                continue
            elif lower in {"squared", "cubed"} and parts:
                parts[-1] += "**2" if lower == "squared" else "**3"
            else:
                name = _singular(_WORDS.get(word, _WORDS.get(lower, _CURRENCY.get(word, word))))
                power = -next_power if under else next_power
                parts.append(name if power == 1 else f"{name}**{power}")
                next_power = 1
    if all(_noun(part) in _COUNTERS for part in parts):
        parts = []
    return scale, "*".join(parts)


def _han(unit: str) -> str:
    """Write Chinese units with their symbols."""

    def symbol(at: re.Match[str]) -> str:
        word, power = at.group(), ""
        scale = ""
        while word and word[0] in SCALES and word not in _HAN_UNITS:
            scale, word = f"{scale} {word[0]} ", word[1:]
        for mark, number in (("平方", "^2"), ("立方", "^3")):
            if word.startswith(mark):
                word, power = word.removeprefix(mark), number
        if word in "个种次名位只条本件张辆人枚组对颗朵棵":
            word = "个" if word else ""
        return f"{scale} {_HAN_UNITS.get(word, word)}{power if word else ''} ".replace("个", " unit ")

    return re.sub("[\u4e00-\u9fff]+", symbol, unit)


def _singular(word: str) -> str:
    if len(word) <= 3:
        return word
    word = word.lower() if word[1:].islower() else word
    if word in {"feet", "inches", "people"}:
        return {"feet": "foot", "inches": "inch", "people": "person"}[word]
    return word.removesuffix("s") if not word.endswith("ss") else word


def _noun(part: str) -> str:
    return part.partition("**")[0]


@lru_cache(maxsize=1)
def _registry() -> pint.UnitRegistry[float]:
    import pint

    registry: pint.UnitRegistry[float] = pint.UnitRegistry(non_int_type=Fraction)
    for line in (
        "dollar = [money]", "cent = dollar / 100", "penny = dollar / 100", "dime = dollar / 10", "nickel = dollar / 20",
        "quarter = dollar / 4", "euro = [euros]", "sterling = [sterlings]", "rupee = [rupees]", "yuan = [yuans]",
        "jiao = yuan / 10", "fen = yuan / 100",
    ):  # fmt: skip
        registry.define(line)
    return registry


def conversion(one: str, other: str) -> tuple[Fraction, Fraction] | None:
    """Return (a, b) so that x of the unit ``one`` are a·x + b of ``other``; None if they measure different things.

    Units that pint does not know are the same if one's words are among the other's: ``apple`` and ``red*apple``.
    """
    import pint

    registry = _registry()
    try:
        source, target = registry.parse_units(one), registry.parse_units(other)
        zero, unit = (Fraction(registry.Quantity(Fraction(x), source).to(target).magnitude) for x in (0, 1))
    except pint.UndefinedUnitError:
        words, others = (frozenset(map(_noun, unit.split("*"))) - {""} for unit in (one, other))
        return (Fraction(1), Fraction(0)) if words <= others or others <= words else None
    except (pint.PintError, ArithmeticError, ValueError, TypeError, AttributeError):
        return None
    return (unit - zero).limit_denominator(10**15), zero.limit_denominator(10**15)
