"""The chains of one problem side by side, each with its own scroll position."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from o1lab.format import short_count
from o1lab.paths import assets_dir
from o1lab.text import one_line
from o1lab.widgets.keys import Binding
from o1lab.widgets.reader.chain_reader import ChainReader
from o1lab.widgets.reader.document import ReaderDocument
from o1lab.widgets.rendered import rendered_line, rendered_text
from o1lab.widgets.text_pane import TallText
from screens.base.context import LabContext
from screens.base.screen import LabScreen, task
from screens.base.writer import Writer
from screens.traces.annotate import ANNOTATION_BINDINGS, STEP_BINDINGS, Annotator
from screens.traces.reading import Chain, read_chain
from screens.traces.text import decision_mark, moves, problem_name, question_of, remarks, state, verdict_mark
from store import traces
from store.records import TraceRow

NARROWEST = 38  # minimum width of a column in cells


class ReaderColumn(Vertical):
    """A few lines of information, and a reader."""

    def __init__(self, *, correcting: bool = False) -> None:
        super().__init__(classes="column")
        self._correcting = correcting

    def compose(self) -> ComposeResult:
        yield Static(classes="column-title", markup=False)
        yield ChainReader(labelling=True, correcting=self._correcting)

    @property
    def reader(self) -> ChainReader:
        return self.query_one(ChainReader)

    def draw(self, title: Text, document: ReaderDocument | None, *, again: bool) -> None:
        """Show a text under its title; shown ``again``, it keeps its scroll position."""
        self.query_one(".column-title", Static).update(title)
        if again and document is not None:
            self.reader.remark(document)
        else:
            self.reader.load(document)


class Column(ReaderColumn):
    """One chain."""

    def __init__(self) -> None:
        super().__init__(correcting=True)
        self.chain: Chain | None = None

    def show(self, chain: Chain, place: str) -> None:
        """Show a chain with its place among those of the problem; the same chain keeps its scroll position."""
        before, self.chain = self.chain, chain
        row = chain.row
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(f"{place} ", "bold")
        line.append_text(verdict_mark(row.verdict)).append(" ").append_text(
            decision_mark(row.decision, disputed=row.disputed)
        )
        line.append(f" {one_line(row.model, 30)}", "bold").append(f"  {one_line(row.answer or 'no answer', 24)}")
        line.append(f"  {short_count(row.chars)} {state(row)} ", "dim").append_text(moves(row.moves))
        line.append("\n").append_text(remarks(chain.records, chain.view))
        self.draw(line, chain.document, again=before is not None and before.row.id == row.id)


class SideBySideScreen(LabScreen):
    """The traces of one problem in columns; as many as fit are visible, tab moves on to the others."""

    TITLE = "SIDE BY SIDE"
    CSS_PATH = assets_dir() / "styles" / "traces.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        *ANNOTATION_BINDINGS,
        *STEP_BINDINGS,
        Binding("tab", "column(1)", "Next chain", tooltip="Go to the chain to the right"),
        Binding("shift+tab", "column(-1)", "Previous chain", show=False, tooltip="Go to the chain to the left"),
        Binding("i", "statement", "Problem", show=False, tooltip="Show or fold the statement of the problem"),
        Binding("escape", "back", "Back to the list", tooltip="Close the columns"),
        Binding("c", "back", "Back to the list", id="side_by_side", show=False, tooltip="Close the columns"),
    ]

    def __init__(self, context: LabContext, writer: Writer, row: TraceRow) -> None:
        super().__init__(context)
        self.annotator = Annotator(context, self.target, writer=writer)
        self.row = row
        self.chains: list[TraceRow] = []
        self.first = 0  # index of the chain in the first column
        self.here = 0  # index of the chain with the focus

    def compose_body(self) -> ComposeResult:
        yield TallText(id="statement-text", markup=False)
        yield Horizontal(id="columns")
        yield self.annotator

    def on_mount(self) -> None:
        self.load()

    @task(exclusive=True, group="columns")
    async def load(self) -> None:
        """Read the traces of the problem, then show the given one and its neighbours."""
        self.chains = await self.read(traces.of_problem, self.row.problem_id)
        self.here = next((at for at, row in enumerate(self.chains) if row.id == self.row.id), 0)
        await self.fill()

    def fitting(self) -> int:
        """Return the number of columns that fit."""
        return max(1, min(len(self.chains), self.app.size.width // NARROWEST))

    async def fill(self) -> None:
        """Fill the columns that fit, with the focused chain among them."""
        number = self.fitting()
        self.first = max(0, min(self.first, self.here, len(self.chains) - number))
        self.first = max(self.first, self.here - number + 1)
        holder = self.query_one("#columns", Horizontal)
        columns = list(self.query(Column))
        for extra in columns[number:]:
            await extra.remove()
        if (missing := number - len(columns)) > 0:
            await holder.mount(*(Column() for _ in range(missing)))
        for at, column in enumerate(self.query(Column)):
            row = self.chains[self.first + at]
            column.set_class(at == 0, "-first")
            if column.chain is None or column.chain.row.id != row.id:
                column.show(await self.read(read_chain, row.id), self._place(row.id))
        self._mark()

    def _place(self, trace_id: str) -> str:
        """Return the place of a chain among those of the problem, such as 2/4."""
        at = next(at for at, row in enumerate(self.chains) if row.id == trace_id)
        return f"{at + 1}/{len(self.chains)}"

    def _mark(self) -> None:
        number = len(self.chains)
        for at, column in enumerate(self.query(Column)):
            is_here = self.first + at == self.here
            column.set_class(is_here, "-here")
            if is_here:
                column.reader.focus()
        first = next(iter(self.query(Column)), None)
        if first is not None and first.chain is not None:
            text = first.chain.text
            gold = one_line(text.gold, 40) if text.gold is not None else "none known"
            question = question_of(text)
            statement = rendered_text(question) if self.has_class("-statement") else rendered_line(question)
            self.query_one("#statement-text", Static).update(
                Text.assemble((f"gold {gold}", "bold"), "\n" if "\n" in statement.plain else "  ", statement)
            )
        self.set_heading(f"{problem_name(self.row)} · chain {self.here + 1} of {number}")

    @task(exclusive=True, group="columns")
    async def action_column(self, step: int) -> None:
        """Go to the next or previous chain; after the last, the first."""
        if self.chains:
            self.here = (self.here + step) % len(self.chains)
            await self.fill()

    def action_statement(self) -> None:
        """Show the whole statement, or only a line of it."""
        self.toggle_class("-statement")
        self._mark()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Make the clicked column the current one."""
        for at, column in enumerate(self.query(Column)):
            if column.has_focus_within and self.first + at != self.here:
                self.here = self.first + at
                self._mark()

    def on_resize(self, event: events.Resize) -> None:
        if self.chains:
            self._rearrange()

    @task(exclusive=True, group="columns")
    async def _rearrange(self) -> None:
        await self.fill()

    # Annotations.

    def target(self) -> str | None:
        """Return the id of the trace in the focused column."""
        return self.chains[self.here].id if self.chains else None

    def action_annotate(self, action: str, value: str = "") -> None:
        """Annotate the trace in the focused column."""
        self.annotator.perform(action, value)

    def action_judge_step(self, what: str) -> None:
        """Mark the current move of the focused chain as the first wrong step, or say that none is wrong."""
        for column in self.query(Column):
            if column.chain is not None and column.chain.row.id == self.target():
                self.annotator.judge_step(what, column.reader, column.chain.row.id, column.chain.records)

    @on(ChainReader.SpanSelected)
    def _span_selected(self, event: ChainReader.SpanSelected) -> None:
        for column in self.query(Column):
            if column.reader is event.reader and column.chain is not None:
                self.annotator.label(event, column.chain.row.id)

    @on(ChainReader.Marked)
    def _marked(self, event: ChainReader.Marked) -> None:
        for column in self.query(Column):
            if column.reader is event.reader and column.chain is not None:
                self.annotator.mark(event, column.chain.row.id, column.chain.records)

    @on(Annotator.LabelsChanged)
    @task()
    async def _labels_changed(self) -> None:
        for column in self.query(Column):
            if column.chain is not None:
                column.show(await self.read(read_chain, column.chain.row.id), self._place(column.chain.row.id))

    @on(Annotator.Saved)
    @task()
    async def _saved(self, event: Annotator.Saved) -> None:
        done = event.written
        for column in self.query(Column):
            if column.chain is not None and column.chain.row.id in (done.act.trace_id, done.row.id, *done.touched):
                identity = column.chain.row.id
                column.show(await self.read(read_chain, identity), self._place(identity))
