"""The chains of one problem side by side, each with its own scroll position."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from o1lab.format import short_count
from o1lab.paths import assets_dir
from o1lab.text import one_line, visible
from o1lab.widgets.chain_reader import ChainReader
from o1lab.widgets.tall_text import TallText
from screens.base.context import LabContext
from screens.base.screen import LabScreen, reported
from screens.traces.annotate import ANNOTATION_BINDINGS, Annotator, Writer
from screens.traces.reading import Chain, question_of, read_chain, spans_of
from screens.traces.text import decision_mark, moves, problem_name, remarks, state, verdict_mark
from store import traces
from store.records import TraceRow

NARROWEST = 38  # minimum width of a column in cells


class Column(Vertical):
    """One chain: two lines of information, and its reader."""

    def __init__(self) -> None:
        super().__init__(classes="column")
        self.chain: Chain | None = None

    def compose(self) -> ComposeResult:
        yield Static(classes="column-title", markup=False)
        yield ChainReader()

    @property
    def reader(self) -> ChainReader:
        return self.query_one(ChainReader)

    def show(self, chain: Chain) -> None:
        """Show a chain; the same chain keeps its scroll position."""
        before, self.chain = self.chain, chain
        row = chain.row
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append_text(verdict_mark(row.verdict)).append(" ").append_text(decision_mark(row.decision))
        line.append(f" {one_line(row.model, 30)}", "bold").append(f"  {one_line(row.answer or 'no answer', 24)}")
        line.append(f"  {short_count(row.chars)} {state(row)} ", "dim").append_text(moves(row.moves))
        line.append("\n").append_text(remarks(chain.records))
        self.query_one(".column-title", Static).update(line)
        if before is not None and before.row.id == row.id:
            self.reader.set_spans(spans_of(chain.records))
        else:
            self.reader.load(chain.document)


class SideBySideScreen(LabScreen):
    """The traces of one problem in columns; as many as fit are visible, tab moves on to the others."""

    TITLE = "SIDE BY SIDE"
    CSS_PATH = assets_dir() / "styles" / "traces.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        *ANNOTATION_BINDINGS,
        Binding("tab", "column(1)", "Next chain"),
        Binding("shift+tab", "column(-1)", "Previous chain", show=False),
        Binding("i", "statement", "Problem", show=False, tooltip="Show or fold the statement of the problem"),
        Binding("c,escape", "back", "Back to the list"),
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

    @work(exclusive=True, group="columns")
    @reported
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
                column.show(await self.read(read_chain, row.id))
        self._mark()

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
            statement = question if self.has_class("-statement") else one_line(question, 400)
            self.query_one("#statement-text", Static).update(
                Text.assemble((f"gold {gold}", "bold"), "  ", visible(statement))
            )
        self.set_heading(f"{problem_name(self.row)} · chain {self.here + 1} of {number}")

    @work(exclusive=True, group="columns")
    @reported
    async def action_column(self, step: int) -> None:
        """Go to the next or previous chain; after the last, the first."""
        if self.chains:
            self.here = (self.here + step) % len(self.chains)
            await self.fill()

    def action_statement(self) -> None:
        """Show the whole statement, or only a line of it."""
        self.toggle_class("-statement")
        self._mark()

    def action_back(self) -> None:
        """Go back to the list."""
        self.dismiss()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Make the clicked column the current one."""
        for at, column in enumerate(self.query(Column)):
            if column.has_focus_within and self.first + at != self.here:
                self.here = self.first + at
                self._mark()

    def on_resize(self, event: events.Resize) -> None:
        if self.chains:
            self._rearrange()

    @work(exclusive=True, group="columns")
    @reported
    async def _rearrange(self) -> None:
        await self.fill()

    # Annotations.

    def target(self) -> str | None:
        """Return the id of the trace in the focused column."""
        return self.chains[self.here].id if self.chains else None

    def action_annotate(self, action: str, value: str = "") -> None:
        """Annotate the trace in the focused column."""
        self.annotator.perform(action, value)

    @on(ChainReader.SpanSelected)
    def _span_selected(self, event: ChainReader.SpanSelected) -> None:
        for column in self.query(Column):
            if column.reader is event.reader and column.chain is not None:
                self.annotator.label(event, column.chain.row.id)

    @on(Annotator.Saved)
    @work
    @reported
    async def _saved(self, event: Annotator.Saved) -> None:
        done = event.written
        for column in self.query(Column):
            if column.chain is not None and column.chain.row.id in (done.act.trace_id, done.row.id, *done.touched):
                column.show(await self.read(read_chain, column.chain.row.id))
