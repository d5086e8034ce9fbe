"""Numbers written in words: English and Chinese."""

from __future__ import annotations

import re
from fractions import Fraction

_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_UNITS = {word: value for value, word in enumerate(_SMALL)} | {word: 20 + 10 * n for n, word in enumerate(_TENS)}
SCALES = {
    "dozen": 12, "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "百": 100, "千": 1000, "万": 10**4, "亿": 10**8,
}  # fmt: skip
_DIGITS = {character: value for value, character in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_HAN = re.compile("[零〇一二两三四五六七八九十百千万亿]+")
_LONGEST = 80


def spelled(text: str) -> Fraction | None:
    """Return the number that ``text`` spells: ``twenty-one``, ``two thirds``, ``十二``, ``二分之一``; else None."""
    text = text.strip().casefold()
    if not text or len(text) > _LONGEST:
        return None
    under, part, over = text.partition("分之")
    if part:
        top, bottom = _chinese(over), 100 if under == "百" else _chinese(under)
        return Fraction(top, bottom) if top is not None and bottom else None
    value = _chinese(text)
    if value is None:
        value = _english(text)
    return None if value is None else Fraction(value)


def _english(text: str) -> int | None:
    total = group = 0
    words = re.split(r"[\s-]+(?:and\s+)?", text)
    for word in words:
        if word in _UNITS:
            group += _UNITS[word]
        elif word == "hundred":
            group = max(group, 1) * 100
        elif word.isascii() and (scale := SCALES.get(word, SCALES.get(word.removesuffix("s")))) is not None:
            total += max(group, 1) * scale
            group = 0
        else:
            return None
    # "a dozen" and "hundred" are numbers; so is "zero".
    return total + group


def _chinese(text: str) -> int | None:
    if not _HAN.fullmatch(text):
        return None
    total = section = digit = 0
    for character in text:
        if character in _DIGITS:
            digit = _DIGITS[character]
        elif character == "十":
            section += (digit or 1) * 10
            digit = 0
        elif character in "百千":
            section += digit * SCALES[character]
            digit = 0
        else:
            total = (total + section + digit) * SCALES[character]
            section = digit = 0
    return total + section + digit
