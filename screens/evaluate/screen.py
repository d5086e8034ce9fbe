"""Evaluate: the evaluations, their samples, the paper's tables for the lab's own models, and the plots."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from o1lab.paths import assets_dir
from screens.base.context import LabContext
from screens.base.screen import LabScreen
from screens.evaluate.runs import EvaluationsPane
from screens.evaluate.samples import SamplesPane
from screens.evaluate.sheets import PlotsPane, SheetsPane, TablesPane
from screens.jobs.pane import JobsPane
from screens.jobs.text import counts
from screens.jobs.view_panes import Pane, ViewPanes

PANES = {
    "list": Pane("evaluations", "#evaluation-list", "Evaluations", "1"),
    "evaluation": Pane("evaluations", "#evaluation-facts", "Detail", "1"),
    "samples": Pane("samples", "#samples", "Samples", "2"),
    "tables": Pane("tables", "#tables-text", "Tables", "3"),
    "plots": Pane("plots", "#plots-text", "Plots", "4"),
}


class EvaluateScreen(LabScreen):
    """Four views: the evaluations, the samples of one, the tables, and the plots."""

    TITLE = "EVALUATE"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "evaluate.tcss"]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 - declared by Textual
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "show_pane('list')", "Evaluations", show=False, tooltip="The evaluations"),
        Binding("2", "show_pane('samples')", "Samples", show=False, tooltip="The samples of the evaluation"),
        Binding("3", "show_pane('tables')", "Tables", show=False, tooltip="The paper's tables with your models below"),
        Binding("4", "show_pane('plots')", "Plots", show=False, tooltip="Accuracy against tokens"),
        Binding("a", "new", "New", tooltip="Set up an evaluation: a suite, a model, samples per item"),
        Binding("tab", "pane(1)", "Next pane", show=False),
        Binding("shift+tab", "pane(-1)", "Previous pane", show=False),
        Binding("escape", "back", "Back to the list", show=False),
    ]

    def __init__(self, context: LabContext) -> None:
        super().__init__(context)
        self.panes = ViewPanes(self, PANES, "#strip")
        self.draft: dict[str, str] = {}
        """The text of the form that has not been launched yet."""
        self._counts = ""
        self._empty = False

    def compose_body(self) -> ComposeResult:
        yield Static(id="strip", markup=False)
        yield EvaluationsPane(self.context, id="evaluations")
        yield SamplesPane(self.context, id="samples")
        yield TablesPane(self.context, id="tables")
        yield PlotsPane(self.context, id="plots")

    def on_mount(self) -> None:
        self.show_pane(self.pane)

    def on_screen_resume(self) -> None:
        self.evaluations.jobs.start_polling()
        self._read_sheet()

    def on_screen_suspend(self) -> None:
        self.evaluations.jobs.stop_polling()

    @property
    def evaluations(self) -> EvaluationsPane:
        return self.query_one(EvaluationsPane)

    @property
    def tables(self) -> TablesPane:
        return self.query_one(TablesPane)

    # Panes.

    @property
    def pane(self) -> str:
        """The name of the pane that is shown."""
        return self.panes.current

    def action_pane(self, by: int) -> None:
        """Show the next pane."""
        self.show_pane(self.panes.step(by))

    def action_show_pane(self, name: str) -> None:
        """Show a pane; the samples pane shows the evaluation under the cursor."""
        line = self.evaluations.jobs.line
        if name == "samples" and line is not None and line.record is not None:
            self._list_samples(line.id, line.record.scorer)
        self.show_pane(name)

    def action_back(self) -> None:
        """Show the list of evaluations."""
        self.show_pane("list")

    def show_pane(self, name: str) -> None:
        """Show a pane and give it the focus."""
        self.panes.show(name)
        self._read_sheet()

    def _read_sheet(self) -> None:
        """Read the table or plot that is shown again."""
        sheets: SheetsPane[Any]
        for sheets in (self.tables, self.query_one(PlotsPane)):
            if sheets.id == self.panes.view:
                sheets.show_ids(self.evaluations.jobs.marked)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """A click gave the focus to another pane."""
        if (name := self.panes.pane_of(event.widget)) is not None:
            self.show_pane(name)

    @on(JobsPane.Polled)
    def _polled(self, event: JobsPane.Polled) -> None:
        words = counts("evaluation", event.snapshot)
        if words != self._counts:
            self._counts = words
            self.set_heading(words)
        if (not words) != self._empty:
            self._empty = not words
            self.call_after_refresh(self._list_appeared)

    def _list_appeared(self) -> None:
        """Move the focus after the list was shown or hidden, unless another view is open."""
        if self.panes.view == "evaluations":
            self.show_pane(self.pane)

    # From one view to another.

    @on(JobsPane.Opened)
    def _opened(self, event: JobsPane.Opened) -> None:
        if event.line.record is None:
            self.app.notify(f"The evaluation {event.line.id} has no samples yet.", markup=False)
        else:
            self._list_samples(event.line.id, event.line.record.scorer)
            self.show_pane("samples")

    def _list_samples(self, identity: str, scorer: str) -> None:
        """List the samples of an evaluation; if they are already listed, keep filter and position."""
        samples = self.query_one(SamplesPane)
        if samples.evaluation is None or (samples.evaluation.id, samples.scorer) != (identity, scorer):
            samples.show(identity, scorer)

    @on(EvaluationsPane.Compare)
    def _compare(self, event: EvaluationsPane.Compare) -> None:
        from screens.evaluate.pairs import PairsScreen

        self.app.push_screen(PairsScreen(self.context, event.first, event.second))

    @on(EvaluationsPane.Export)
    def _export(self, event: EvaluationsPane.Export) -> None:
        self.tables.export("plain", event.ids)

    @on(SheetsPane.AllWanted)
    def _all_wanted(self) -> None:
        self.evaluations.jobs.clear_marks()
        self._read_sheet()

    @on(JobsPane.NewLikeThis)
    def _new_like_this(self, event: JobsPane.NewLikeThis) -> None:
        self.open_form(event.values)

    def action_new(self) -> None:
        """Set up an evaluation."""
        self.open_form()

    # Requests of other screens.

    def open_evaluation(self, identity: str) -> None:
        """Show this evaluation (the app calls it)."""
        self.show_pane("list")
        self.evaluations.jobs.open_job(identity)

    def open_form(self, values: dict[str, Any] | None = None) -> None:
        """Open the form of an evaluation, with these values if given (the app calls it)."""
        from screens.evaluate.form import EvaluateForm

        if values:
            self.draft.clear()
        self.app.push_screen(EvaluateForm(self.context, values or {}, launched=self.open_evaluation, draft=self.draft))
