"""The word diff of two answers, written as `git diff --word-diff` does, so that it can be read without colours."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

Kind = Literal["same", "first", "second"]
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_EXACT = 4000
"""Up to this many words on each side, frequent words are matched too; beyond, that would take minutes."""
_BRACKETS = {"first": ("[-", "-]"), "second": ("{+", "+}")}


class Part(NamedTuple):
    """A run of text that both answers have, or only one of them."""

    kind: Kind
    text: str


def word_diff(first: str, second: str) -> list[Part]:
    """Return the parts in order: joined without those of the other, they are the answers."""
    words, others = _WORDS.findall(first), _WORDS.findall(second)
    matcher = SequenceMatcher(None, words, others, autojunk=max(len(words), len(others)) > _EXACT)
    parts: list[Part] = []
    for tag, start, end, other, stop in matcher.get_opcodes():
        if tag == "equal":
            parts.append(Part("same", "".join(words[start:end])))
            continue
        if start < end:
            parts.append(Part("first", "".join(words[start:end])))
        if other < stop:
            parts.append(Part("second", "".join(others[other:stop])))
    return parts


def marked(parts: list[Part]) -> tuple[str, list[tuple[int, int, Kind]]]:
    """Return the diff as text, and where each difference is in it.

    Returns:
        The text, with ``[-only in the first-]`` and ``{+only in the second+}``; and (start, end, kind) in code points.
    """
    text: list[str] = []
    spans: list[tuple[int, int, Kind]] = []
    at = 0
    for kind, words in parts:
        written = words if kind == "same" else words.join(_BRACKETS[kind])
        if kind != "same":
            spans.append((at, at + len(written), kind))
        text.append(written)
        at += len(written)
    return "".join(text), spans
