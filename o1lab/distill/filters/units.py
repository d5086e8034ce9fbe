"""Words that may follow a number without changing that it is one: units and what is counted.

They are in ``assets/words/units.yaml``.
"""

from __future__ import annotations

import re

from o1lab.wordlists import word_list

_MOST_WORDS = 6


def is_unit(text: str, *, as_text: bool, apart: bool) -> bool:
    r"""Whether the words are a unit or a thing counted.

    ``as_text`` says that they stand in ``\text`` or the like, ``apart`` that white space divides them from the number:
    ``6m`` is six times m, ``6 \mathrm{m}`` is six metres, ``3 apples`` is a number of apples.
    """
    known = word_list("units")
    if known.pattern("chinese").fullmatch(text):
        return True
    words = re.findall(r"[A-Za-zÅΩµμ]+", text)
    if not as_text:
        word = text.rstrip(".")
        if word.lower() in known.words("units"):
            return True
        return apart and len(word) > 3 and word.islower() and word not in known.words("no_unit")
    if not words:
        return re.fullmatch(r"[\s.,;%°$]*", text) is not None
    if len(words) > _MOST_WORDS or re.search(r"[=<>+]|\d{3}", text):
        return False
    if any(word.lower() in known.words("no_unit") for word in words):
        return False
    return len(words) > 1 or len(words[0]) > 1 or words[0] in known.words("letters")
