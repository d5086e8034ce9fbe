"""Sections of wrapped text, and the mapping between them and rows. No widgets."""

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
    """A section of text with an optional header row above it.

    Attributes:
        text: The text.
        header: Text of the header row; empty for none.
        folded: Whether only the header is shown.
        hidden: Ranges of code points of which only the first line is shown.
        lines: The visible lines, None for all.
    """

    text: WrappedText
    header: str = ""
    folded: bool = False
    hidden: Sequence[tuple[int, int]] = ()
    lines: array[int] | None = field(default=None, init=False)

    def find_lines(self) -> None:
        """Recompute ``lines`` after ``hidden`` or the wrapping changed."""
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
        """Return the line (or HEADER) on a row, counted from the top of the section."""
        row -= 1 if self.header else 0
        return row if row < 0 or self.lines is None else self.lines[row]

    def row_of(self, line: int) -> int:
        """Return the row with ``line``, or the one it is folded into, counted from the top of the section."""
        if self.folded or line < 0:
            return 0
        row = line if self.lines is None else max(bisect_right(self.lines, line) - 1, 0)
        return row + (1 if self.header else 0)


class Sections(list[Section]):
    """Sections in order. Rows are counted from the top of the first one.

    After sections or their rows changed, call ``recount``.
    """

    def __init__(self, sections: Sequence[Section] = ()) -> None:
        super().__init__(sections)
        self.tops: list[int] = []
        """The first row of each section."""

    def recount(self) -> None:
        """Recompute ``tops``."""
        self.tops = []
        row = 0
        for section in self:
            self.tops.append(row)
            row += section.rows

    @property
    def rows(self) -> int:
        """Number of rows of all sections."""
        return self.tops[-1] + self[-1].rows if self.tops else 0

    def place_at(self, row: int) -> tuple[int, int]:
        """Return (section, line) of a row; the line of a header is HEADER."""
        section = max(bisect_right(self.tops, row) - 1, 0)
        while section and not self[section].rows:
            section -= 1
        return section, self[section].line_at(row - self.tops[section])

    def offset_at(self, row: int) -> tuple[int, int]:
        """Return (section, code point) at the beginning of a row; outside, of the nearest row."""
        if not self.rows:
            return 0, 0
        section, line = self.place_at(min(row, self.rows - 1))
        text = self[section].text
        return section, text.span(line)[0] if 0 <= line < len(text) else 0

    def row_of(self, section: int, offset: int) -> int:
        """Return the row with a code point."""
        if not self:
            return 0
        part = self[section]
        return self.tops[section] + part.row_of(part.text.line_of(offset))

    def rewrap(self, width: int) -> bool:
        """Lay out all texts for a width in cells; return False if they have it already."""
        if all(section.text.width == width for section in self):
            return False
        for section in self:
            section.text.rewrap(width)
            section.find_lines()
        self.recount()
        return True
