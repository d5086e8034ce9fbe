r"""Normalise statements to words for comparison, more strongly than for a problem's identity.

Case, Unicode forms, drawings, math marks and LaTeX typesetting are ignored; numbers and operators are kept. A formula
between math marks is one word, a Chinese, Japanese or Korean character is one word. Takes linear time.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from o1lab.text import CJK
from store.records import Problem

LONGEST = 100_000  # characters of a statement that are compared
_FORMULA = re.compile(r"\$\$([^$]{1,2000})\$\$|\$([^$\n]{1,400})\$|\\\[(.{1,2000}?)\\\]|\\\((.{1,400}?)\\\)", re.DOTALL)
_PROSE_INSIDE = re.compile(r"(?<![\\a-z])[a-z]{2,}[ ,]{1,8}[a-z]{2,}")
_SAME = tuple(
    (re.compile(pattern), by)
    for pattern, by in (
        (r"\\[dtc]frac(?![a-z])", r"\\frac"),
        (r"\\frac\s?(\d)\s?(\d)(?!\d)", r"\\frac{\1}{\2}"),
        (r"(?<=\d)(?:\{,\}|,\\!|\\!|\\,|,)(?=\d{3}(?!\d))", ""),
        (r"\\(?:left|right|displaystyle|textstyle|limits|quad|qquad|hspace\{[^{}]{0,20}\})(?![a-z])|\\[,;:! ]|~", " "),
        (r"\\(?:text(?:bf|it|rm|tt)?|math(?:rm|bf|it|bb|cal)?|mbox|emph|underline|operatorname)\s?(?=\{)", ""),
        (r"\\(?:leqslant|le)(?![a-z])|≤", r"\\leq"),
        (r"\\(?:geqslant|ge)(?![a-z])|≥", r"\\geq"),
        (r"\\neq?(?![a-z])|≠", r"\\neq"),
        (r"\\(?:cdot|times|ast)(?![a-z])|[×·⋅∗]", "*"),
        (r"\\[lc]?dots(?![a-z])|…", "..."),
        (r"\\(?:begin|end)\{(?:align|equation|gather|aligned|center|array|tabular)\*?\}", " "),
        (r"[−–—]", "-"),
        (r"[’‘`]", "'"),
    )
)
_WORD = re.compile(rf"[{CJK}]|\d+(?:\.\d+)?|(?:(?![{CJK}])[^\W\d_])+(?:['-](?:(?![{CJK}])[^\W\d_])+)*|[-+*/=<>^%!|]")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_DRESSING = re.compile(r"[\s{}$&]+")


@dataclass(frozen=True)
class Words:
    """The words of a statement, and all its numbers sorted, also those in formulas.

    Problems with different numbers are different.
    """

    words: tuple[str, ...]
    numbers: tuple[str, ...]

    @cached_property
    def compact(self) -> str:
        """The words joined without spaces: equal for statements that are equal after normalisation."""
        return "".join(self.words)

    def runs(self, length: int) -> list[str]:
        """Return all runs of ``length`` consecutive words."""
        words = self.words
        return [" ".join(words[at : at + length]) for at in range(len(words) - length + 1)]


def words_of(problem: Problem) -> Words:
    """Return the words of a problem's statement."""
    return read_words(problem.statement)


def read_words(statement: str) -> Words:
    """Return the words of a statement, normalised as the module describes."""
    text = unicodedata.normalize("NFKC", _without_drawings(statement[:LONGEST])).casefold()
    for pattern, by in _SAME:
        text = pattern.sub(by, text)
    words: list[str] = []
    at = 0
    while True:
        formula = _FORMULA.search(text, at)
        if formula is None:
            words += _WORD.findall(text[at:])
            break
        words += _WORD.findall(text[at : formula.start()])
        inside = next(group for group in formula.groups() if group is not None)
        if _PROSE_INSIDE.search(inside) is None:
            if one := _DRESSING.sub("", inside).rstrip(".,;:?"):
                words.append(one)
            at = formula.end()
        else:  # the marks are dollar signs, or contain a sentence: the next mark may still open a formula
            at = formula.start() + 1
    return Words(tuple(words), tuple(sorted(_NUMBER.findall(text))))


def _without_drawings(text: str) -> str:
    """Return ``text`` without the drawings between ``[asy]`` and ``[/asy]``."""
    if "[asy]" not in text:
        return text
    parts, at = [], 0
    while (start := text.find("[asy]", at)) >= 0 and (end := text.find("[/asy]", start)) >= 0:
        parts.append(text[at:start])
        at = end + len("[/asy]")
    return " ".join([*parts, text[at:]])


def jaccard(left: Sequence[str], right: Sequence[str]) -> float:
    """Return the Jaccard similarity |A ∩ B| / |A ∪ B| of the elements of two sequences."""
    one, other = set(left), set(right)
    together = len(one | other)
    return len(one & other) / together if together else 1.0
