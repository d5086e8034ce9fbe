"""Distill: the pool of problems, and the teacher runs that generate long thoughts for them."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Static

from o1lab.paths import assets_dir
from screens.base.context import LabContext
from screens.base.screen import LabScreen
from screens.distill.pool import PoolPane
from screens.distill.runs import RunsPane
from screens.jobs.pane import JobsPane
from screens.jobs.text import counts
from screens.jobs.view_panes import Pane, ViewPanes
from store.filters import ProblemQuery

PANES = {
    "problems": Pane("pool", "#problems", "Pool", "1"),
    "problem": Pane("pool", "#problem-text", "Problem", "1"),
    "runs": Pane("runs", "#teacher-runs", "Runs", "2"),
    "run": Pane("runs", "#teacher-run-facts", "Run", "2"),
}


class DistillScreen(LabScreen):
    """Two views, the pool and the runs, each with a list and what is selected in it."""

    TITLE = "DISTILL"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "distill.tcss"]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 - declared by Textual
    AUTO_FOCUS = ""  # each pane declares its focus
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "show_pane('problems')", "Pool", show=False, tooltip="The problems"),
        Binding("2", "show_pane('runs')", "Runs", show=False, tooltip="The teacher runs"),
        Binding("a", "new_run", "New run", tooltip="Set up a teacher run; from the pool, for its filter"),
        Binding("e", "prompts", "Prompts", tooltip="Show the prompts, and edit a new version of one in $EDITOR"),
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
        self._no_runs = False

    def compose_body(self) -> ComposeResult:
        yield Static(id="strip", markup=False)
        yield PoolPane(self.context, self.to_list, id="pool")
        yield RunsPane(self.context, id="runs")

    def on_mount(self) -> None:
        self.panes.show(self.pane)

    def on_screen_resume(self) -> None:
        self.runs.jobs.start_polling()
        self.pool.look_for_changes()

    def on_screen_suspend(self) -> None:
        self.runs.jobs.stop_polling()

    @property
    def pool(self) -> PoolPane:
        return self.query_one(PoolPane)

    @property
    def runs(self) -> RunsPane:
        return self.query_one(RunsPane)

    # Panes.

    @property
    def pane(self) -> str:
        """The name of the pane that is shown."""
        return self.panes.current

    def action_pane(self, by: int) -> None:
        """Show the next pane."""
        self.panes.show(self.panes.step(by))

    def action_show_pane(self, name: str) -> None:
        """Show a pane."""
        self.panes.show(name)

    def action_back(self) -> None:
        """Show the list."""
        self.panes.show("problems" if self.panes.view == "pool" else "runs")

    def to_list(self, widget: Widget) -> None:
        """Show the list of the pool, and give the focus to ``widget`` next to it."""
        self.panes.show("problems", focus=widget)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """A click gave the focus to another pane."""
        if (name := self.panes.pane_of(event.widget)) is not None:
            self.panes.show(name)

    @on(PoolPane.Opened)
    def _problem_opened(self) -> None:
        self.panes.show("problem")

    @on(JobsPane.Opened)
    def _run_opened(self) -> None:
        self.panes.show("run")

    @on(JobsPane.Polled)
    def _polled(self, event: JobsPane.Polled) -> None:
        words = counts("teacher run", event.snapshot)
        if words != self._counts:
            self._counts = words
            self.set_heading(words)
        if (not words) != self._no_runs:
            self._no_runs = not words
            self.call_after_refresh(self._list_appeared)

    def _list_appeared(self) -> None:
        """Move the focus after the list was shown or hidden, unless another view is open."""
        if self.panes.view == "runs":
            self.panes.show(self.pane)

    # Requests of other screens.

    def open_pool(self, text: str = "") -> None:
        """Show the pool under a filter (the app calls it)."""
        self.pool.open(text)
        self.panes.show("problems")

    def open_run(self, run_id: str) -> None:
        """Show this run (the app calls it)."""
        self.runs.jobs.open_job(run_id)
        self.panes.show("run")

    def open_form(self, values: dict[str, Any] | None = None) -> None:
        """Open the form of a run, with these values if given (the app calls it)."""
        from screens.distill.form import DistillForm

        if values:
            self.draft.clear()
        self.app.push_screen(DistillForm(self.context, values or {}, launched=self.open_run, draft=self.draft))

    def action_new_run(self) -> None:
        """Open the form; in the pool, with its filter as the problems."""
        text = self.pool.filter_text if self.panes.view == "pool" else ""
        self.open_form({"problems": worth_asking(text)} if text else None)

    @on(JobsPane.NewLikeThis)
    def _new_like_this(self, event: JobsPane.NewLikeThis) -> None:
        self.open_form(event.values)

    @work(group="prompts")
    async def action_prompts(self) -> None:
        """Show the prompts."""
        from screens.distill.prompts import PromptsScreen

        await self.app.push_screen(PromptsScreen(self.context))


def worth_asking(text: str) -> str:
    """Limit a filter of the pool to kept problems with an answer, unless it has such conditions itself."""
    query = ProblemQuery.parse(text)
    more = [] if query.asks("excluded") else ["excluded:no"]
    if not any(one.field == "has" and "answer" in one.values for one in query.conditions):
        more.append("has:answer")
    return " ".join([text.strip(), *more])
