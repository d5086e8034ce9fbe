"""The pool: the problems of the lab, the rules that exclude them, and the rulings of people."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, cast

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.css.query import NoMatches
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from o1lab.distill.drafts import draft_path
from o1lab.distill.handwritten import described_drafts
from o1lab.ingest.annotation_text import clock
from o1lab.text import one_line, visible
from o1lab.widgets.dialogs import Choice, PickDialog, among
from o1lab.widgets.keys import Binding, stepping
from o1lab.widgets.line_view import LineView
from o1lab.widgets.paged_table import PagedTable
from o1lab.widgets.text_pane import EmptyState, TallText
from o1lab.widgets.typed_ahead import post_held
from screens.base.context import LabContext
from screens.base.screen import task
from screens.base.split import Split
from screens.distill import problem as distill_problem
from screens.distill.problem import COLUMNS, RULED, PoolCounts, WholeProblem
from screens.filtering.filter_bar import FilterBar
from screens.filtering.pane import FilteredPane
from store import exclusions
from store.connection import Store
from store.exclusions import Ruled
from store.filters import ProblemQuery
from store.records import TraceRow


class PoolPane(FilteredPane[ProblemQuery]):
    """The list of problems, and the problem under the cursor."""

    RULE: ClassVar[Binding.Group] = Binding.Group("Rule")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/", tooltip="Filter the problems"),
        Binding("exclamation_mark", "overrule", "Overrule", key_display="!",
                tooltip="Keep or leave out this problem, whatever the rules say"),
        Binding("u", "undo", "Undo", tooltip="Undo your last ruling on a problem"),
        Binding("F", "filters", "Rules", tooltip="Run the rules on the problems: preview, then apply"),
        Binding("w", "write", "Write", tooltip="Write a chain for this problem yourself, or continue its draft"),
        Binding("W", "drafts", "Drafts", show=False, tooltip="List the chains that are being written, and open one"),
        Binding("T", "traces", "Traces", show=False, tooltip="Show the traces of this problem"),
        Binding("n", "step(1)", "Next problem", show=False, tooltip="Go to the next problem"),
        Binding("p", "step(-1)", "Previous problem", show=False, tooltip="Go to the previous problem"),
        *stepping("problem"),
        Binding("y", "copy_id", "Copy id", show=False, tooltip="Copy the problem's id"),
    ]  # fmt: skip

    class Opened(Message):
        """Enter was pressed on a problem."""

    def __init__(self, context: LabContext, to_list: Callable[[Widget], None], *, id: str) -> None:
        """Make the pane; ``to_list`` shows the list and gives a widget the focus."""
        super().__init__(context, ProblemQuery(), id=id)
        self.to_list = to_list
        self.counts: PoolCounts | None = None
        self.wanted: str | None = None
        """The problem that is being read or shown."""
        self.shown: WholeProblem | None = None
        self._undo: list[tuple[str, Ruled]] = []
        """What u undoes: the problems, each with its earlier ruling."""

    def compose(self) -> ComposeResult:
        yield EmptyState(
            "No problems in this lab yet.",
            "Quit with q and import some:  o1lab import FILE...   or try:  o1lab demo",
            id="no-problems",
        )
        yield TallText(id="pool-counts", markup=False)
        yield FilterBar(
            ProblemQuery,
            "#problems",
            placeholder='filter: / then for example  excluded:no source:math "triangle"',
            context=self.context,
            id="pool-filter",
        )
        with Split(session=self.context.session, name="problems", id="pool-panes"):
            yield PagedTable(COLUMNS, id="problems", empty="No problem matches this filter. Press / to change it.")
            with Vertical(id="problem"):
                yield Static(id="problem-title", markup=False)
                yield LineView(id="problem-text")
        yield Static(id="pool-message", markup=False)

    def on_mount(self) -> None:
        self.restore()

    @property
    def target(self) -> str | None:
        """The problem under the cursor, even if the shown one is still loading; None while the list is loading."""
        row = self.table.cursor_row
        return None if row is None else str(row.key)

    def need_target(self) -> str | None:
        """Return the problem under the cursor; if there is none, say why."""
        if self.target is None:
            self.say(self.table.no_row)
        return self.target

    @property
    def filter_text(self) -> str:
        """The filter in use, as it was typed."""
        return self.query_now.source

    def say(self, message: str | Text) -> None:
        """Show a line below the pool."""
        self.query_one("#pool-message", Static).update(message if isinstance(message, Text) else Text(visible(message)))

    # The list.

    def open(self, text: str) -> None:
        """Show the problems of a filter."""
        try:
            query = ProblemQuery.parse(text)
        except Exception as error:
            self.lab_screen.report(error)
            return
        self.filter_bar.set_filter(query)
        self.apply(query)

    def apply(self, query: ProblemQuery) -> None:
        """List the problems of ``query``."""
        self.query_now = query
        self.table.set_source(self.lab_screen.pages(lambda db, *span: distill_problem.page(db, query, *span)))
        self.count()

    def reload(self) -> None:
        """Read list, problem and counts again after a change."""
        self.table.reload()
        self.count()
        if self.wanted is not None:
            self._read(self.wanted)

    @work(exclusive=True, group="count")
    async def count(self) -> None:
        """Count the pool again."""
        try:
            self.counts = await self.lab_screen.read(distill_problem.count_pool)
            self.filter_bar.set_values({"source": self.counts.sources, "excluded": [*self.counts.rules]})
            self.set_class(not self.counts.total, "-empty")
            self.query_one("#pool-counts", Static).update(distill_problem.counts_text(self.counts))
            if not self.counts.total and self.screen.focused is self.table:
                self.screen.set_focus(None)  # it is hidden, so its keys have no effect
        except NoMatches:
            return  # the app is closing
        except Exception as error:
            self.lab_screen.report(error)

    @on(PagedTable.PageLoaded)
    def _page_loaded(self, event: PagedTable.PageLoaded) -> None:
        if not event.total:
            self.wanted = None
            self._show(None)
        found = f"{event.total:,} found" if self.query_now.source else ""
        self.query_one("#problems").border_subtitle = found
        if self.query_now.source:
            self.say(f"{event.total:,} problems match this filter")

    @on(PagedTable.RowHighlighted)
    def _row_highlighted(self, event: PagedTable.RowHighlighted) -> None:
        self.wanted = str(event.row.key)
        self._read(self.wanted)

    @on(PagedTable.RowSelected)
    def _row_selected(self) -> None:
        post_held(self, self.Opened())

    @task(exclusive=True, group="problem")
    async def _read(self, identity: str) -> None:
        whole = await self.lab_screen.read(distill_problem.read_problem, identity)
        if self.wanted == identity:
            self._show(whole)

    def _show(self, whole: WholeProblem | None) -> None:
        before, self.shown = self.shown, whole
        if whole == before:
            return
        self.query_one("#problem-title", Static).update(distill_problem.title(whole) if whole else "")
        distill_problem.show(self.query_one("#problem-text", LineView), whole)

    # The filter.

    def action_filter(self) -> None:
        """Type a filter."""
        self.to_list(self.filter_bar.editable())

    # Rulings.

    @task(group="rule", dialog=True)
    async def action_overrule(self) -> None:
        """Overrule the rules: keep the problem, leave it out, or let the rules decide again."""
        from screens.distill.rules import OverruleDialog

        if (identity := self.need_target()) is None:
            return
        whole = await self.lab_screen.read(distill_problem.read_problem, identity)
        answer = await self.app.push_screen_wait(OverruleDialog(whole))
        if answer is None:
            return
        ruling, note = answer
        await self.writer.do(rule_on, self.context.store, identity, ruling, self.context.annotator, note)
        self._undo.append((identity, cast(Ruled, whole.ruling)))
        name = one_line(f"{whole.problem.source} {whole.problem.key}", 40)
        self.say(Text(f"saved: {name}: {RULED[ruling]}, by {visible(self.context.annotator)}; u undoes it", "green"))
        self.reload()

    @work(group="rule")
    async def action_undo(self) -> None:
        """Undo the last ruling made here; the ruling before it applies again."""
        if not self._undo:
            self.say("No ruling was made in this session. Press ! on a problem to change its ruling.")
            return
        identity, before = self._undo.pop()
        try:
            await self.writer.do(rule_on, self.context.store, identity, before, self.context.annotator, "taken back")
        except Exception as error:
            self._undo.append((identity, before))
            self.lab_screen.report(error)
            return
        self.say(Text(f"saved: problem {identity[:12]} is again: {RULED[before]}", "green"))
        self.reload()

    @task(group="rule", dialog=True)
    async def action_filters(self) -> None:
        """Run the rules: preview the result, then apply it."""
        from screens.distill.rules import RulesDialog

        benchmarks = tuple(self.context.config.benchmarks)
        last = self.counts.runs if self.counts else {}
        message = await self.app.push_screen_wait(
            RulesDialog(self.lab_screen.context, self.writer, self.query_now, benchmarks, last)
        )
        if message:
            self.say(Text(visible(message), "green"))
            self.reload()

    # Writing.

    @task(group="write", dialog=True)
    async def action_write(self) -> None:
        """Write a chain for the problem under the cursor."""
        if (identity := self.need_target()) is not None:
            await self._write(identity)

    @task(group="write", dialog=True)
    async def action_drafts(self) -> None:
        """Choose one of your drafts, and continue it."""
        lab, annotator = self.context.lab, self.context.annotator
        found = await self.lab_screen.read(described_drafts, lab)
        choices = [
            Choice(one.problem_id, one_line(one.statement, 60), f"{one.moves} moves, saved {clock(one.saved_at)}")
            for one in found
            if one.path == draft_path(lab, one.problem_id, annotator)
        ]
        if not choices:
            self.say("You have no drafts. Press w on a problem to write a chain for it.")
        elif (identity := await self.app.push_screen_wait(PickDialog("Your drafts", among(choices)))) is not None:
            await self._write(identity)

    async def _write(self, identity: str) -> None:
        from screens.distill.write import WriteScreen

        whole = await self.lab_screen.read(distill_problem.read_problem, identity)
        self.app.push_screen(WriteScreen(self.context, whole.problem, self._written))

    def _written(self, row: TraceRow) -> None:
        self.say(Text(f"saved: trace {row.id[:12]}, {row.verdict}, written by {visible(row.model)}", "green"))

    def action_traces(self) -> None:
        """Show the traces of this problem."""
        from screens.base.messages import OpenTraces

        if (identity := self.need_target()) is not None:
            post_held(self, OpenTraces(f"problem:{identity}"))

    def action_step(self, rows: int) -> None:
        """Select the next or previous problem of the list."""
        self.table.move_to(self.table.cursor + rows)

    def action_copy_id(self) -> None:
        """Copy the problem's id."""
        if (identity := self.need_target()) is not None:
            self.app.copy_to_clipboard(identity)
            self.say(f"copied the id {identity}")


def rule_on(store: Store, identity: str, ruling: Ruled, annotator: str, note: str) -> None:
    """Record a ruling. Call it in the writer's thread."""
    exclusions.rule_on(store.db, [identity], ruling, annotator=annotator, note=note)
