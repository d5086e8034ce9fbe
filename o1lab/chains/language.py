"""In which language a response is written, and whether it mixes several, by its script and its most common words.

Only words count: mathematics, code and links say nothing of a language (see :mod:`o1lab.chains.protected`). The words
are in ``assets/words/language.yaml``.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Literal

from o1lab.chains.protected import without_protected
from o1lab.wordlists import word_list

Language = Literal["zh", "en", "other"]

_WORDS = re.compile(
    r"""
      (?P<han>[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+)
    | (?P<latin>[A-Za-z\u00c0-\u024f][A-Za-z\u00c0-\u024f'’]+)
    | (?P<kana>[\u3040-\u30ff]+)
    | (?P<hangul>[\uac00-\ud7af\u1100-\u11ff]+)
    | (?P<cyrillic>[\u0400-\u052f]{2,})
    | (?P<semitic>[\u0590-\u06ff]{2,})
    | (?P<indic>[\u0900-\u0e7f]{2,})
    """,
    re.VERBOSE,
)
# A Chinese word has about this many characters, so that shares of Chinese and English can be compared.
_HAN_A_WORD = 1.6
# Whether a text needs counting at all: most chains have no letter but Latin ones.
_NOT_LATIN = re.compile(
    r"[\u0400-\u06ff\u0900-\u0e7f\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]"
)
_FEWEST = 3
_MAINLY = 0.6
_MIXED = 0.05
_FEWEST_FOREIGN = 5


def shares(text: str) -> dict[str, float]:
    """The share of each script among the words of ``text``: ``han``, ``latin``, ``kana``, … Empty without words."""
    counted = _count(text)
    total = sum(counted.values())
    return {script: number / total for script, number in counted.items()} if total else {}


def language_of(text: str) -> Language:
    """The language most of the words of ``text`` are in; ``other`` for all but Chinese and English, and for none."""
    words = without_protected(text)
    counted = _count_words(words)
    total = sum(counted.values())
    if total < _FEWEST:
        return "other"
    if counted["han"] / total >= _MAINLY:
        return "zh"
    return "en" if counted["latin"] / total >= _MAINLY and _is_english(words) else "other"


def mixed_language(text: str) -> bool:
    """Whether ``text`` is written in several scripts: at least 5 % of its words, and five, are not in the main one.

    Names of functions, units, points and variables are in no language, nor are names of people in a Chinese text.
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
            counted[script] += max(1, round(len(word) / _HAN_A_WORD))
        elif script != "latin":
            counted[script] += 1
        elif not (word.isupper() or word.lower() in symbols):
            capitalised += word[0].isupper()
            counted[script] += word[0].islower()
    if capitalised and counted["latin"] >= counted["han"]:  # between Chinese ones they are names
        counted["latin"] += capitalised
    return counted


def _is_english(words: str) -> bool:
    listed = word_list("language")
    english, other = listed.words("english"), listed.words("other_latin")
    found = (word for word in words.lower().split() if word in english or word in other)
    common = Counter("en" if word in english else "other" for word in found)
    return common["en"] >= common["other"]
