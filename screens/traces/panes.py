"""The list of traces and the chain under its cursor: side by side, or one at a time on a narrow terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widget import Widget

from o1lab.widgets.paged_table import PagedTable
from screens.base.screen import LabScreen, reported
from screens.traces.chain_pane import ChainPane
from screens.traces.reading import Chain, read_chain
from screens.traces.trace_list import TraceList
from store import traces
from store.connection import Store
from store.filters import TraceQuery
from store.sqlite import Database

WIDE = 110


class TracePanes(Horizontal):
    """A ``TraceList`` and a ``ChainPane`` that show the same trace.

    On a narrow terminal the screen has the class ``-narrow`` and, while the chain is shown, ``-reading``.
    """

    def __init__(self, store: Store, say: Callable[[str], None], *, id: str) -> None:
        """Create both panes; ``say`` shows a message."""
        super().__init__(id=id)
        self.say = say
        self.list = TraceList(store, id="list")
        self.chain = ChainPane(id="chain")
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
        """Show a trace in list and reader."""
        await self.go(trace_id)

    @work(exclusive=True, group="go")
    @reported
    async def go_to_undecided(self) -> None:
        """Show the next trace without a decision in list and reader."""
        query, wanted = self.list.query_now, self.list.wanted
        if wanted is None:
            return
        found = await self.lab_screen.read(traces.next_undecided, query, wanted)
        if found is None:
            self.say("Every trace of this list has a decision.")
        else:
            await self.go(found)

    @reported
    async def go(self, trace_id: str, *, leaving: str | None = None) -> None:
        """Read a trace, then show it in list and reader, unless the user has left ``leaving`` in the meantime."""
        query = self.list.query_now
        chain, index = await self.lab_screen.read(_read_placed, query, trace_id)
        if (leaving is not None and self.list.wanted != leaving) or self.list.query_now is not query:
            return
        if index is None:
            self.say(f"Trace {chain.row.id[:8]} does not match the filter; shown anyway.")
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
        """Show both panes, or on a narrow terminal the focused one."""
        narrow = width < WIDE
        self.screen.set_class(narrow, "-narrow")
        if narrow and self.chain.reader.has_focus_within:
            self.screen.add_class("-reading")

    def on_descendant_focus(self) -> None:
        self.screen.set_class(self.chain.reader.has_focus_within, "-reading")

    def show_reader(self, *, when_loaded: bool = False) -> None:
        """Go to the chain; with ``when_loaded``, as soon as it has loaded."""
        loaded = self.chain.shown is not None
        self._to_read = when_loaded and not loaded
        if loaded:
            self.screen.add_class("-reading")
            self.focus_now(self.chain.reader.body)

    def show_list(self, focus: Widget | None = None) -> None:
        """Go to the list, or to the widget ``focus``."""
        self._to_read = False
        self.screen.remove_class("-reading")
        self.focus_now(focus or self.list)

    def focus_now(self, widget: Widget) -> None:
        """Move the focus before the next key is handled, so that keys typed ahead do not go to the other pane."""
        if widget.focusable:
            self.screen.set_focus(widget)
        else:
            widget.focus()  # not laid out yet

    @on(PagedTable.RowSelected)
    def _row_selected(self) -> None:
        self.show_reader(when_loaded=True)

    @on(ChainPane.Shown)
    def _chain_shown(self) -> None:
        if self._to_read:
            self.show_reader()


def _read_placed(db: Database, query: TraceQuery, trace_id: str) -> tuple[Chain, int | None]:
    chain = read_chain(db, trace_id)
    return chain, traces.position(db, query, chain.row.id)
