"""Tell text from formulas, and write text so that equal texts are the same."""

from __future__ import annotations

import re

from o1lab.chains.equality.notation import FUNCTIONS
from o1lab.chains.equality.values import Value, Words

_SHORT_WORDS = frozenset({
    "yes", "no", "odd", "two", "six", "ten", "one", "red", "not", "all", "none", "men", "man", "day", "dog", "cat",
    "sun", "mon", "tue", "wed", "thu", "fri", "sat",
})  # fmt: skip
_LETTER_NAMES = frozenset({"pi", "alpha", "beta", "theta"})
_COMPARING = re.compile(r"\b(?:most|least|less|more|than|not|except|between|over|under|greater|fewer|never|no)\b")
_LEAD = re.compile(r"(?P<words>(?:⟦[^⟦⟧]*⟧|[A-Za-z]{2,}+|\s|[,:.])+)(?<![A-Za-z])(?P<tail>[^\s⟦].*)", re.DOTALL)
_CODE = re.compile(r"\s*[A-Z](?:[A-Z0-9]|\s(?=[A-Z]))*[A-Z0-9]\s*")
_ARTICLES = re.compile(r"\b(?:the|an|only|a(?=\s+[a-z]{2}))\b")
_NOTHING = frozenset({
    "nosolution", "nosolutions", "nosuchsolution", "nosuchsolutions", "emptyset", "noroots", "norealsolution",
    "norealsolutions", "thereisnosolution", "无解", "空集",
})  # fmt: skip


def wordy(text: str) -> bool:
    """Return whether a text is words, names or a code (``BDAC``, ``XIV``, ``A6``), and not a product of variables."""
    if re.search("[\u4e00-\u9fff]", text):
        return True
    marked = " ".join(re.findall(r"(?<!_)(?<!_\{)⟦([^⟦⟧]*)⟧", text))
    if any(len(word) > 2 and word.lower() not in FUNCTIONS for word in re.findall("[A-Za-z]+", marked)):
        return True
    outside = re.sub(r"⟦[^⟦⟧]*⟧", " ", re.sub(r"\\[a-zA-Z]+|_\s*(?:\{[^{}]*\}|\w)", " ", text))
    return _CODE.fullmatch(outside) is not None or any(map(_word, re.findall("[A-Za-z]+", outside)))


def _word(letters: str) -> bool:
    """Return whether letters in a row look like a word: a vowel, and no jumble of cases."""
    if letters.lower() in FUNCTIONS or letters in _LETTER_NAMES:
        return False
    if letters.lower() in _SHORT_WORDS:
        return True
    like_a_word = letters[1:].islower() and re.search("[aeiouyAEIOUY]", letters) is not None
    return like_a_word and (len(letters) > 3 or (len(letters) == 3 and letters[0].isupper()))


def formula_after(text: str) -> str | None:
    """Return the formula that follows words (``The area is 5``); None if the words change what it means."""
    found = _LEAD.fullmatch(text)
    if found is None or _COMPARING.search(found["words"].lower()) or "⟦" in found["tail"] or wordy(found["tail"]):
        return None
    return found["tail"]


def as_words(text: str, tail: Value | None = None) -> Words:
    """Return a text as a value."""
    return Words(words_key(text), words_key(re.split("[,;.:]", text, maxsplit=1)[0]), tail)


def words_key(text: str) -> str:
    """Return text without case, articles, spaces and punctuation; what separates digits and signs stays."""
    text = _ARTICLES.sub(" ", text.casefold().replace("⟦", " ").replace("⟧", " "))
    text = re.sub(r"(?<=\d)\s+(?=\d)", "|", text)
    key = re.sub(r"(?<!\d)[.,]|[.,](?!\d)|(?<=[^\W\d])-(?=[^\W\d])|[\s;:!?\"'`()\[\]{}$\\*_]+", "", text)
    return "nosolution" if key in _NOTHING else key
