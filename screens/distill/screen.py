"""Distill: the pool of problems, and the teacher runs that generate long thoughts for them."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text
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
from store.problem_query import parse_problem_query

# Pane -> its view, the widget that takes the focus, its title. A wide view shows both panes, a narrow one one of them.
PANES = {
    "problems": ("pool", "#problems", "Pool"),
    "problem": ("pool", "#problem-text", "Problem"),
    "runs": ("runs", "#teacher-runs", "Runs"),
    "run": ("runs", "#teacher-run-facts", "Run"),
}


class DistillScreen(LabScreen):
    """Two views, the pool and the runs, each with a list and what is selected in it."""

    TITLE = "DISTILL"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "distill.tcss"]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 - declared by Textual
    AUTO_FOCUS = ""  # each pane says what has the focus in it
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
        self.pane = "problems"
        self.draft: dict[str, str] = {}
        """What was typed into the form and not launched yet."""
        self._counts = ""
        self._no_runs = False

    def compose_body(self) -> ComposeResult:
        yield Static(id="strip", markup=False)
        yield PoolPane(self.context, self.to_list, id="pool")
        yield RunsPane(self.context, id="runs")

    def on_mount(self) -> None:
        super().on_mount()
        self._show_pane(self.pane)

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self.set_heading(self._counts)  # it is at the right edge

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

    def action_pane(self, by: int) -> None:
        """The next pane; over the end to the first."""
        names = list(PANES)
        self._show_pane(names[(names.index(self.pane) + by) % len(names)])

    def action_show_pane(self, name: str) -> None:
        """A pane by its name."""
        self._show_pane(name)

    def action_back(self) -> None:
        """From what is selected to its list."""
        self._show_pane("problems" if PANES[self.pane][0] == "pool" else "runs")

    def to_list(self, widget: Widget) -> None:
        """Bring the pool's list into sight, the focus on ``widget`` beside it."""
        self._show_pane("problems", focus=widget)

    def _show_pane(self, name: str, focus: Widget | None = None) -> None:
        self.pane = name
        view, focused, _ = PANES[name]
        for other in PANES:
            self.set_class(other == name, f"-pane-{other}")
        for other in ("pool", "runs"):
            self.set_class(other == view, f"-view-{other}")
        self._draw_strip()
        if self.query_one("#pool" if view == "pool" else "#teacher-run-jobs").has_class("-empty"):
            self.set_focus(None)  # nothing of it is displayed: its keys would do nothing
        else:
            self._focus(focus or self.query_one(focused))

    def _focus(self, widget: Widget) -> None:
        """Before the next key is read, unless it only comes into sight with the next layout."""
        if widget.focusable:
            self.set_focus(widget)
        else:
            self.call_after_refresh(self.set_focus, widget)

    def _draw_strip(self) -> None:
        parts = [
            Text(f"[{title}]" if key == self.pane else f" {title} ", "bold reverse" if key == self.pane else "dim")
            for key, (_, _, title) in PANES.items()
        ]
        self.query_one("#strip", Static).update(
            Text.assemble(("1 ", "dim"), parts[0], " ", parts[1], "    ", ("2 ", "dim"), parts[2], " ", parts[3])
        )

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """The strip follows where the focus went by a click."""
        name = next((name for name, (_, focused, _) in PANES.items() if f"#{event.widget.id}" == focused), None)
        if name is not None and name != self.pane and PANES[name][0] == PANES[self.pane][0]:
            self._show_pane(name)

    @on(PoolPane.Opened)
    def _problem_opened(self) -> None:
        self._show_pane("problem")

    @on(JobsPane.Opened)
    def _run_opened(self) -> None:
        self._show_pane("run")

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
        """The list was shown or hidden: give the focus to what is there now, unless another view was opened since."""
        if PANES[self.pane][0] == "runs":
            self._show_pane(self.pane)

    # What another screen asks for.

    def open_pool(self, text: str = "") -> None:
        """Show the pool under a filter (the app calls it)."""
        self.pool.open(text)
        self._show_pane("problems")

    def open_run(self, run_id: str) -> None:
        """Show this run (the app calls it)."""
        self.runs.jobs.open_job(run_id)
        self._show_pane("run")

    def open_form(self, values: dict[str, Any] | None = None) -> None:
        """Set up a run, with these values when given (the app calls it)."""
        from screens.distill.form import DistillForm

        if values:
            self.draft.clear()
        self.app.push_screen(DistillForm(self.context, values or {}, launched=self.open_run, draft=self.draft))

    def action_new_run(self) -> None:
        """The form; from the pool with its filter as the problems."""
        text = self.pool.filter_text if PANES[self.pane][0] == "pool" else ""
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
    """A filter of the pool, limited to problems with an answer that no rule excludes, unless it says otherwise."""
    named = {(field, value) for field, value, _ in parse_problem_query(text).conditions}
    more = [] if any(field == "excluded" for field, _ in named) else ["excluded:no"]
    more += [] if ("has", "answer") in named else ["has:answer"]
    return " ".join([text.strip(), *more])
