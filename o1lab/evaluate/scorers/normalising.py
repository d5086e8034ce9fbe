"""Texts as tokens that carry meaning: case, punctuation, articles, accents and full-width forms do not count."""

from __future__ import annotations

import re
import unicodedata

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(rf"(?<![\w.])-?\d+(?:\.\d+)?(?![^\W{_HAN}_])|[{_HAN}]|[^\W{_HAN}_]+[+#]*")
_RAISED = re.compile("[\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u209c\u2150-\u215f]+")
_ACCENTS = re.compile("[\u0300-\u036f]")
_APOSTROPHES = re.compile("(?<=\\w)['’ʼ`´](?=\\w)")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_ARTICLES = frozenset({"a", "an", "the"})
_BETWEEN = "\x1f"


def tokens(text: str) -> tuple[str, ...]:
    """The tokens of ``text``: words, numbers (with their minus and decimals) and single Chinese characters.

    A text of articles only keeps them. What is written in raised or lowered figures stands apart: 10² is no 102.
    Traditional and simplified characters stay different, as do 20 and 20.0.
    """
    text = _RAISED.sub(lambda raised: f" {raised.group()}", text)
    text = _ACCENTS.sub("", unicodedata.normalize("NFKD", text)).replace("\u2212", "-").casefold()
    text = _THOUSANDS.sub("", _APOSTROPHES.sub("", unicodedata.normalize("NFC", text)))
    found = tuple(_TOKEN.findall(text))
    return tuple(token for token in found if token not in _ARTICLES) or found


def holds(given: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """Whether ``wanted`` stands in ``given``, one token after the other. Nothing stands in anything."""
    if not wanted:
        return False
    return f"{_BETWEEN}{_BETWEEN.join(wanted)}{_BETWEEN}" in f"{_BETWEEN}{_BETWEEN.join(given)}{_BETWEEN}"
