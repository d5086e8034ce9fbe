"""Cutting a long text where the cut hurts least."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right

from o1lab.chains.moves import segment

_PARAGRAPH = re.compile(r"\n[ \t]*\n\s*")
_SPACE = re.compile(r"\s+")
_PLACEHOLDER = re.compile(r"⟦\d*$")


def cut(text: str, size: int) -> list[str]:
    """``text`` in parts of at most ``size`` characters that make it up when joined; placeholders are never cut.

    A cut is at a paragraph's end where one lies in the later half of the part, else between two moves, else at a
    line's end or a space, else where it must be.
    """
    parts: list[str] = []
    at = 0
    if len(text) > size:
        paragraphs = [found.end() for found in _PARAGRAPH.finditer(text)]
        moves = [move.end for move in segment(text)]
        while len(text) - at > size:
            end = _last(paragraphs, at, size) or _last(moves, at, size) or _anywhere(text, at, size)
            parts.append(text[at:end])
            at = end
    if at < len(text):
        parts.append(text[at:])
    return parts


def _last(ends: list[int], at: int, size: int) -> int | None:
    """The last of ``ends`` in the later half of a part that begins at ``at``."""
    index = bisect_right(ends, at + size)
    return ends[index - 1] if index > bisect_left(ends, at + max(1, size // 2)) else None


def _anywhere(text: str, at: int, size: int) -> int:
    end = at + size
    newline = text.rfind("\n", at + size // 2, end)
    if newline >= 0:
        return newline + 1
    spaces = list(_SPACE.finditer(text, at + size // 2, end))
    if spaces:
        return spaces[-1].end()
    broken = _PLACEHOLDER.search(text, max(at + 1, end - 12), end)
    return broken.start() if broken else end
