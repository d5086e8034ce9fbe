"""Traces: read chains one after another and annotate them."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, cast

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from o1lab.paths import assets_dir
from o1lab.widgets.chain_reader import ChainReader
from o1lab.widgets.dialogs import PromptDialog
from o1lab.widgets.empty_state import EmptyState
from o1lab.widgets.paged_table import PagedTable
from screens.base.context import LabContext
from screens.base.screen import LabScreen, reported
from screens.filtering.filter_bar import FilterBar
from screens.traces.annotate import ANNOTATION_BINDINGS, Annotator, Written
from screens.traces.chain_pane import ChainPane
from screens.traces.edit import edit_chain
from screens.traces.panes import TracePanes
from screens.traces.reading import Chain, field_values, progress_of
from screens.traces.sets import SetActions
from screens.traces.text import folded, heading, table_row
from screens.traces.trace_list import TraceList
from store.errors import StoreError
from store.filters import TraceQuery

POLL_S = 2.0
# Fields that an annotation changes, which filters and orders can use.
_ANNOTATED = ("decision", "rating", "tag")


class TracesScreen(LabScreen):
    """The screen: a ``FilterBar``, the ``TracePanes`` with the list and the current chain, and an ``Annotator``."""

    TITLE = "TRACES"
    CSS_PATH = assets_dir() / "styles" / "traces.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "next_pane", "Other pane", show=False),
        Binding("slash", "filter", "Filter", key_display="/", show=False),
        Binding("S", "sort", "Sort", show=False, tooltip="Choose the order of the list"),
        *ANNOTATION_BINDINGS,
        Binding("d", "dataset", "Dataset", tooltip="Make a named, hashed dataset of the accepted traces"),
        Binding("D", "bulk", "Decide all", show=False, tooltip="One decision for every trace of the filter"),
        Binding("Q", "queue", "Random queue", show=False, tooltip="Work through random traces of the filter"),
        Binding("W", "export", "Export annotations", show=False, tooltip="Write all annotations as JSONL"),
        Binding("e", "edit", "Edit", tooltip="Edit the chain in $EDITOR: a new trace with this one as its parent"),
        Binding("c", "side_by_side", "Side by side", tooltip="Read the chains of this problem side by side"),
        Binding("full_stop", "step(1)", "Next trace", key_display=".", show=False),
        Binding("comma", "step(-1)", "Previous trace", key_display=",", show=False),
        Binding("greater_than_sign", "next_undecided", "Next to do", key_display=">", show=False),
        Binding("i", "statement", "Problem", show=False, tooltip="Show or fold the statement of the problem"),
        Binding("y", "copy_id", "Copy id", show=False, tooltip="Copy the trace's id"),
        Binding("escape", "back", "Back", show=False),
    ]

    def __init__(self, context: LabContext) -> None:
        super().__init__(context)
        self.filter_bar = FilterBar(
            TraceQuery,
            "#list",
            placeholder="filter and search: / then for example  verdict:wrong reflect>=2 wait",
            id="filter",
        )
        self.panes = TracePanes(context.store, self.say, id="panes")
        self.annotator = Annotator(context, self.target, query=lambda: self.query_now, keep=self.table.keep)
        self.sets = SetActions(self, self.annotator)
        self._started = False
        self._outdated = False  # another screen of this app has written

    def compose_body(self) -> ComposeResult:
        yield self.filter_bar
        yield Static(id="folded", markup=False)
        yield self.panes
        yield EmptyState(
            "No traces in this lab yet.",
            "Quit with q and import some:  o1lab import FILE...   or try:  o1lab demo",
            id="empty",
        )
        yield self.annotator

    @property
    def table(self) -> TraceList:
        return self.panes.list

    @property
    def query_now(self) -> TraceQuery:
        """The filter in use, with the queue that it is limited to."""
        return self.table.query_now

    @property
    def reader(self) -> ChainReader:
        return self.panes.chain.reader

    @property
    def shown(self) -> Chain | None:
        """The chain in the reader."""
        return self.panes.chain.shown

    def target(self) -> str | None:
        """Return the id of the trace that keys apply to."""
        return self.table.target

    def say(self, message: str) -> None:
        """Show a message at the bottom of the screen."""
        self.annotator.say(message)

    def on_mount(self) -> None:
        self.table.focus()
        if not self._started:
            self.apply(self.query_now)
        self._poll = self.set_interval(POLL_S, self.look_for_changes)

    def on_screen_suspend(self) -> None:
        self._poll.pause()

    def on_screen_resume(self) -> None:
        self._poll.resume()
        self.look_for_changes()

    # The filter and the list.

    def open(self, query: str, trace_id: str | None) -> None:
        """Show the traces of a filter, with ``trace_id`` in the reader if given. Called for another screen."""
        try:
            wanted = TraceQuery.parse(query)
        except StoreError as error:
            self.report(error)
            return
        self.filter_bar.set_filter(wanted)
        self.apply(wanted, trace_id)
        self.panes.focus_now(self.reader.body if trace_id else self.table)

    def apply(self, query: TraceQuery, trace_id: str | None = None) -> None:
        """Show the traces of ``query``, from the top or from ``trace_id``."""
        self._started = True
        self.panes.show(query, trace_id)
        self.refresh_progress()
        self.load_values()

    def action_filter(self) -> None:
        """Edit the filter."""
        self.panes.show_list(self.filter_bar.editable())

    @on(FilterBar.Changed)
    def _filter_changed(self, event: FilterBar.Changed) -> None:
        query = replace(cast(TraceQuery, event.query), ids=self.query_now.ids)
        if query != self.query_now or query.source != self.query_now.source:
            self.apply(query, self.table.wanted if event.restored else None)
        if event.final:
            self.panes.show_list()

    @work
    @reported
    async def action_sort(self) -> None:
        """Choose the order of the list."""
        now = ("-" if self.query_now.descending else "") + self.query_now.sort
        language = TraceQuery.LANGUAGE
        order = await self.app.push_screen_wait(
            PromptDialog("Sort by (a minus in front reverses it)", value=now, completions=[*language.sorts, "-chars"])
        )
        if order is None:
            return
        query = TraceQuery.parse(language.with_sort(self.query_now.source, order.strip()))
        self.filter_bar.set_filter(query)
        self.apply(replace(query, ids=self.query_now.ids), self.table.wanted)

    def action_step(self, rows: int) -> None:
        """Go to the next or previous trace of the list, also from the reader."""
        self.table.move_to(self.table.cursor + rows)

    def action_next_undecided(self) -> None:
        """Go to the next trace without a decision."""
        self.panes.go_to_undecided()

    @on(PagedTable.PageLoaded)
    def _page_loaded(self, event: PagedTable.PageLoaded) -> None:
        nothing = event.total == 0 and not self.query_now.source and self.query_now.ids is None
        self.set_class(nothing, "-empty")
        self._show_folded()

    @on(PagedTable.FetchFailed)
    def _fetch_failed(self, event: PagedTable.FetchFailed) -> None:
        self.report(event.error)

    @on(TraceList.Pointed)
    def _pointed(self, event: TraceList.Pointed) -> None:
        if event.trace_id is None:
            return
        self._show_folded()
        due, lost = self.table.take_kept()
        for kind, value in due:
            self.annotator.annotate(kind, value, of=event.trace_id)
        if lost:
            self.say("NOT recorded: the list changed before the trace was loaded. Press the key again.")

    # The chain.

    @on(ChainPane.Shown)
    def _show_folded(self) -> None:
        if self.shown is not None:
            line = folded(self.shown.row, self.table.index, self.table.total)
            self.query_one("#folded", Static).update(line)

    def action_statement(self) -> None:
        """Show the whole statement, or only a line of it."""
        self.toggle_class("-statement")

    def action_copy_id(self) -> None:
        """Copy the id of the trace under the cursor."""
        if (trace_id := self.target()) is not None:
            self.app.copy_to_clipboard(trace_id)
            self.say(f"copied the id {trace_id}")

    def action_side_by_side(self) -> None:
        """Read the chains of this problem side by side."""
        from screens.traces.side_by_side import SideBySideScreen

        if self.shown is not None:
            screen = SideBySideScreen(self.context, self.annotator.writer, self.shown.row)
            self.app.push_screen(screen, self._came_back)

    def _came_back(self, _: None) -> None:
        self._outdated = True
        self.look_for_changes()

    # The panes.

    def on_resize(self, event: events.Resize) -> None:
        self.panes.fit(event.size.width)
        self.refresh_progress()

    def action_next_pane(self) -> None:
        """Switch between list and chain."""
        self.panes.show_list() if self.reader.has_focus_within else self.panes.show_reader()

    def action_back(self) -> None:
        """Go from the chain to the list, and from a random queue to all traces of the filter."""
        if self.query_now.ids is not None and not self.reader.has_focus_within:
            self.say("left the queue")
            self.apply(replace(self.query_now, ids=None), self.table.wanted)
        self.panes.show_list()

    # Annotations.

    def action_annotate(self, action: str, value: str = "") -> None:
        """Annotate the trace under the cursor."""
        self.annotator.perform(action, value)

    @on(ChainReader.SpanSelected)
    def _span_selected(self, event: ChainReader.SpanSelected) -> None:
        if (trace_id := self.target()) is not None:
            self.annotator.label(event, trace_id)

    @on(Annotator.Saved)
    def _saved(self, event: Annotator.Saved) -> None:
        done = event.written
        self.table.update_row(table_row(done.row))
        self.refresh_progress()
        if self.query_now.sort in _ANNOTATED or self.query_now.asks(*_ANNOTATED):
            self.table.reload()  # other rows, or the same in another order
        self._continue(done)

    @work
    async def _continue(self, done: Written) -> None:
        """Go to the next trace, unless the user went elsewhere."""
        still_here = self.table.wanted == done.act.trace_id
        if done.act.kind == "undo":
            if len(done.touched) > 1:
                self.table.reload()
            await self.panes.go(done.left or done.row.id)
        elif done.next_id is not None and still_here:
            await self.panes.go(done.next_id, leaving=done.act.trace_id)
        elif still_here:
            if done.act.kind == "decision":
                self.say("saved; all traces of this list have a decision")
            self.panes.chain.read(done.act.trace_id)

    @work(exclusive=True, group="edit")
    async def action_edit(self) -> None:
        """Edit the chain; the result is a new trace, which is verified."""
        if (trace_id := self.target()) is None:
            return
        edited = await edit_chain(self, self.annotator, trace_id)
        if edited is not None:  # the order of the filter decides where it is in the list
            self.table.reload()
            self.refresh_progress()
            await self.panes.go(edited.id)

    # All traces of the filter.

    @work
    @reported
    async def action_bulk(self) -> None:
        """Make one decision on all traces of the filter, after a preview."""
        query = self.query_now
        if await self.sets.decide(query):
            self.apply(query, self.target())

    @work
    @reported
    async def action_queue(self) -> None:
        """Draw a random queue of traces of the filter."""
        if (queue := await self.sets.draw(self.query_now)) is not None:
            self.apply(queue)

    @work
    @reported
    async def action_dataset(self) -> None:
        """Make a dataset of the accepted traces of the filter."""
        await self.sets.make_dataset(self.query_now)

    @work
    @reported
    async def action_export(self) -> None:
        """Write all annotations of the lab, undos included, as JSONL."""
        await self.sets.export()

    # Updates.

    @work(exclusive=True, group="progress")
    @reported
    async def refresh_progress(self) -> None:
        """Update the counts in the heading."""
        progress = await self.read(progress_of, self.query_now, self.context.annotator)
        queue = "" if self.query_now.ids is None else "queue: "
        room = self.app.size.width - len(self.TITLE) - len(self.context.name) - 10 - len(queue)
        self.set_heading(queue + heading(progress, room))

    @work(exclusive=True, group="values")
    @reported
    async def load_values(self) -> None:
        """Read the values for the completion of the filter."""
        self.filter_bar.set_values(await self.read(field_values))

    @work(group="poll")  # not exclusive: a cancelled call would lose the change that it has seen
    @reported
    async def look_for_changes(self) -> None:
        """Show what another program or screen has written; the cursor stays on its trace."""
        writer = self.annotator.writer
        changed = await writer.do(writer.others_wrote)
        if changed or self._outdated:
            self._outdated = False
            self.table.reload()
            self.refresh_progress()
            self.load_values()
