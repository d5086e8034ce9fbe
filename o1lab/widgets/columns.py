"""Columns, rows and pages of a `PagedTable`: how they share a width, and how one row is drawn into it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import isawaitable, iscoroutinefunction
from typing import Any, Literal

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from o1lab.text import one_line

RowKey = str | int
GAP = 1
"""Cells between two columns."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        key: The key of its cells in a row.
        width: Minimum width in cells.
        flex: Its share of the width that is left over; 0 for a fixed width.
        priority: In a table that is too narrow, columns with the highest priority are hidden first; 0 is never hidden.
    """

    key: str
    title: str
    width: int
    flex: int = 0
    priority: int = 0
    justify: Literal["left", "right"] = "left"


@dataclass(frozen=True, slots=True)
class Row:
    """A row: ``cells`` by column key (strings are made safe, a Text is drawn unchanged), ``data`` is any object."""

    key: RowKey
    cells: Mapping[str, str | Text]
    data: object = None


@dataclass(frozen=True, slots=True)
class Page:
    """The result of a fetch: the rows [offset, offset + limit), and the total number of rows."""

    rows: Sequence[Row] = field(default=())
    total: int = 0


def share_width(columns: Sequence[Column], width: int) -> list[tuple[Column, int]]:
    """Return the columns that fit into ``width`` cells, in order, each with its width.

    At equal priority the rightmost column is hidden first.
    """
    kept = list(columns)

    def needed() -> int:
        return sum(column.width for column in kept) + GAP * max(len(kept) - 1, 0)

    for column in sorted(columns, key=lambda column: column.priority, reverse=True):
        if needed() <= width or column.priority == 0:
            break
        last = max(at for at, other in enumerate(kept) if other.priority == column.priority)
        del kept[last]
    left_over = max(width - needed(), 0)
    flex = sum(column.flex for column in kept)
    widths = []
    for column in kept:
        extra = left_over * column.flex // flex if flex else 0
        left_over, flex = left_over - extra, flex - column.flex
        widths.append((column, column.width + extra))
    return widths


def draw_row(
    layout: Sequence[tuple[Column, int]], cell: Callable[[Column], str | Text], style: Style, console: Console
) -> list[Segment]:
    """Return the segments of one row; ``cell`` returns the content of a column."""
    segments: list[Segment] = []
    for at, (column, width) in enumerate(layout):
        if at:
            segments.append(Segment(" " * GAP, style))
        content = cell(column)
        if isinstance(content, Text):
            text = content.copy()
            text.truncate(width, overflow="ellipsis")
            # Rich does not apply the style of a text itself when it renders it.
            own = style + console.get_style(text.style, default=Style.null())
            drawn = list(Segment.apply_style(text.render(console), own))
            pad = width - sum(segment.cell_length for segment in drawn)
        else:
            fitted = _fit(one_line(content, width), width)
            drawn = [Segment(fitted, style)]
            pad = width - cell_len(fitted)
        space = [Segment(" " * pad, style)] if pad > 0 else []
        segments += [*space, *drawn] if column.justify == "right" else [*drawn, *space]
    return segments


def _fit(text: str, width: int) -> str:
    """Return ``text`` cut to ``width`` cells, with an ellipsis."""
    return text if cell_len(text) <= width else set_cell_size(text, max(width - 1, 0)) + "…"


FetchPage = Callable[[int, int], Page] | Callable[[int, int], Awaitable[Page]]
"""(offset, limit) -> Page. A plain function runs in a thread (use that thread's database connection), a coroutine
function in the app's event loop. An exception is posted as `PagedTable.FetchFailed`."""

Locate = Callable[[RowKey], int | None] | Callable[[RowKey], Awaitable[int | None]]
"""Row key -> its offset under the current filter and order; called like a fetch. It keeps the cursor on its row."""

HELD_ROWS = 1000


class HeldPages:
    """At most ``HELD_ROWS`` rows of a table, in pages of ``size`` rows; page n begins at row n * size."""

    def __init__(self, size: int) -> None:
        self.size = min(size, HELD_ROWS)
        self.stale: set[int] = set()  # pages from before the last reload: shown until they are fetched again
        self.misplaced: set[int] = set()  # stale pages whose rows are those of other positions, or of another source
        self._pages: dict[int, list[Row]] = {}

    @property
    def held(self) -> int:
        """Number of rows in memory."""
        return sum(map(len, self._pages.values()))

    def number(self, index: int) -> int:
        """Return the number of the page of a row."""
        return index // self.size

    def row(self, index: int) -> Row | None:
        """Return the row at an index if it is in memory."""
        page = self._pages.get(self.number(index), [])
        at = index % self.size
        return page[at] if at < len(page) else None

    def placed_row(self, index: int) -> Row | None:
        """Return the row at an index if it is in memory and belongs there; it may be out of date."""
        return None if self.number(index) in self.misplaced else self.row(index)

    def is_stale(self, index: int) -> bool:
        """Whether the row in memory is out of date."""
        return self.number(index) in self.stale

    def missing(self, indexes: Iterable[int], total: int | None) -> int | None:
        """Return the first missing or stale page of these rows; ``total`` is None while it is not known."""
        for index in indexes:
            number = self.number(index)
            in_table = total is None or number * self.size < max(total, 1)
            if in_table and (number not in self._pages or number in self.stale):
                return number
        return None

    def expire(self) -> None:
        """Mark all pages as out of date."""
        self.stale = set(self._pages)

    def displace(self) -> None:
        """Mark the pages that are out of date as those of other positions."""
        self.misplaced |= self.stale

    def put(self, number: int, rows: Sequence[Row], *, here: int) -> None:
        """Store a fetched page; if there are too many, drop those furthest from row ``here``."""
        self._pages[number] = list(rows)
        self._fresh(number)
        while len(self._pages) * self.size > HELD_ROWS:
            self._drop(max(self._pages, key=lambda page: abs(page - self.number(here))))

    def cut(self, total: int) -> None:
        """Drop the pages after ``total`` rows."""
        for number in [number for number in self._pages if number * self.size >= max(total, 1)]:
            self._drop(number)

    def replace(self, row: Row) -> bool:
        """Replace the row in memory with the same key; return whether there is one."""
        found = False
        for page in self._pages.values():
            for at, other in enumerate(page):
                if other.key == row.key:
                    page[at], found = row, True
        return found

    def find(self, number: int, key: RowKey | None) -> int | None:
        """Return the index of the row with ``key`` if it is in page ``number``."""
        for at, row in enumerate(self._pages.get(number, ())):
            if row.key == key:
                return number * self.size + at
        return None

    def _drop(self, number: int) -> None:
        del self._pages[number]
        self._fresh(number)

    def _fresh(self, number: int) -> None:
        self.stale.discard(number)
        self.misplaced.discard(number)


async def called(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a coroutine function in this event loop, any other in a thread, and return its result."""
    if iscoroutinefunction(function):
        return await function(*arguments)
    result = await asyncio.to_thread(function, *arguments)
    return await result if isawaitable(result) else result
