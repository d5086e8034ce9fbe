"""A selection in a thought, by moves or by characters, and the steps of its end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from o1lab.widgets.document import Outline
from o1lab.widgets.sections import Section

_WORD = re.compile(r"(?<=\s)\S")
_FAR = 1000  # code points: the maximum length of a step back by a word

Step = Literal["left", "right", "up", "down", "word", "back", "start", "end"]


@dataclass(frozen=True, slots=True)
class Selecting:
    """A selection. ``anchor`` and ``end`` are indices of moves or code points, both included."""

    by: Literal["moves", "chars"]
    anchor: int
    end: int

    def span(self, outline: Outline) -> tuple[int, int]:
        """Return (start, end) of the selection in code points of the thought."""
        low, high = sorted((self.anchor, self.end))
        return (outline[low].start, outline[high].end) if self.by == "moves" else (low, high + 1)

    def to(self, end: int) -> Selecting:
        """Return the selection with another end."""
        return Selecting(self.by, self.anchor, end)

    def swapped(self) -> Selecting:
        """Return the selection with anchor and end swapped."""
        return Selecting(self.by, self.end, self.anchor)


def stepped(at: int, step: Step, section: Section) -> int:
    """Return the code point after a step from code point ``at`` of a section, within its text."""
    text = section.text
    line = text.line_of(at)
    start, stop = text.span(line)
    match step:
        case "up" | "down":
            row = section.row_of(line) + (1 if step == "down" else -1)
            if 0 <= row < section.rows:
                at = text.offset_at(section.line_at(row), text.cell_of(at))
        case "word":
            found = _WORD.search(text.text, at + 1)
            at = found.start() if found else len(text.text) - 1
        case "back":
            first = max(at - _FAR, 0)
            before = text.text[first:at].rstrip()
            at = first + max(before.rfind(" "), before.rfind("\n"), -1) + 1
        case "left":
            at -= 1
        case "right":
            at += 1
        case "start":
            at = start
        case "end":
            at = stop - 1
    return max(min(at, len(text.text) - 1), 0)
