"""Traces: read chains one after another and annotate them."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, cast

from textual import binding, events, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from o1lab.errors import O1LabError
from o1lab.paths import assets_dir
from o1lab.widgets.keys import Binding, stepping
from o1lab.widgets.paged_table import PagedTable
from o1lab.widgets.reader.chain_reader import ChainReader
from o1lab.widgets.text_pane import EmptyState
from screens.base.context import LabContext
from screens.base.screen import LabScreen, task
from screens.filtering.filter_bar import SAVED_BINDINGS, FilterBar
from screens.traces.actions import Written
from screens.traces.annotate import ANNOTATED, DECISION_BINDINGS, REMARK_BINDINGS, STEP_BINDINGS, Annotator
from screens.traces.annotators import ADJUDICATION_BINDINGS, choose_queue
from screens.traces.edit import edit_chain
from screens.traces.panes import CHAIN_BINDINGS, ChainPane, TracePanes
from screens.traces.reading import Chain, progress_of
from screens.traces.sets import SET_BINDINGS, SetActions
from screens.traces.text import folded, heading, number_of, table_row
from screens.traces.trace_list import TraceList
from store import filter_values, traces
from store.annotations import Progress
from store.decisions import ADJUDICATION
from store.filters import TraceQuery

POLL_S, PLACEHOLDER = 2.0, "filter and search: / then for example  verdict:wrong reflect>=2 wait"


class TracesScreen(LabScreen):
    """The screen: a ``FilterBar``, the ``TracePanes`` with the list and the current chain, and an ``Annotator``."""

    TITLE = "TRACES"
    CSS_PATH = assets_dir() / "styles" / "traces.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "next_pane", "Other pane", show=False, tooltip="Go to the list or the chain"),
        Binding("slash", "filter", "Filter", key_display="/", show=False, tooltip="Filter and search the traces"),
        Binding("S", "sort", "Sort", show=False, tooltip="Choose the order of the list"),
        *DECISION_BINDINGS, *ADJUDICATION_BINDINGS, *REMARK_BINDINGS, *STEP_BINDINGS,
        *SAVED_BINDINGS, *SET_BINDINGS, *CHAIN_BINDINGS, *stepping("trace"),
        Binding("greater_than_sign", "next_undecided", "Next to do", key_display=">", show=False,
                tooltip="Go to the next trace that you have not decided on"),
        Binding("escape", "back", "Back", show=False, tooltip="Close what is open: search, chain or filter"),
    ]  # fmt: skip

    def __init__(self, context: LabContext) -> None:
        super().__init__(context)
        self.filter_bar = FilterBar(TraceQuery, "#list", placeholder=PLACEHOLDER, context=context, id="filter")
        self.panes = TracePanes(context.store, context.session, self.say, id="panes")
        self.annotator = Annotator(context, self.target, query=lambda: self.query_now, keep=self.table.keep)
        self.sets = SetActions(self, self.annotator)
        self._started = False
        self._outdated = False  # another screen of this app has written
        self._counted: TraceQuery | None = None  # the filter whose heading has exact counts of many traces

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
        """Show a message at the bottom."""
        self.annotator.say(message)

    def on_mount(self) -> None:
        self.table.focus()
        if not self._started:
            self._restore()
        self._poll = self.set_interval(POLL_S, self.look_for_changes)

    def on_screen_suspend(self) -> None:
        self._poll.pause()

    def on_screen_resume(self) -> None:
        self._poll.resume()
        self.look_for_changes()

    # The filter and the list.

    @task(exclusive=True, group="restore")
    async def _restore(self) -> None:
        """Show the filter that was in use when the app closed, and the trace that was under the cursor."""
        query = cast(TraceQuery, self.filter_bar.remembered())
        trace_id = await self.panes.remembered(query)
        if not self._started:  # another screen may have asked for traces in the meantime
            self.filter_bar.set_filter(query)
            self.apply(query, trace_id)

    def open(self, query: str, trace_id: str | None) -> None:
        """Show the traces of a filter, with ``trace_id`` in the reader if given. Called for another screen."""
        try:
            wanted = TraceQuery.parse(query)
        except O1LabError as error:
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

    def action_save_filter(self) -> None:
        """Save the filter, from the list. The focus moves at once: what is typed next is the name."""
        self.action_filter()
        self.filter_bar.action_save_filter()

    def action_saved(self) -> None:
        """Choose a saved filter, from the list."""
        self.action_filter()
        self.filter_bar.action_saved()

    @on(FilterBar.Changed)
    def _filter_changed(self, event: FilterBar.Changed) -> None:
        query = replace(cast(TraceQuery, event.query), ids=self.query_now.ids)
        if query != self.query_now or query.source != self.query_now.source:
            self.apply(query, self.table.wanted if event.restored else None)
        if event.final:
            self.panes.show_list()

    @task(dialog=True)
    async def action_sort(self) -> None:
        """Choose the order of the list."""
        query = cast(TraceQuery | None, await self.filter_bar.ask_order(self.query_now))
        if query is not None:
            self.apply(replace(query, ids=self.query_now.ids), self.table.wanted)

    def action_step(self, rows: int) -> None:
        """Go to the next or previous trace of the list, also from the reader."""
        self.table.move_to(self.table.cursor + rows)

    def action_next_undecided(self) -> None:
        """Go to the next trace that the person has not decided on."""
        self.panes.go_to_undecided()

    @on(PagedTable.PageLoaded)
    def _page_loaded(self, event: PagedTable.PageLoaded) -> None:
        nothing = event.total == 0 and not self.query_now.source and self.query_now.ids is None
        self.set_class(nothing, "-empty")
        self._show_folded()

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
        self.refresh_bindings()
        if self.shown is not None:
            total = number_of(self.table.total, exact=self.table.exact)
            text = self.shown.text if self.has_class("-compact") and not self.has_class("-statement") else None
            line = folded(self.shown.row, self.table.index if self.table.total else -1, total, text)
            self.query_one("#folded", Static).update(line)

    def action_statement(self) -> None:
        """Show the whole statement, or only a line of it."""
        self.toggle_class("-statement")
        self._show_folded()

    def action_copy_id(self) -> None:
        """Copy the id of the trace under the cursor."""
        if (trace_id := self.target()) is not None:
            self.app.copy_to_clipboard(trace_id)
            self.say(f"copied the id {trace_id}")

    def action_lens(self) -> None:
        """Show how likely models find each token of the chain."""
        self.panes.open_lens()

    def action_edit_answer(self) -> None:
        """Open the chain in Compare, where a model continues it."""
        self.panes.edit_answer()

    def action_tree(self) -> None:
        """Show the search tree of the chain."""
        self.panes.open_tree()

    def action_side_by_side(self) -> None:
        """Read the chains of this problem side by side."""
        from screens.traces.side_by_side import SideBySideScreen

        if self.shown is None or self.shown.row.id != self.target():
            self.say(self.table.no_target or "The chain is loading: press the key again.")
            return
        screen = SideBySideScreen(self.context, self.annotator.writer, self.shown.row)
        self.app.push_screen(screen, self._came_back)

    def _came_back(self, _: None) -> None:
        self._outdated = True
        self.look_for_changes()

    def on_resize(self, event: events.Resize) -> None:
        self.panes.fit(event.size)
        self._show_folded()
        self.refresh_progress()

    def action_next_pane(self) -> None:
        """Switch between list and chain."""
        self.panes.show_list() if self.reader.has_focus_within else self.panes.show_reader()

    async def close_open(self) -> bool:
        """Close the chain first."""
        closed = await super().close_open()
        if reading := not closed and self.reader.has_focus_within:
            self.panes.show_list()
        return closed or reading

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

    def action_judge_step(self, what: str) -> None:
        """Mark the current move of the chain as the first wrong step, or say that none is wrong."""
        self.annotator.judge_step(what, self.reader, *self.panes.in_reader())

    @on(ChainReader.SpanSelected)
    def _span_selected(self, event: ChainReader.SpanSelected) -> None:
        trace_id, _ = self.panes.in_reader()
        if trace_id is None:
            self.say("The next chain is loading, so nothing was recorded.")
        else:
            self.annotator.label(event, trace_id)

    @on(ChainReader.Marked)
    def _marked(self, event: ChainReader.Marked) -> None:
        self.annotator.mark(event, *self.panes.in_reader())

    @on(Annotator.LabelsChanged)
    def _labels_changed(self) -> None:
        if self.shown is not None:
            self.panes.chain.read(self.shown.row.id)

    @on(Annotator.Saved)
    def _saved(self, event: Annotator.Saved) -> None:
        done = event.written
        self.table.update_row(table_row(done.row, done.counts))
        self.refresh_progress()
        if self.query_now.sort in ANNOTATED or self.query_now.asks(*ANNOTATED):
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
            if done.act.kind in ("decision", ADJUDICATION):
                self.annotator.say(done.noting("nothing left in this list").confirmation)
            self.panes.chain.read(done.act.trace_id)

    def in_footer(self, key: binding.Binding) -> bool:
        """Whether the footer shows a key: those that adjudicate, while the chain is disputed."""
        return ADJUDICATION not in key.action or (self.shown is not None and self.shown.row.disputed)

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

    @task(dialog=True)
    async def action_bulk(self) -> None:
        """Make one decision on all traces of the filter, after a preview."""
        query = self.query_now
        if await self.sets.decide(query):
            self.apply(query, self.target())

    @task(dialog=True)
    async def action_queue(self) -> None:
        """Draw a random queue of traces of the filter."""
        if (queue := await self.sets.draw(self.query_now)) is not None:
            self.apply(queue)

    @task(dialog=True)
    async def action_annotators(self) -> None:
        """Choose a queue of traces by what annotators decided, or see how they agree."""
        if (queue := await choose_queue(self, self.query_now, self.say)) is not None:
            self.filter_bar.set_filter(queue)
            self.apply(queue)

    @task(dialog=True)
    async def action_dataset(self) -> None:
        """Make a dataset of the accepted traces of the filter."""
        await self.sets.make_dataset(self.query_now)

    @task(dialog=True)
    async def action_export(self) -> None:
        """Write all annotations of the lab, undos included, as JSONL."""
        await self.sets.export()

    @task(exclusive=True, group="progress")
    async def refresh_progress(self) -> None:
        """Update the counts in the heading. Those of a new filter are lower bounds until all traces are counted."""
        query, annotator = self.query_now, self.context.annotator
        if self._counted != query:
            progress = await self.read(progress_of, query, annotator, traces.AT_ONCE)
            self._show_progress(progress)
            if progress.exact:
                return
        self._show_progress(await self.read(progress_of, query, annotator))
        self._counted = query

    def _show_progress(self, progress: Progress) -> None:
        queue = "" if self.query_now.ids is None else "queue: "
        room = self.app.size.width - len(self.TITLE + self.context.name + queue) - 10
        self.set_heading(queue + heading(progress, room))

    @task(exclusive=True, group="values")
    async def load_values(self) -> None:
        """Read the values for the completion of the filter."""
        self.filter_bar.set_values(await self.read(filter_values.of_traces))

    @task(group="poll")  # not exclusive: a cancelled call would lose the change that it has seen
    async def look_for_changes(self) -> None:
        """Show what another program or screen has written; the cursor stays on its trace."""
        writer = self.annotator.writer
        changed = await writer.do(writer.others_wrote)
        if changed or self._outdated:
            self._outdated = False
            self.table.reload()
            self.refresh_progress()
            self.load_values()
