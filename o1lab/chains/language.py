"""Detect the language of a response, and whether it mixes languages, from its scripts and most common words.

Only words count: mathematics, code and links are ignored (see :mod:`o1lab.chains.protected`). The word lists are in
``assets/words/language.yaml``.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Literal

from o1lab.chains.protected import without_protected
from o1lab.text import CJK, HAN, HANGUL, KANA
from o1lab.wordlists import word_list

Language = Literal["zh", "en", "other"]

_WORDS = re.compile(
    rf"""
      (?P<han>[{HAN}]+)
    | (?P<latin>[A-Za-z\u00c0-\u024f][A-Za-z\u00c0-\u024f'’]+)
    | (?P<kana>[{KANA}]+)
    | (?P<hangul>[{HANGUL}]+)
    | (?P<cyrillic>[\u0400-\u052f]{{2,}})
    | (?P<semitic>[\u0590-\u06ff]{{2,}})
    | (?P<indic>[\u0900-\u0e7f]{{2,}})
    """,
    re.VERBOSE,
)
# Average characters of a Chinese word: makes shares of Chinese and English comparable.
_HAN_PER_WORD = 1.6
# Most chains have only Latin letters; those need no counting.
_NOT_LATIN = re.compile(rf"[\u0400-\u06ff\u0900-\u0e7f{CJK}]")
_FEWEST = 3
_MAINLY = 0.6
_MIXED = 0.05
_FEWEST_FOREIGN = 5


def shares(text: str) -> dict[str, float]:
    """Return the share of each script among the words of ``text``: ``han``, ``latin``, ``kana``, …; empty if none."""
    counted = _count(text)
    total = sum(counted.values())
    return {script: number / total for script, number in counted.items()} if total else {}


def language_of(text: str) -> Language:
    """Return the language of most words of ``text``; ``other`` if it is neither Chinese nor English, or has none."""
    return known_language(text) or "other"


def known_language(text: str, fewest: int = _FEWEST) -> Language | None:
    """Return the language of most words of ``text``; None if it has fewer than ``fewest`` words."""
    words = without_protected(text)
    counted = _count_words(words)
    total = sum(counted.values())
    if total < fewest:
        return None
    if counted["han"] / total >= _MAINLY:
        return "zh"
    return "en" if counted["latin"] / total >= _MAINLY and _is_english(words) else "other"


def mixed_language(text: str) -> bool:
    """Return whether ``text`` mixes scripts: at least five words, and 5 % of all words, are not in the main script.

    Names of functions, units, points and variables do not count, nor do names of people in a Chinese text.
    """
    if _NOT_LATIN.search(text) is None:
        return False
    counted = _count(text)
    total = sum(counted.values())
    foreign = total - max(counted.values(), default=0)
    return foreign >= _FEWEST_FOREIGN and foreign / total >= _MIXED


def _count(text: str) -> Counter[str]:
    return _count_words(without_protected(text))


def _count_words(words: str) -> Counter[str]:
    counted: Counter[str] = Counter()
    capitalised = 0
    symbols = word_list("language").words("symbols")
    for found in _WORDS.finditer(words):
        script, word = str(found.lastgroup), found.group()
        if script == "han":
            counted[script] += max(1, round(len(word) / _HAN_PER_WORD))
        elif script != "latin":
            counted[script] += 1
        elif not (word.isupper() or word.lower() in symbols):
            capitalised += word[0].isupper()
            counted[script] += word[0].islower()
    if capitalised and counted["latin"] >= counted["han"]:  # in a Chinese text, capitalised words are names
        counted["latin"] += capitalised
    return counted


def _is_english(words: str) -> bool:
    listed = word_list("language")
    english, other = listed.words("english"), listed.words("other_latin")
    found = (word for word in words.lower().split() if word in english or word in other)
    common = Counter("en" if word in english else "other" for word in found)
    return common["en"] >= common["other"]
