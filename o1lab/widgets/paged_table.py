"""A table over any number of rows of which at most a thousand are held: pages come from a callback."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rich.text import Text
from textual.message import Message
from textual.scroll_view import ScrollView

RowKey = str | int


@dataclass(frozen=True, slots=True)
class Column:
    """``width`` in cells; ``flex`` > 0 takes its share of what is left over. When the table is too narrow,
    columns drop out, highest ``priority`` first; priority 0 stays always."""

    key: str
    title: str
    width: int
    flex: int = 0
    priority: int = 0
    justify: Literal["left", "right"] = "left"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: ``cells`` by column key (plain strings are made safe, Text is drawn as it is), ``data`` anything."""

    key: RowKey
    cells: dict[str, str | Text]
    data: object = None


@dataclass(frozen=True, slots=True)
class Page:
    """What a fetch gives: the rows [offset, offset + limit) and how many rows there are in all."""

    rows: Sequence[Row] = field(default=())
    total: int = 0


FetchPage = Callable[[int, int], Page] | Callable[[int, int], Awaitable[Page]]
"""(offset, limit) -> Page. A plain function runs in a thread (open a connection of that thread), a coroutine
function in the app's loop. What it raises is posted as `PagedTable.FetchFailed`."""

Locate = Callable[[RowKey], int | None]
"""Row key -> its offset under the current filter and sort, run in a thread; keeps the cursor on its row."""


class PagedTable(ScrollView, can_focus=True):
    """Keys: j k (arrows) a row, pgup pgdn a page, g G the ends, enter opens."""

    @dataclass
    class RowHighlighted(Message):
        """The cursor stands on another row whose page has come (also after a reload)."""

        table: PagedTable
        index: int
        row: Row

        @property
        def control(self) -> PagedTable:
            return self.table

    @dataclass
    class RowSelected(Message):
        """Enter on a row."""

        table: PagedTable
        index: int
        row: Row

        @property
        def control(self) -> PagedTable:
            return self.table

    @dataclass
    class PageLoaded(Message):
        """A page has come; ``total`` rows in all."""

        table: PagedTable
        total: int

        @property
        def control(self) -> PagedTable:
            return self.table

    @dataclass
    class FetchFailed(Message):
        """The fetch callback raised; the page is asked for again at the next reload."""

        table: PagedTable
        error: Exception

        @property
        def control(self) -> PagedTable:
            return self.table

    def __init__(
        self,
        columns: Sequence[Column],
        fetch: FetchPage | None = None,
        *,
        locate: Locate | None = None,
        page_size: int = 100,
        empty: str = "nothing here",
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)

    @property
    def total(self) -> int:
        """How many rows there are, as the last fetch said."""
        raise NotImplementedError

    @property
    def cursor(self) -> int:
        """The index of the row under the cursor."""
        raise NotImplementedError

    @property
    def cursor_row(self) -> Row | None:
        """The row under the cursor, None while its page is on its way."""
        raise NotImplementedError

    @property
    def cursor_key(self) -> RowKey | None:
        raise NotImplementedError

    def set_source(self, fetch: FetchPage, *, locate: Locate | None = None, keep: bool = False) -> None:
        """Another query: rows from here on come from ``fetch``. ``keep`` keeps the cursor on its row key."""

    def reload(self, *, keep: bool = True) -> None:
        """The data changed: held pages are marked stale (dim) and fetched again as they come into sight."""

    def move_to(self, index: int) -> None:
        """Put the cursor on a row and bring it into sight."""

    def update_row(self, row: Row) -> None:
        """Redraw one held row with new cells at once (a decision just confirmed), without a fetch."""
