"""The list of the traces of a filter, and the trace under its cursor."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.message import Message

from o1lab.widgets.paged_table import Page, PagedTable, RowKey
from screens.traces.text import COLUMNS, table_row
from store import traces
from store.connection import Store
from store.filters import TraceQuery


class TraceList(PagedTable):
    """The list. While the row under the cursor is loading, keys apply to no trace instead of to the last one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "screen.filter", "Filter", key_display="/", tooltip="Filter and search the list"),
    ]

    class Pointed(Message):
        """The cursor is on a trace that has loaded, or the list is empty (``trace_id`` is None)."""

        def __init__(self, trace_id: str | None) -> None:
            super().__init__()
            self.trace_id = trace_id

    def __init__(self, store: Store, *, id: str) -> None:
        super().__init__(COLUMNS, id=id, empty="No trace matches this filter. Press / to change it.")
        self.store = store
        self.query_now = TraceQuery()
        self.wanted: str | None = None
        """The id of the last trace under the cursor."""
        self.index = -1
        """The index of its row."""
        self._goal: int | None = None  # the row to go to once the list has it
        self._kept: list[tuple[int, str, str]] = []  # keys for a row that is loading: (row, kind, value)

    @property
    def target(self) -> str | None:
        """The trace under the cursor; None while it is loading, or while keys for it are kept."""
        if self._goal is not None or self._kept or self.cursor != self.index:
            return None
        return self.wanted

    def show(self, query: TraceQuery) -> None:
        """Show the traces of a filter from the top."""
        self.query_now = query
        self.wanted, self.index, self._goal = None, -1, None
        store = self.store

        def fetch(offset: int, limit: int) -> Page:
            with store.explained():
                rows = traces.page(store.db, query, limit=limit, offset=offset)
                return Page([table_row(row) for row in rows], traces.count(store.db, query))

        def locate(key: RowKey) -> int | None:
            return traces.position(store.db, query, str(key))

        self.set_source(fetch, locate=locate)

    def point(self, trace_id: str, index: int | None) -> None:
        """Make this the trace under the cursor, and move the cursor to its row if it has one."""
        self.wanted = trace_id
        self.index = self.cursor if index is None else index
        if index is not None:
            self._place(index)

    def keep(self, kind: str, value: str) -> bool:
        """Keep a key until the row under the cursor has loaded; return False if none is loading."""
        loading = self.busy or self.cursor_row is not None
        if self.wanted is None or self._goal is not None or not loading:
            return False
        self._kept.append((self.cursor, kind, value))
        return True

    def take_kept(self) -> tuple[list[tuple[str, str]], bool]:
        """Return (kind, value) of the kept keys for the current trace, and whether keys for others were dropped."""
        kept, self._kept = self._kept, []
        due = [(kind, value) for row, kind, value in kept if row == self.index]
        return due, len(due) < len(kept)

    def _place(self, index: int) -> None:
        self._goal = index
        if index < self.total:
            self._goal = None
            self.move_to(index)

    @on(PagedTable.PageLoaded)
    def _page_loaded(self, event: PagedTable.PageLoaded) -> None:
        if self._goal is not None and self._goal < event.total:
            self._place(self._goal)
        if event.total == 0:
            self.wanted, self.index = None, -1
            self.post_message(self.Pointed(None))

    @on(PagedTable.RowHighlighted)
    def _row_highlighted(self, event: PagedTable.RowHighlighted) -> None:
        if self._goal is not None and event.index != self._goal:
            return  # on the way to another row
        self.wanted, self.index = str(event.row.key), event.index
        self.post_message(self.Pointed(self.wanted))
