"""Distill: the pool of problems, and the teacher runs that generate long thoughts for them."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from o1lab.paths import assets_dir
from o1lab.widgets.keys import Binding
from screens.distill.pool import PoolPane
from screens.distill.runs import RunsPane
from screens.jobs.pane import JobsPane
from screens.jobs.screen import JobsScreen, Pane
from store.filters import ProblemQuery


class DistillScreen(JobsScreen):
    """Two views, the pool and the runs, each with a list and what is selected in it."""

    TITLE = "DISTILL"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "distill.tcss"]
    PANES: ClassVar = {
        "problems": Pane("pool", "#problems", "Pool", "1"),
        "problem": Pane("pool", "#problem-text", "Problem", "1"),
        "runs": Pane("runs", "#teacher-runs", "Runs", "2"),
        "run": Pane("runs", "#teacher-run-facts", "Run", "2"),
    }
    RESTORED = ("problems", "runs")
    AUTO_FOCUS = ""  # each pane declares its focus
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "show_pane('problems')", "Pool", show=False, tooltip="The problems"),
        Binding("2", "show_pane('runs')", "Runs", show=False, tooltip="The teacher runs"),
        Binding("ctrl+n,insert", "new_run", "New run",
                tooltip="Set up a teacher run; from the pool, for its filter"),
        Binding("L", "prompts", "Prompts", tooltip="Show the prompts, and edit a new version of one in $EDITOR"),
    ]  # fmt: skip

    def compose_body(self) -> ComposeResult:
        yield Static(id="strip", markup=False)
        yield PoolPane(self.context, self.to_list, id="pool")
        yield RunsPane(self.context, id="runs")

    def on_screen_resume(self) -> None:
        self.pool.look_for_changes()

    @property
    def pool(self) -> PoolPane:
        return self.query_one(PoolPane)

    def to_list(self, widget: Widget) -> None:
        """Show the list of the pool, and give the focus to ``widget`` next to it."""
        self.show_pane("problems", focus=widget)

    @on(PoolPane.Opened)
    def _problem_opened(self) -> None:
        self.show_pane("problem")

    @on(JobsPane.Opened)
    def _run_opened(self) -> None:
        self.show_pane("run")

    # Requests of other screens.

    def open_pool(self, text: str = "") -> None:
        """Show the pool under a filter (the app calls it)."""
        self.pool.open(text)
        self.show_pane("problems")

    def open_run(self, run_id: str) -> None:
        """Show this run (the app calls it)."""
        self.jobs.open_job(run_id)
        self.show_pane("run")

    def form(self, values: dict[str, Any]) -> Screen[Any]:
        from screens.distill.form import DistillForm

        return DistillForm(self.context, values, launched=self.open_run, draft=self.draft)

    def action_new_run(self) -> None:
        """Open the form; in the pool, with its filter as the problems."""
        text = self.pool.filter_text if self.view == "pool" else ""
        self.open_form({"problems": worth_asking(text)} if text else None)

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
