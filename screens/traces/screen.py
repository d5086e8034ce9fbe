"""Traces: read chains one after another and say what they are worth."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Static

from o1lab.paths import assets_dir
from o1lab.text import visible
from o1lab.widgets.chain_reader import ChainReader
from o1lab.widgets.empty_state import EmptyState
from o1lab.widgets.paged_table import PagedTable
from o1lab.widgets.tall_text import TallText
from screens.base.context import LabContext
from screens.traces.annotate import Writer, Written
from screens.traces.edit import EditingScreen
from screens.traces.filter_bar import FilterBar
from screens.traces.filtering import FilteringScreen
from screens.traces.reading import (
    Chain,
    Vocabulary,
    fetcher,
    locator,
    progress_of,
    read_chain,
    spans_of,
    vocabulary,
)
from screens.traces.sets import SetsScreen
from screens.traces.text import COLUMNS, folded, heading, origin, remarks, table_row, title
from store import traces
from store.connection import Store
from store.query import TraceQuery, parse_query

POLL_S = 2.0
# What an annotation can change about which traces a filter finds, and in which order.
_DERIVED = ("decision", "rating", "tag")


class TraceTable(PagedTable):
    """The list; from it the filter is one key away."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "screen.filter", "Filter", key_display="/", tooltip="Filter and search the list"),
    ]


class TracesScreen(EditingScreen, SetsScreen, FilteringScreen):
    """A list of traces, beside it the chain under the cursor; what is said of it goes through ``Writer``."""

    TITLE = "TRACES"
    CSS_PATH = assets_dir() / "styles" / "traces.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "beside", "Side by side", tooltip="Read the chains of this problem side by side"),
        Binding("full_stop", "step(1)", "Next trace", key_display=".", show=False),
        Binding("comma", "step(-1)", "Previous trace", key_display=",", show=False),
        Binding("greater_than_sign", "next_undecided", "Next to do", key_display=">", show=False),
        Binding("i", "statement", "Problem", show=False, tooltip="Show the whole statement of the problem, or fold it"),
        Binding("y", "copy_id", "Copy id", show=False, tooltip="Copy the trace's id"),
        Binding("escape", "back", "Back", show=False),
    ]

    def __init__(self, context: LabContext) -> None:
        super().__init__(context, Writer(context.store))
        self.query_now = TraceQuery()
        self.wanted: str | None = None  # the trace under the cursor: what a key means
        self._index = -1  # where that trace stands in the list
        self._goal: int | None = None  # where the cursor is to go once the list knows how long it is
        self._started = False
        self._outdated = False  # another screen of this app wrote
        self._held: list[tuple[int, str, str]] = []  # keys for a row that is on its way: row, kind, value

    def compose_body(self) -> ComposeResult:
        yield FilterBar("#list", id="filter")
        yield Static(id="folded", markup=False)
        with Horizontal(id="panes"):
            yield TraceTable(COLUMNS, id="list", empty="No trace matches this filter. Press / to change it.")
            with Vertical(id="chain"):
                yield Static(id="title", markup=False)
                yield Static(id="origin", markup=False)
                with VerticalScroll(id="statement", can_focus=False):
                    yield TallText(id="statement-text", markup=False)
                yield ChainReader(id="reader")
                yield Static(id="remarks", markup=False)
        yield EmptyState(
            "No traces in this lab yet.",
            "Leave with q and import some:  o1lab import FILE...   or try:  o1lab demo",
            id="empty",
        )
        yield Static(id="said", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.table.focus()
        if not self._started:
            self.apply(self.query_now)
        self._poll = self.set_interval(POLL_S, self.look_for_changes)

    def on_screen_suspend(self) -> None:
        self._poll.pause()

    def on_screen_resume(self) -> None:
        self._poll.resume()
        self.look_for_changes()

    async def on_unmount(self) -> None:
        await self.writer.close()

    # The list: filter, order, place.

    def open(self, query: str, trace_id: str | None) -> None:
        """Show the traces of a filter, the reader on ``trace_id`` when given (another screen asks)."""
        try:
            wanted = parse_query(query)
        except Exception as error:
            self.report(error)
            return
        self.query_one(FilterBar).set_text(query)
        self.apply(wanted, trace_id)
        self.focus_now(self.reader.body if trace_id else self.table)

    def apply(self, query: TraceQuery, trace_id: str | None = None) -> None:
        """List the traces of ``query``, from the top or from ``trace_id``."""
        self._started = True
        self.query_now = query
        self.wanted, self._index, self._goal = None, -1, None
        self._to_read = False
        store = self.context.store
        self.table.set_source(fetcher(store, query), locate=locator(store, query))
        self.refresh_progress()
        self.learn_words()
        if trace_id is not None:
            self.go_to(trace_id)

    def list_query(self) -> TraceQuery:
        return self.query_now

    def action_step(self, rows: int) -> None:
        """Go to the next or previous trace of the list without leaving the reader."""
        self.table.move_to(self.table.cursor + rows)

    @work(exclusive=True, group="go")
    async def action_next_undecided(self) -> None:
        """Go to the next trace without a decision."""
        if self.wanted is None:
            return
        found = await self.in_thread(_next_undecided, self.context.store, self.query_now, self.wanted)
        if found is None:
            self.say("Every trace of this list has a decision.")
        else:
            await self._go(found)

    @work(exclusive=True, group="go")
    async def go_to(self, trace_id: str) -> None:
        """Put list and reader on a trace."""
        await self._go(trace_id)

    async def _go(self, trace_id: str, *, leaving: str | None = None) -> None:
        """Read the trace first, then switch list and reader at once; not if ``leaving`` was left meanwhile."""
        query = self.query_now
        try:
            chain, index = await self.in_thread(_read_placed, self.context.store, query, trace_id)
        except Exception as error:
            self.report(error)
            return
        if (leaving is not None and self.wanted != leaving) or self.query_now is not query:
            return
        self.wanted = chain.row.id
        if index is None:
            self.say(f"Trace {chain.row.id[:8]} is not among the traces of this filter; shown all the same.")
            self._index = self.table.cursor
        else:
            self._index = index
            self._place(index)
        self.show_chain(chain)

    def _place(self, index: int) -> None:
        self._goal = index
        if index < self.table.total:
            self._goal = None
            self.table.move_to(index)

    @on(PagedTable.PageLoaded)
    def _page_loaded(self, event: PagedTable.PageLoaded) -> None:
        nothing = event.total == 0 and not self.query_now.source and self.query_now.ids is None
        self.set_class(nothing, "-empty")
        if self._goal is not None and self._goal < event.total:
            self._place(self._goal)
        if event.total == 0:
            self.wanted, self._index = None, -1
            self.show_chain(None)
        self._show_folded()

    @on(PagedTable.FetchFailed)
    def _fetch_failed(self, event: PagedTable.FetchFailed) -> None:
        self.report(event.error)

    @on(PagedTable.RowHighlighted)
    def _row_highlighted(self, event: PagedTable.RowHighlighted) -> None:
        if self._goal is not None and event.index != self._goal:
            return  # on its way to another row
        self.wanted, self._index = str(event.row.key), event.index
        self._load(self.wanted)
        self._show_folded()
        held, self._held = self._held, []
        for index, kind, value in held:
            if index == event.index:
                self.annotate(kind, value, of=self.wanted)
            else:
                self.say("NOT recorded: the list moved on before the trace was there. Press the key again.")

    @on(PagedTable.RowSelected)
    def _row_selected(self) -> None:
        self.show_reader(when_it_comes=True)

    @work(exclusive=True, group="chain")
    async def _load(self, trace_id: str) -> None:
        try:
            chain = await self.in_thread(read_chain, self.context.store, trace_id)
        except Exception as error:
            self.report(error)
            return
        if self.wanted == trace_id:
            self.show_chain(chain)

    # The chain.

    def show_chain(self, chain: Chain | None) -> None:
        """Show a chain in the reader; the same chain again only brings what was said of it up to date."""
        before = self.shown
        self.shown = chain
        empty = Text("")
        self.query_one("#title", Static).update(title(chain.row, chain.text) if chain else empty)
        self.query_one("#origin", Static).update(origin(chain.row) if chain else empty)
        self.query_one("#remarks", Static).update(remarks(chain.records) if chain else empty)
        self._show_folded()
        if chain and before and before.row.id == chain.row.id:
            self.reader.set_spans(spans_of(chain.records))
            return
        self.query_one("#statement-text", Static).update(Text(visible(chain.text.statement) if chain else ""))
        self.query_one("#statement").scroll_home(animate=False)
        self.reader.load(chain.document if chain else None)
        self.chain_came()

    def _show_folded(self) -> None:
        if self.shown is not None:
            line = folded(self.shown.row, self._index, self.table.total)
            self.query_one("#folded", Static).update(line)

    def action_statement(self) -> None:
        """Show the whole statement, or a line of it."""
        self.toggle_class("-statement")

    def action_copy_id(self) -> None:
        """Copy the id of the trace at hand."""
        if (trace_id := self.target()) is not None:
            self.app.copy_to_clipboard(trace_id)
            self.say(f"copied the id {trace_id}")

    def action_beside(self) -> None:
        """Read the chains of this problem side by side."""
        from screens.traces.side_by_side import BesideScreen

        if self.shown is None:
            return
        row = self.shown.row
        self.app.push_screen(BesideScreen(self.context, self.writer, row), self._came_back)

    def _came_back(self, _: None) -> None:
        self._outdated = True
        self.look_for_changes()

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self.refresh_progress()

    def action_back(self) -> None:
        """From the chain to the list; from a random queue to all traces of the filter."""
        if self.query_now.ids is not None and not self.reader.has_focus_within:
            self.say("left the queue")
            self.apply(replace(self.query_now, ids=None), self.wanted)
        self.show_list()

    # Annotations.

    def target(self) -> str | None:
        """The trace under the cursor. While its row is still on its way there is none, rather than the last one."""
        if self.wanted is None or self._goal is not None or self.table.cursor != self._index:
            return None
        return self.wanted

    def hold(self, kind: str, value: str) -> bool:
        on_its_way = self.table.busy or self.table.cursor_row is not None
        if self.wanted is None or self._goal is not None or not on_its_way:
            return False
        self._held.append((self.table.cursor, kind, value))
        return True

    async def on_done(self, done: Written) -> None:
        """Bring list and header up to date and go on with the next trace, unless the person went elsewhere."""
        self.table.update_row(table_row(done.row))
        self.refresh_progress()
        if self._moves_rows():
            self.table.reload()
        if done.act.kind == "undo":
            if len(done.touched) > 1:
                self.table.reload()
            await self._go(done.left or done.row.id)
        elif done.next_id is not None and self.wanted == done.act.trace_id:
            await self._go(done.next_id, leaving=done.act.trace_id)
        elif self.wanted == done.act.trace_id:
            if done.act.kind == "decision":
                self.say("saved; every trace of this list has a decision now")
            self._load(done.act.trace_id)

    async def on_edited(self, trace_id: str) -> None:
        """Read the edited chain at once; in the list it stands where the filter's order puts it."""
        self.table.reload()
        self.refresh_progress()
        await self._go(trace_id)

    def _moves_rows(self) -> bool:
        """Whether annotations change which rows this list has, or their order."""
        query = self.query_now
        return query.sort in _DERIVED or any(condition.field in _DERIVED for condition in query.conditions)

    def say(self, message: str | Text) -> None:
        text = message if isinstance(message, Text) else Text(visible(message))
        self.query_one("#said", Static).update(text)

    @work(exclusive=True, group="progress")
    async def refresh_progress(self) -> None:
        """Count again what the heading says."""
        try:
            progress = await self.in_thread(progress_of, self.context.store, self.query_now, self.context.annotator)
        except Exception as error:
            self.report(error)
            return
        queue = "" if self.query_now.ids is None else "queue: "
        room = self.app.size.width - len(self.TITLE) - len(self.context.name) - 10 - len(queue)
        self.set_heading(queue + heading(progress, room))

    @work(exclusive=True, group="words")
    async def learn_words(self) -> None:
        """Learn what the filter can be completed with."""
        try:
            known: Vocabulary = await self.in_thread(vocabulary, self.context.store)
        except Exception as error:
            self.report(error)
            return
        self.query_one(FilterBar).suggester.values = known.values

    @work(group="poll")  # not exclusive: a look that was cancelled would take a change with it
    async def look_for_changes(self) -> None:
        """Show what another program, or another screen, wrote meanwhile; the cursor stays on its trace."""
        try:
            changed = await self.writer.do(self.writer.others_wrote)
        except Exception as error:
            self.report(error)
            return
        if changed or self._outdated:
            self._outdated = False
            self.table.reload()
            self.refresh_progress()
            self.learn_words()


def _next_undecided(store: Store, query: TraceQuery, trace_id: str) -> str | None:
    return traces.next_undecided(store.db, query, trace_id)


def _read_placed(store: Store, query: TraceQuery, trace_id: str) -> tuple[Chain, int | None]:
    chain = read_chain(store, trace_id)
    return chain, traces.position(store.db, query, chain.row.id)
