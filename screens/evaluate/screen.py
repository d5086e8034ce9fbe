"""Evaluate: the evaluations, their samples, the paper's tables for the lab's own models, and the plots."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from o1lab.paths import assets_dir
from o1lab.widgets.keys import Binding
from screens.evaluate.runs import EvaluationsPane
from screens.evaluate.samples import SamplesPane
from screens.evaluate.sheets import PlotsPane, SheetsPane, TablesPane
from screens.jobs.pane import JobsPane
from screens.jobs.screen import JobsScreen, Pane


class EvaluateScreen(JobsScreen):
    """Four views: the evaluations, the samples of one, the tables, and the plots."""

    TITLE = "EVALUATE"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "evaluate.tcss"]
    PANES: ClassVar = {
        "list": Pane("evaluations", "#evaluation-list", "Evaluations", "1"),
        "evaluation": Pane("evaluations", "#evaluation-facts", "Detail", "1"),
        "samples": Pane("samples", "#samples", "Samples", "2"),
        "tables": Pane("tables", "#tables-text", "Tables", "3"),
        "plots": Pane("plots", "#plots-text", "Plots", "4"),
    }
    LIST = "list"
    RESTORED = ("list", "tables", "plots")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "show_pane('list')", "Evaluations", show=False, tooltip="The evaluations"),
        Binding("2", "show_pane('samples')", "Samples", show=False, tooltip="The samples of the evaluation"),
        Binding("3", "show_pane('tables')", "Tables", show=False, tooltip="The paper's tables with your models below"),
        Binding("4", "show_pane('plots')", "Plots", show=False, tooltip="Accuracy against tokens"),
        Binding("ctrl+n,insert", "new_run", "New run",
                tooltip="Set up an evaluation: a suite, a model, samples per item"),
    ]  # fmt: skip

    def compose_body(self) -> ComposeResult:
        yield Static(id="strip", markup=False)
        yield EvaluationsPane(self.context, id="evaluations")
        yield SamplesPane(self.context, id="samples")
        yield TablesPane(self.context, id="tables")
        yield PlotsPane(self.context, id="plots")

    def on_screen_resume(self) -> None:
        self._read_sheet()

    @property
    def tables(self) -> TablesPane:
        return self.query_one(TablesPane)

    # Panes.

    def action_show_pane(self, name: str) -> None:
        """Show a pane; the samples pane shows the evaluation under the cursor."""
        line = self.jobs.line
        if name == "samples" and line is not None and line.record is not None:
            self._list_samples(line.id, line.record.scorer)
        self.show_pane(name)

    def action_back(self) -> None:
        """Show the list of evaluations."""
        self.show_pane(self.LIST)

    def show_pane(self, name: str, focus: Widget | None = None) -> None:
        super().show_pane(name, focus)
        self._read_sheet()

    def _read_sheet(self) -> None:
        """Read the table or plot that is shown again."""
        sheets: SheetsPane[Any]
        for sheets in (self.tables, self.query_one(PlotsPane)):
            if sheets.id == self.view:
                sheets.show_ids(self.jobs.marked)

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
        self.jobs.clear_marks()
        self._read_sheet()

    # Requests of other screens.

    def open_evaluation(self, identity: str) -> None:
        """Show this evaluation (the app calls it)."""
        self.show_pane("list")
        self.jobs.open_job(identity)

    def form(self, values: dict[str, Any]) -> Screen[Any]:
        from screens.evaluate.form import EvaluateForm

        return EvaluateForm(self.context, values, launched=self.open_evaluation, draft=self.draft)
