"""Stretches of wrapped text one under the other: which row shows what. No widget in here."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from o1lab.widgets.wrap import WrappedText, lines_inside

HEADER = -1
"""The line number that stands for a section's header row."""


@dataclass(eq=False, slots=True)
class Section:
    """A stretch of text with, if ``header`` is set, a row of its own above it.

    ``folded`` leaves the header alone in sight; of each range of code points in ``hidden`` only the first
    line is shown.
    """

    text: WrappedText
    header: str = ""
    folded: bool = False
    hidden: Sequence[tuple[int, int]] = ()
    lines: array[int] | None = field(default=None, init=False)
    """The lines in sight, None for all of them."""

    def find_lines(self) -> None:
        """Work out ``lines`` again, after ``hidden`` or the wrapping changed."""
        self.lines = None
        if self.hidden:
            shown = bytearray(b"\1") * len(self.text)
            for start, end in self.hidden:
                first, stop = lines_inside(self.text, start, end)
                shown[first + 1 : stop] = bytes(max(stop - first - 1, 0))
            self.lines = array("q", (line for line, is_shown in enumerate(shown) if is_shown))

    @property
    def rows(self) -> int:
        above = 1 if self.header else 0
        if self.folded:
            return above
        return above + (len(self.text) if self.lines is None else len(self.lines))

    def line_at(self, row: int) -> int:
        """The line (or HEADER) on the section's own row ``row``."""
        row -= 1 if self.header else 0
        return row if row < 0 or self.lines is None else self.lines[row]

    def row_of(self, line: int) -> int:
        """The section's own row that shows ``line``, or the one it is folded into."""
        if self.folded or line < 0:
            return 0
        row = line if self.lines is None else max(bisect_right(self.lines, line) - 1, 0)
        return row + (1 if self.header else 0)


class Sections(list[Section]):
    """The sections in their order. A place in them is (section, code point) or (section, line), a row counts from
    the top of the first; after sections or their rows changed, ``recount`` finds the rows again."""

    def __init__(self, sections: Sequence[Section] = ()) -> None:
        super().__init__(sections)
        self.tops: list[int] = []
        """The row with which each section begins."""

    def recount(self) -> None:
        """Work out ``tops`` again."""
        self.tops = []
        row = 0
        for section in self:
            self.tops.append(row)
            row += section.rows

    @property
    def rows(self) -> int:
        """How many rows all of them have."""
        return self.tops[-1] + self[-1].rows if self.tops else 0

    def place_at(self, row: int) -> tuple[int, int]:
        """(section, line) on a row; line HEADER for a section's header."""
        section = max(bisect_right(self.tops, row) - 1, 0)
        while section and not self[section].rows:
            section -= 1
        return section, self[section].line_at(row - self.tops[section])

    def offset_at(self, row: int) -> tuple[int, int]:
        """(section, code point) with which a row begins; the nearest row for one outside."""
        if not self.rows:
            return 0, 0
        section, line = self.place_at(min(row, self.rows - 1))
        text = self[section].text
        return section, text.span(line)[0] if 0 <= line < len(text) else 0

    def row_of(self, section: int, offset: int) -> int:
        """The row that shows a code point."""
        if not self:
            return 0
        part = self[section]
        return self.tops[section] + part.row_of(part.text.line_of(offset))

    def rewrap(self, width: int) -> bool:
        """Lay every text out for another width, in cells; False if all were already."""
        if all(section.text.width == width for section in self):
            return False
        for section in self:
            section.text.rewrap(width)
            section.find_lines()
        self.recount()
        return True
