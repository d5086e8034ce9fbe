"""The list of traces and the chain under its cursor: beside each other, or one at a time on a narrow terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widget import Widget

from o1lab.widgets.paged_table import PagedTable
from screens.base.screen import LabScreen
from screens.traces.chain_pane import ChainPane
from screens.traces.reading import Chain, read_chain
from screens.traces.trace_list import TraceList
from store import traces
from store.connection import Store
from store.filters import TraceQuery

WIDE = 110


class TracePanes(Horizontal):
    """A ``TraceList`` and a ``ChainPane`` that follow each other.

    On a narrow terminal the screen has the class ``-narrow`` and, while the chain is shown, ``-reading``.
    """

    def __init__(self, store: Store, say: Callable[[str], None], *, id: str) -> None:
        """Create both panes; ``say`` shows a line."""
        super().__init__(id=id)
        self.store = store
        self.say = say
        self.list = TraceList(store, id="list")
        self.chain = ChainPane(store, id="chain")
        self._to_read = False  # enter was pressed on a row whose chain is loading

    def compose(self) -> ComposeResult:
        yield self.list
        yield self.chain

    @property
    def lab_screen(self) -> LabScreen:
        return cast(LabScreen, self.screen)

    # Which trace.

    def show(self, query: TraceQuery, trace_id: str | None = None) -> None:
        """List the traces of a filter, from the top or from ``trace_id``."""
        self._to_read = False
        self.list.show(query)
        if trace_id is not None:
            self.go_to(trace_id)

    @work(exclusive=True, group="go")
    async def go_to(self, trace_id: str) -> None:
        """Put list and reader on a trace."""
        await self.go(trace_id)

    @work(exclusive=True, group="go")
    async def go_to_undecided(self) -> None:
        """Put list and reader on the next trace without a decision."""
        query, wanted = self.list.query_now, self.list.wanted
        if wanted is None:
            return
        found = await self.lab_screen.in_thread(lambda: traces.next_undecided(self.store.db, query, wanted))
        if found is None:
            self.say("Every trace of this list has a decision.")
        else:
            await self.go(found)

    async def go(self, trace_id: str, *, leaving: str | None = None) -> None:
        """Read a trace first, then switch list and reader at once; not if ``leaving`` was left meanwhile."""
        query = self.list.query_now
        try:
            chain, index = await self.lab_screen.in_thread(_read_placed, self.store, query, trace_id)
        except Exception as error:
            self.lab_screen.report(error)
            return
        if (leaving is not None and self.list.wanted != leaving) or self.list.query_now is not query:
            return
        if index is None:
            self.say(f"Trace {chain.row.id[:8]} is not among the traces of this filter; shown all the same.")
        self.list.point(chain.row.id, index)
        self.chain.show(chain)

    @on(TraceList.Pointed)
    def _pointed(self, event: TraceList.Pointed) -> None:
        if event.trace_id is None:
            self.chain.show(None)
        else:
            self.chain.read(event.trace_id)

    # Which pane.

    def fit(self, width: int) -> None:
        """Show both panes, or on a narrow terminal the one that has the focus."""
        narrow = width < WIDE
        self.screen.set_class(narrow, "-narrow")
        if narrow and self.chain.reader.has_focus_within:
            self.screen.add_class("-reading")

    def on_descendant_focus(self) -> None:
        self.screen.set_class(self.chain.reader.has_focus_within, "-reading")

    def show_reader(self, *, when_it_comes: bool = False) -> None:
        """Go to the chain; with ``when_it_comes`` once there is one."""
        there = self.chain.shown is not None
        self._to_read = when_it_comes and not there
        if there:
            self.screen.add_class("-reading")
            self.focus_now(self.chain.reader.body)

    def show_list(self, focus: Widget | None = None) -> None:
        """Go to the list, or to the widget ``focus`` beside it."""
        self._to_read = False
        self.screen.remove_class("-reading")
        self.focus_now(focus or self.list)

    def focus_now(self, widget: Widget) -> None:
        """Move the focus before the next key is read: what is typed ahead must not go to the pane that was left."""
        if widget.focusable:
            self.screen.set_focus(widget)
        else:
            widget.focus()  # it is not laid out yet

    @on(PagedTable.RowSelected)
    def _row_selected(self) -> None:
        self.show_reader(when_it_comes=True)

    @on(ChainPane.Shown)
    def _chain_shown(self) -> None:
        if self._to_read:
            self.show_reader()


def _read_placed(store: Store, query: TraceQuery, trace_id: str) -> tuple[Chain, int | None]:
    chain = read_chain(store, trace_id)
    return chain, traces.position(store.db, query, chain.row.id)
