"""Evaluate: the evaluations, their samples, the paper's tables for the lab's own models, and the plots."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Static

from o1lab.paths import assets_dir
from screens.base.context import LabContext
from screens.base.screen import LabScreen
from screens.evaluate.plots import PlotsPane
from screens.evaluate.runs import EvaluationsPane
from screens.evaluate.samples import SamplesPane
from screens.evaluate.sheets import SheetsPane
from screens.evaluate.tables import TablesPane
from screens.jobs.pane import JobsPane
from screens.jobs.text import counts

# Pane -> its view, the widget that takes (or contains what takes) the focus, its title, and the key of its view.
PANES = {
    "list": ("evaluations", "#evaluation-list", "Evaluations", "1"),
    "evaluation": ("evaluations", "#evaluation-facts", "Detail", "1"),
    "samples": ("samples", "#samples", "Samples", "2"),
    "tables": ("tables", "#tables-text", "Tables", "3"),
    "plots": ("plots", "#plots-text", "Plots", "4"),
}
VIEWS = tuple(dict.fromkeys(view for view, *_ in PANES.values()))


class EvaluateScreen(LabScreen):
    """Four views: the evaluations, the samples of one, the tables, and the plots."""

    TITLE = "EVALUATE"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "evaluate.tcss"]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 - declared by Textual
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "show_pane('list')", "Evaluations", show=False, tooltip="The evaluations"),
        Binding("2", "show_pane('samples')", "Samples", show=False, tooltip="The samples of the evaluation"),
        Binding("3", "show_pane('tables')", "Tables", show=False, tooltip="The paper's tables, one's own rows below"),
        Binding("4", "show_pane('plots')", "Plots", show=False, tooltip="Accuracy against tokens"),
        Binding("a", "new", "New", tooltip="Set up an evaluation: a suite, a model, samples per item"),
        Binding("tab", "pane(1)", "Next pane", show=False),
        Binding("shift+tab", "pane(-1)", "Previous pane", show=False),
        Binding("escape", "back", "Back to the list", show=False),
    ]

    def __init__(self, context: LabContext) -> None:
        super().__init__(context)
        self.pane = "list"
        self.draft: dict[str, str] = {}
        """What was typed into the form and not launched yet."""
        self._counts = ""
        self._empty = False

    def compose_body(self) -> ComposeResult:
        yield Static(id="strip", markup=False)
        yield EvaluationsPane(self.context, id="evaluations")
        yield SamplesPane(self.context, id="samples")
        yield TablesPane(self.context, id="tables")
        yield PlotsPane(self.context, id="plots")

    def on_mount(self) -> None:
        super().on_mount()
        self.show_pane(self.pane)

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self.set_heading(self._counts)  # it is at the right edge

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

    def action_pane(self, by: int) -> None:
        """The next pane; over the end to the first."""
        names = list(PANES)
        self.show_pane(names[(names.index(self.pane) + by) % len(names)])

    def action_show_pane(self, name: str) -> None:
        """A pane by its name; the samples are those of the evaluation under the cursor."""
        line = self.evaluations.jobs.line
        if name == "samples" and line is not None and line.record is not None:
            self._list_samples(line.id, line.record.scorer)
        self.show_pane(name)

    def action_back(self) -> None:
        """To the list of evaluations."""
        self.show_pane("list")

    def show_pane(self, name: str) -> None:
        """Bring a pane into sight, the focus in it."""
        self.pane = name
        view, holder, *_ = PANES[name]
        for other in PANES:
            self.set_class(other == name, f"-pane-{other}")
        for other in VIEWS:
            self.set_class(other == view, f"-view-{other}")
        self._draw_strip()
        self._read_sheet()
        self._focus_in(self.query_one(holder))

    def _focus_in(self, holder: Widget) -> None:
        """The focus on a widget, or on the first in it that takes it; before the next key is read, unless it only
        comes into sight with the next layout."""
        if (target := _takes_focus(holder)) is not None:
            self.set_focus(target)
        else:
            self.set_focus(None)
            self.call_after_refresh(lambda: self.set_focus(_takes_focus(holder) or self.focused))

    def _read_sheet(self) -> None:
        """The table or plot that is in sight, of what there is now."""
        sheets: SheetsPane[Any]
        for sheets in (self.tables, self.query_one(PlotsPane)):
            if sheets.id == PANES[self.pane][0]:
                sheets.show_ids(self.evaluations.jobs.marked)

    def _draw_strip(self) -> None:
        text, view = Text(), ""
        for name, (its_view, _, title, key) in PANES.items():
            if its_view != view:
                text.append(f"{'   ' if view else ''}{key} ", "dim")
                view = its_view
            here = name == self.pane
            text.append(f"[{title}]" if here else f" {title} ", "bold reverse" if here else "dim")
        self.query_one("#strip", Static).update(text)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """The strip follows where the focus went by a click."""
        name = next((name for name, (_, holder, *_) in PANES.items() if f"#{event.widget.id}" == holder), None)
        if name is not None and name != self.pane and PANES[name][0] == PANES[self.pane][0]:
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
        """The list was shown or hidden: give the focus to what is there now, unless another view was opened since."""
        if PANES[self.pane][0] == "evaluations":
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
        """List the samples of an evaluation; if they are listed already, filter and position stay."""
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

    # What another screen asks for.

    def open_evaluation(self, identity: str) -> None:
        """Show this evaluation (the app calls it)."""
        self.show_pane("list")
        self.evaluations.jobs.open_job(identity)

    def open_form(self, values: dict[str, Any] | None = None) -> None:
        """Set up an evaluation, with these values when given (the app calls it)."""
        from screens.evaluate.form import EvaluateForm

        if values:
            self.draft.clear()
        self.app.push_screen(EvaluateForm(self.context, values or {}, launched=self.open_evaluation, draft=self.draft))


def _takes_focus(holder: Widget) -> Widget | None:
    """A widget, or the first in it that takes the focus; None while there is none in sight."""
    candidates = (holder, *holder.query(Widget))
    return next((widget for widget in candidates if widget.focusable and _in_sight(widget)), None)


def _in_sight(widget: Widget) -> bool:
    return all(node.display for node in widget.ancestors_with_self if isinstance(node, Widget))
