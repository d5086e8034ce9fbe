"""Sections of wrapped text, the mapping between them and rows, and a search in them. No widgets."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rich.style import Style

from o1lab.widgets.wrap import WrappedText

HEADER = -1
"""The line number of a section's header row."""


class Mark(NamedTuple):
    """A style for code points [start, end) of one section."""

    start: int
    end: int
    style: Style


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
                first, stop = self.text.lines_inside(start, end)
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


class Hits:
    """Every occurrence of ``query`` in ``texts``; case matters only if ``query`` has a capital.

    An empty query has no hits.
    """

    def __init__(self, query: str = "", texts: Iterable[str] = ()) -> None:
        self.query = query
        self.current = -1
        """The number of the current hit, counted through all texts; -1 for none."""
        flags = re.NOFLAG if any(char.isupper() for char in query) else re.IGNORECASE
        self._pattern = re.compile(re.escape(query), flags)
        self._starts: list[array[int]] = []
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        """Return the number of hits."""
        return sum(map(len, self._starts))

    def add(self, text: str) -> None:
        """Search another text."""
        if self.query:
            self._starts.append(self._find(text, 0))

    def extend(self, index: int, text: str, known: int) -> None:
        """Search the rest of text ``index``, which grew to ``text``, behind its ``known`` code points."""
        if self.query:
            self._starts[index].extend(self._find(text, max(known - len(self.query) + 1, 0)))

    def keep(self, count: int) -> None:
        """Drop the hits of all but the first ``count`` texts."""
        del self._starts[count:]
        self.current = min(self.current, len(self) - 1)

    def _find(self, text: str, start: int) -> array[int]:
        return array("q", (match.start() for match in self._pattern.finditer(text, start)))

    def first_from(self, index: int, offset: int) -> int:
        """Return the number of the first hit at or after a place; the first of all if there is none."""
        before = sum(map(len, self._starts[:index])) + bisect_left(self._starts[index], offset)
        return before % len(self)

    @property
    def place(self) -> tuple[int, int] | None:
        """(text, code point) of the current hit."""
        number = self.current
        for index, starts in enumerate(self._starts):
            if 0 <= number < len(starts):
                return index, starts[number]
            number -= len(starts)
        return None

    def inside(self, index: int, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """Yield (start, end, whether it is current) of the hits that overlap code points [start, end) of a text."""
        if not len(self):
            return
        starts, size, current = self._starts[index], len(self.query), self.place
        for hit in starts[bisect_right(starts, start - size) : bisect_left(starts, end)]:
            yield hit, hit + size, current == (index, hit)
