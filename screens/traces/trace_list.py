"""The list of the traces of a filter, and the trace under its cursor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.message import Message

from o1lab.errors import O1LabError
from o1lab.widgets.columns import Page, RowKey, called
from o1lab.widgets.keys import Binding
from o1lab.widgets.paged_table import PagedTable
from screens.traces.text import COLUMNS, NOTHING, table_row
from store import annotations as annotation_log
from store import traces
from store.connection import Store
from store.filters import TraceQuery

_NO_ROW = -2  # of a key whose row is gone


@dataclass
class _Number:
    """What is known of the number of traces of a filter that has more than are counted at once."""

    whole: int | None = None
    at_least: int = 0


class TraceList(PagedTable):
    """The list. While the row under the cursor is loading, keys apply to no trace instead of to the last one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "screen.filter", "Filter", key_display="/", tooltip="Filter and search the list"),
    ]

    @dataclass
    class Pointed(Message):
        """The cursor is on a trace that has loaded, or the list is empty (``trace_id`` is None)."""

        trace_id: str | None

    def __init__(self, store: Store, *, id: str) -> None:
        super().__init__(COLUMNS, id=id, empty="No trace matches this filter. Press / to change it.")
        self.store = store
        self.query_now = TraceQuery()
        self.wanted: str | None = None
        """The id of the last trace under the cursor."""
        self.index = -1
        """The index of its row."""
        self._goal: int | None = None  # the row to go to once the list has it
        self._number = _Number()
        self._recount = False  # the traces changed, or are not counted yet
        self._to_end = False  # the end of the list was asked for before all traces were counted
        self._kept: list[tuple[int, str, str]] = []  # keys for a row that is loading: (row, kind, value)

    @property
    def target(self) -> str | None:
        """The trace under the cursor; None while it is loading, or while keys for it are kept."""
        if self._goal is not None or self._kept:
            return None
        if self.cursor == self.index:
            return self.wanted
        row = self.cursor_row  # the cursor has just moved, and ``RowHighlighted`` is still to come
        return None if row is None else str(row.key)

    @property
    def no_target(self) -> str:
        """Why there is no target, for a person; empty if there is one."""
        if self.target is not None:
            return ""
        if self._broken:
            return "The list could not be loaded."
        loading = self.busy or self._goal is not None or self._kept or self.cursor_row is not None
        return "The list is loading: press the key again." if loading else "No trace is shown."

    @property
    def exact(self) -> bool:
        """Whether ``total`` is the number of all traces of the filter, and not a lower bound."""
        return self._number.whole is not None or self.total < traces.AT_ONCE

    def show(self, query: TraceQuery) -> None:
        """Show the traces of a filter from the top."""
        self.query_now = query
        self.wanted, self.index, self._goal, self._to_end = None, -1, None, False
        self._kept = [(_NO_ROW, kind, value) for _, kind, value in self._kept]  # reported as lost
        store, found = self.store, _Number()
        self._number = found

        def fetch(offset: int, limit: int) -> Page:
            with store.explained():
                rows = traces.page(store.db, query, limit=limit, offset=offset)
                counts = annotation_log.counts(store.db, [row.id for row in rows])
                number = traces.count(store.db, query, at_most=traces.AT_ONCE)
            if number == traces.AT_ONCE:
                found.at_least = max(found.at_least, number, offset + len(rows))
                number = found.whole or found.at_least
            return Page([table_row(row, counts.get(row.id, NOTHING)) for row in rows], number)

        def locate(key: RowKey) -> int | None:
            index = traces.position(store.db, query, str(key))
            found.at_least = max(found.at_least, 0 if index is None else index + 1)
            return index

        self.set_source(fetch, locate=locate)

    def reload(self, *, keep: bool = True) -> None:
        self._recount = True
        super().reload(keep=keep)

    def action_bottom(self) -> None:
        self._to_end = not self.exact
        super().action_bottom()

    @work(exclusive=True, group="count")
    async def _count_all(self, query: TraceQuery) -> None:
        """Count all traces of the filter, which may take a while."""
        store = self.store

        def counted() -> int:
            with store.explained():
                return traces.count(store.db, query)

        try:
            whole = await called(counted)
        except O1LabError as error:
            self.post_message(self.FetchFailed(error))
            return
        if query is not self.query_now:
            return
        self._number.whole = whole
        self._set_total(whole)
        if self._to_end:
            self._to_end = False
            super().action_bottom()
        self.post_message(self.PageLoaded(whole))

    def point(self, trace_id: str, index: int | None) -> None:
        """Make this the trace under the cursor, and move the cursor to its row if it has one."""
        self.wanted = trace_id
        self.index = self.cursor if index is None else index
        if index is not None:
            self._place(index)

    def keep(self, kind: str, value: str) -> str:
        """Keep a key until the row under the cursor has loaded; return why there is none if none is loading."""
        loading = self.busy or self.cursor_row is not None
        if self.wanted is None or self._goal is not None or self._broken or not loading:
            return self.no_target
        self._kept.append((self.cursor, kind, value))
        return ""

    def take_kept(self) -> tuple[list[tuple[str, str]], bool]:
        """Return (kind, value) of the kept keys for the current trace, and whether keys for others were dropped."""
        kept, self._kept = self._kept, []
        due = [(kind, value) for row, kind, value in kept if row == self.index]
        return due, len(due) < len(kept)

    def _place(self, index: int) -> None:
        self._goal = index
        self._number.at_least = max(self._number.at_least, index + 1)
        if index < self.total:
            self._goal = None
            self.move_to(index)

    @on(PagedTable.PageLoaded)
    def _page_loaded(self, event: PagedTable.PageLoaded) -> None:
        if event.total < traces.AT_ONCE:
            self._number.whole = None
        elif self._recount:
            self._count_all(self.query_now)
        self._recount = False
        if self._goal is not None and self._goal < event.total:
            self._place(self._goal)
        if event.total == 0 and self.wanted is None:
            self.index = -1
            self.post_message(self.Pointed(None))
        elif event.total == 0:  # its last trace has left it, by a decision for example: it stays the current one
            self.index = self.cursor

    @on(PagedTable.RowHighlighted)
    def _row_highlighted(self, event: PagedTable.RowHighlighted) -> None:
        if self._goal is not None and event.index != self._goal:
            return  # on the way to another row
        self.wanted, self.index = str(event.row.key), event.index
        self.post_message(self.Pointed(self.wanted))
