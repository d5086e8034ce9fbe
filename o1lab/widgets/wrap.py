"""Text wrapped to terminal cells: visual lines that map back to code points of the source. No widgets.

The text may be drawn by a `Rendering` of its LaTeX and Markdown; offsets refer to the source then too.

Control characters, bidi controls and other invisible code points are drawn as visible symbols
(``o1lab.text.visible``); all offsets are offsets into the original text.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from rich.cells import get_character_cell_size

from o1lab.chains.mathtext import Look, Rendering
from o1lab.text import visible

TAB = 4
"""Cells of a tab in any column: enough to show indentation, and simple to lay out."""

_MARKS_PER_CELL = 8
"""A line with more code points per cell than this (stacked combining marks) is broken."""

# Zero-width joiners and variation selectors change the width of their neighbours, differently in each terminal.
# They have no glyph, so they are not drawn.
_UNDRAWN = frozenset({0x200C, 0x200D, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)})

# Characters that are drawn as themselves in one cell each: Western scripts and mathematics.
_NARROW = (
    "[ -~\xa0-\xac\xae-\u02ff\u0370-\u0482\u048a-\u052f\u2010-\u2027\u2030-\u205e\u2070-\u209f"
    "\u20a0-\u20bf\u2100-\u22ff\u2500-\u25fc\u2800-\u28ff"
)
# Characters of up to two cells: Chinese, Japanese and Korean.
_WIDE = "\u3000-\u3029\u3030-\u303e\u3041-\u3096\u309b-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uff01-\uff60"
_ONE_CELL = re.compile(f"{_NARROW}]*")
_TWO_CELLS = re.compile(f"{_NARROW}{_WIDE}]*")


class _Glyphs(dict[str, tuple[str, int]]):
    """Character -> (text drawn for it, cells)."""

    def __missing__(self, char: str) -> tuple[str, int]:
        if len(self) > _CACHED:
            self.clear()
        self[char] = glyph = self._of(char)
        return glyph

    @staticmethod
    def _of(char: str) -> tuple[str, int]:
        code = ord(char)
        if code in _UNDRAWN or char == "\n":
            return "", 0
        if char == "\t":
            return " " * TAB, TAB
        drawn = visible(char)
        if drawn == char:
            if unicodedata.category(char) != "Cf":
                return char, get_character_cell_size(char)
            drawn = f"‹{code:04x}›"
        return drawn, len(drawn)


class _Widths(dict[int, int]):
    """Code point -> cells, for ``str.translate``, which makes a string whose code points are the widths."""

    def __missing__(self, code: int) -> int:
        if len(self) > _CACHED:
            self.clear()
        self[code] = cells = _GLYPHS[chr(code)][1]
        return cells


_CACHED = 30_000  # characters: limits the memory for a text with all of Unicode
_GLYPHS = _Glyphs()
_WIDTHS = _Widths()


def _is_plain(text: str, start: int, stop: int) -> bool:
    """Whether every code point of ``text[start:stop]`` is drawn as itself in one cell."""
    run = _ONE_CELL.match(text, start, stop)
    return run is not None and run.end() == stop


class _Ruler:
    """Measures the cells of a text in blocks; a character that is not plain takes a fraction of a microsecond."""

    BLOCK = 4096

    def __init__(self, text: str) -> None:
        self._text = text
        self._start = 0
        self._cells = [0]
        """Number of cells before each code point from ``_start`` on."""
        self.widths = ""

    def room(self, start: int, most: int, width: int) -> int:
        """Return the first code point from ``start`` on that does not fit into ``width`` cells, or ``most``."""
        if not self._start <= start < self._start + len(self.widths):
            self._measure(start, self.BLOCK)
        while True:
            at = start - self._start
            full = bisect_right(self._cells, self._cells[at] + width, at) - 1
            if full < len(self.widths) or self._start + full >= most:
                return min(self._start + full, most)
            self._measure(start, 2 * max(full - at, self.BLOCK))  # the line continues after the block

    def last_wide(self, start: int, stop: int) -> int:
        """Return the end of the last wide character in ``[start, stop)`` with its combining marks; 0 if none."""
        wide = self.widths.rfind("\2", start - self._start, stop - self._start) + 1
        while wide and self.widths[wide] == "\0":
            wide += 1
        return self._start + wide if wide else 0

    def is_wide(self, at: int) -> bool:
        return self.widths[at - self._start] == "\2"

    def _measure(self, start: int, size: int) -> None:
        self._start = start
        self.widths = self._text[start : start + size].translate(_WIDTHS)
        self._cells = list(accumulate(self.widths.encode("latin-1"), initial=0))


def _line_end(text: str, start: int, limit: int, width: int, ruler: _Ruler) -> int:
    """Return the end of the visual line that begins at ``start``, at most ``limit`` (the end of its paragraph).

    Lines break after a space (which may hang over the edge) or before or after a wide character, else anywhere.
    """
    if 2 * (limit - start) <= width and (run := _TWO_CELLS.match(text, start, limit)) and run.end() == limit:
        return limit  # fits even if all characters are wide
    full = start + width
    wide = 0
    plain = _is_plain(text, start, limit if limit <= full else full + 1)
    if plain and full >= limit:
        return limit
    if not plain:
        most = min(limit, start + _MARKS_PER_CELL * width)
        full = ruler.room(start, most, width)
        if full == most:
            return most
        if ruler.is_wide(full):
            return max(full, start + 1)
        wide = ruler.last_wide(start, full)
    if text[full] == " ":
        return full + 1
    space = text.rfind(" ", start, full) + 1
    if space <= start or text[start:space].isspace():  # do not break after the indentation of a line
        space = 0
    return max(space, wide) or max(full, start + 1)


class Piece(NamedTuple):
    """A part of a line: what is drawn for the code points [start, end), and the cells it takes."""

    start: int
    end: int
    text: str
    cells: int
    look: Look | None = None


class WrappedText:
    """``text`` wrapped to ``width`` cells (wide CJK 2, combining marks 0, tabs 4).

    The lines partition the text: line i covers the code points ``span(i)``, including its newline or the space it is
    broken at. A line also begins at every offset in ``breaks`` (ascending). All offsets are offsets into ``text``, also
    when a ``rendering`` of it is drawn: then several lines may belong to one code point, and a line's span be empty.
    """

    def __init__(
        self, text: str = "", width: int = 80, breaks: Sequence[int] = (), rendering: Rendering | None = None
    ) -> None:
        self.text = text
        self.width = max(width, 2)
        self.breaks = array("q", breaks)
        self.rendering = rendering
        self._forced = self.breaks if rendering is None else array("q", map(rendering.to_drawn, breaks))
        self._starts = array("q")
        """Where each line begins in the drawn text."""
        self._lay_out(0)

    @property
    def _drawn(self) -> str:
        return self.text if self.rendering is None else self.rendering.text

    def _to_drawn(self, offset: int) -> int:
        return offset if self.rendering is None else self.rendering.to_drawn(offset)

    def _to_source(self, offset: int) -> int:
        return offset if self.rendering is None else self.rendering.to_source(offset)

    def __len__(self) -> int:
        """Return the number of visual lines; an empty text has none."""
        return len(self._starts)

    def _lay_out(self, start: int) -> None:
        """Append the visual lines of the drawn text from ``start`` on to ``_starts``."""
        text, width, starts = self._drawn, self.width, self._starts
        ruler = _Ruler(text)
        size = len(text)
        upcoming = iter(self._forced[bisect_right(self._forced, start) :])
        forced = next(upcoming, size)
        while start < size:
            newline = text.find("\n", start)
            paragraph = size if newline < 0 else newline
            while True:
                while forced <= start:
                    forced = next(upcoming, size + 1)
                starts.append(start)
                start = _line_end(text, start, min(forced, paragraph), width, ruler)
                if start >= paragraph:
                    break
            # The newline belongs to the line that it ends, even after a space that hangs over the edge.
            start = paragraph + 1

    def rewrap(self, width: int) -> None:
        """Lay out the text for another width."""
        if max(width, 2) != self.width:
            self.width = max(width, 2)
            self._starts = array("q")
            self._lay_out(0)

    def append(self, delta: str) -> int:
        """Append to a text without a rendering; only the last visual line is laid out again.

        Returns:
            The first line that may have changed.
        """
        self.text += delta
        restart = self._starts.pop() if self._starts else 0
        first = len(self._starts)
        self._lay_out(restart)
        return first

    def _extent(self, line: int) -> tuple[int, int]:
        """Return (start, end) of a visual line in the drawn text."""
        following = line + 1
        return self._starts[line], self._starts[following] if following < len(self._starts) else len(self._drawn)

    def span(self, line: int) -> tuple[int, int]:
        """Return (start, end) of a visual line in code points."""
        start, end = self._extent(line)
        return self._to_source(start), self._to_source(end)

    def line_of(self, offset: int) -> int:
        """Return the visual line with code point ``offset`` (the nearest line for an offset outside)."""
        return max(bisect_right(self._starts, self._to_drawn(offset)) - 1, 0)

    def lines_inside(self, start: int, end: int) -> tuple[int, int]:
        """Return the visual lines [first, last + 1) with the code points [start, end)."""
        return bisect_left(self._starts, self._to_drawn(start)), self.line_of(max(end - 1, start)) + 1

    def cell_of(self, offset: int) -> int:
        """Return the cell, from the left of its line, at which code point ``offset`` is drawn."""
        start, end = self._extent(self.line_of(offset))
        return sum(map(ord, self._drawn[start : min(self._to_drawn(offset), end)].translate(_WIDTHS)))

    def offset_at(self, line: int, cell: int) -> int:
        """Return the code point drawn at ``cell`` of ``line`` (the last one of a shorter line)."""
        start, end = self._extent(line)
        cells = list(accumulate(map(ord, self._drawn[start:end].translate(_WIDTHS))))
        return self._to_source(min(start + bisect_right(cells, cell), max(end - 1, start)))

    def whole(self, offset: int) -> tuple[int, int]:
        """Return the code points [start, end) that are drawn together with code point ``offset``."""
        return (offset, offset + 1) if self.rendering is None else self.rendering.block(offset)

    def pieces(self, line: int, cuts: Iterable[int] = ()) -> list[Piece]:
        """Return the pieces of ``line``, cut where looks change and at those ``cuts`` that are drawn apart."""
        start, end = self._extent(line)
        text = self._drawn
        if end > start and text[end - 1] == "\n":
            end -= 1
        if self.rendering is None:
            bounds = [start, *sorted({cut for cut in cuts if start < cut < end}), end]
            return [_piece(text, a, b, (a, b)) for a, b in pairwise(bounds) if a < b]
        found = []
        wanted = sorted(set(cuts))
        for first, last, left, right, look in self.rendering.pieces(start, end):
            inside = [cut for cut in wanted if first < cut < last] if right - left == last - first else []
            for a, b in pairwise([first, *inside, last]):
                shift = left - first
                drawn = (a + shift, b + shift) if inside else (left, right)
                found.append(_piece(text, *drawn, (a, b), look))
        return found


def _piece(text: str, left: int, right: int, span: tuple[int, int], look: Look | None = None) -> Piece:
    """Return what is drawn for ``text[left:right]``."""
    if _is_plain(text, left, right):
        return Piece(*span, text[left:right], right - left, look)
    glyphs = [_GLYPHS[char] for char in text[left:right]]
    return Piece(*span, "".join(drawn for drawn, _ in glyphs), sum(cells for _, cells in glyphs), look)
