"""A selection being made in a thought, by moves or by characters, and where the keys take its end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from o1lab.widgets.outline import Outline
from o1lab.widgets.sections import Section

_WORD = re.compile(r"(?<=\s)\S")
_FAR = 1000  # code points: how far back a word is looked for

Step = Literal["left", "right", "up", "down", "word", "back", "start", "end"]


@dataclass(frozen=True, slots=True)
class Selecting:
    """``anchor`` and ``end`` are moves (their indices) or code points, both included."""

    by: Literal["moves", "chars"]
    anchor: int
    end: int

    def span(self, outline: Outline) -> tuple[int, int]:
        """What is selected, in code points [start, end) of the thought."""
        low, high = sorted((self.anchor, self.end))
        return (outline[low].start, outline[high].end) if self.by == "moves" else (low, high + 1)

    def to(self, end: int) -> Selecting:
        """The same selection with another end."""
        return Selecting(self.by, self.anchor, end)

    def swapped(self) -> Selecting:
        """The same selection, going on from its other end."""
        return Selecting(self.by, self.end, self.anchor)


def stepped(at: int, step: Step, section: Section) -> int:
    """The code point that a step from code point ``at`` of a section leads to, within its text."""
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
