"""Train: the lab's training runs, and the curves, answers and log of the selected one."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from o1lab.errors import LabError, UsageError
from o1lab.jobs.directory import ACTIVE
from o1lab.paths import assets_dir
from o1lab.serve.registry import SOLVER
from o1lab.text import visible
from o1lab.train import launch
from o1lab.widgets.dialogs import PreviewDialog
from o1lab.widgets.loss_plot import LossPlot
from screens.base.context import LabContext
from screens.base.messages import OpenCompare, OpenTraces
from screens.base.screen import LabScreen
from screens.jobs.kind import PaneKind
from screens.jobs.lists import JobCells
from screens.jobs.pane import JobsPane
from screens.jobs.text import counts
from screens.jobs.view_panes import Pane, ViewPanes
from screens.train import text as train_text
from screens.train.panes import RunView
from screens.train.poller import Detail, Points, Poller, RunLine, TrainSnapshot

PANES = {
    "runs": Pane("run", "#runs", "Runs"),
    "curve": Pane("run", "#curve", "Curve"),
    "probes": Pane("run", "#probes", "Answers"),
    "log": Pane("run", "#log", "Log"),
}
Jobs = JobsPane[RunLine, Detail]


class TrainScreen(LabScreen):
    """Runs at the left, the selected one at the right; on a narrow terminal one pane at a time."""

    TITLE = "TRAIN"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "train.tcss"]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 - declared by Textual
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "new_run", "New run", tooltip="Set up a training run"),
        Binding("space", "mark", "Overlay", tooltip="Draw the curve of this run over the others, or remove it"),
        Binding("c", "metric(1)", "Metric", tooltip="Draw another metric"),
        Binding("C", "metric(-1)", "Metric back", show=False, tooltip="Draw the previous metric"),
        Binding("o", "compare", "Compare", tooltip="Chat with teacher, last checkpoint and base side by side"),
        Binding("t", "traces", "Traces", tooltip="Show the traces this run trains on"),
        Binding("Y", "copy_command", "Copy command", show=False, tooltip="Copy the command that reproduces this run"),
        Binding("v", "answers", "Answers", show=False, tooltip="Show the full answers to the probes"),
        Binding("tab", "pane(1)", "Next pane", show=False),
        Binding("shift+tab", "pane(-1)", "Previous pane", show=False),
        Binding("escape", "list", "Back to the list", show=False),
    ]

    def __init__(self, context: LabContext) -> None:
        super().__init__(context)
        self.poller = Poller(context.lab, context.store)
        self.metric = "loss"
        self.panes = ViewPanes(self, PANES, "#panes")
        self.draft: dict[str, str] = {}
        """The text of the form that has not been launched yet."""
        self._counts = ""
        view = RunView(id="run")
        kind = PaneKind(
            jobs=launch.RUNS,
            next_action="Press a to set one up. It needs a dataset: accept traces (f2) and press d.",
            poll=self._poll,
            stop_note=lambda line: "It saves a checkpoint after the current step.",
            stopping="Saving a checkpoint, then stopping.",
            resuming="Resuming from the last checkpoint.",
            why=lambda line: line.status.message or "see its log.",
            settings=lambda one: one.recipe.model_dump(exclude={"dataset_hash"}) if one.recipe else None,
            facts=train_text.facts,
        )
        self.jobs = Jobs(context, kind, JobCells(train_text.list_cell, id="runs"), view, id="train")

    def compose_body(self) -> ComposeResult:
        yield self.jobs

    def on_mount(self) -> None:
        self.panes.show("runs")

    def on_screen_resume(self) -> None:
        self.jobs.start_polling()

    def on_screen_suspend(self) -> None:
        self.jobs.stop_polling()

    def _poll(self, selected: str | None) -> TrainSnapshot:
        return self.poller.poll(selected, tuple(self.jobs.marked), self.metric)

    @on(JobsPane.Polled)
    def _polled(self, event: JobsPane.Polled) -> None:
        snapshot = event.snapshot
        words = counts("run", snapshot)
        if words != self._counts:
            self._counts = words
            self.set_heading(words)
        if isinstance(snapshot, TrainSnapshot) and snapshot.metric == self.metric:
            for points in snapshot.points:
                self._draw(points)

    def _draw(self, points: Points) -> None:
        """Draw new points if the run is still selected or marked."""
        plot, name = self.query_one(LossPlot), points.run_id
        if name not in (self.jobs.selected, *self.jobs.marked):
            return
        if points.replaces:
            plot.set_series(name, points.steps, points.values)
        elif name in plot.names:
            plot.extend(name, points.steps, points.values)
        else:
            self.poller.forget(name)
            self.jobs.loop.wake()

    # Selection.

    def open_run(self, run_id: str) -> None:
        """Show this run (the app calls it)."""
        self.jobs.open_job(run_id)
        self.panes.show("curve")

    def open_form(self, dataset: str | None = None) -> None:
        """Open the form of a run, with ``dataset`` if given (the app calls it)."""
        if dataset:
            self.draft.clear()
        self._open_form({"dataset": dataset} if dataset else {})

    def _open_form(self, values: dict[str, Any]) -> None:
        from screens.train.form import TrainForm

        self.app.push_screen(TrainForm(self.context, values, launched=self.open_run, draft=self.draft))

    @on(JobsPane.Selected)
    def _selected(self) -> None:
        plot = self.query_one(LossPlot)
        for name in plot.names:
            if name not in (self.jobs.selected, *self.jobs.marked):
                plot.remove_series(name)

    @on(JobsPane.Opened)
    def _opened(self) -> None:
        self.panes.show("curve")

    def action_mark(self) -> None:
        """Draw this run's curve over the others, or remove it."""
        self.jobs.toggle_mark()

    def action_metric(self, by: int) -> None:
        """Draw another metric."""
        names = list(train_text.METRICS)
        self.metric = names[(names.index(self.metric) + by) % len(names)]
        plot = self.query_one(LossPlot)
        plot.clear()
        plot.set_y_label(train_text.METRICS[self.metric])
        self.jobs.loop.wake()

    # Panes: all of them on a wide terminal, one at a time on a narrow one.

    @property
    def pane(self) -> str:
        """The name of the pane that is shown."""
        return self.panes.current

    def action_pane(self, by: int) -> None:
        """Show the next pane."""
        self.panes.show(self.panes.step(by))

    def action_list(self) -> None:
        """Show the list."""
        self.panes.show("runs")

    # Actions on a run.

    def action_new_run(self) -> None:
        self.open_form()

    @on(JobsPane.NewLikeThis)
    def _new_like_this(self, event: JobsPane.NewLikeThis) -> None:
        self.draft.clear()
        self._open_form(event.values)

    def action_compare(self) -> None:
        """Chat with the teacher, this run's last checkpoint and its base side by side."""
        if not (detail := self.jobs.need_detail()):
            return
        if not detail.checkpoints:
            active = detail.line.state in ACTIVE
            hint = "Press s to save one and stop." if active else "Choose a run that saved one."
            self.report(UsageError(f"The run {detail.line.id} has no checkpoint{' yet' if active else ''}.", hint))
            return
        recipe = detail.recipe
        try:
            endpoints = self.context.config.endpoints
        except LabError as error:
            self.report(error)
            return
        teacher = next((endpoint.name for endpoint in endpoints if endpoint.role == "teacher"), SOLVER)
        models = [teacher, f"{detail.line.id}/{detail.checkpoints[-1]}", *([recipe.base] if recipe else [])]
        prompt = recipe.probes[0].prompt if recipe and recipe.probes else ""
        self.post_message(OpenCompare(tuple(models), prompt))

    def action_traces(self) -> None:
        """Show the traces this run trains on."""
        if detail := self.jobs.need_detail():
            name = detail.recipe.dataset if detail.recipe else detail.line.dataset
            self.post_message(OpenTraces(f'dataset:"{name}"'))

    @work(group="command")
    async def action_copy_command(self) -> None:
        """Copy the command that reproduces the run, and show it."""
        if detail := self.jobs.need_detail():
            try:
                command = (await self.in_thread(detail.line.run.command.read_text, "utf-8")).strip()
            except OSError as error:
                self.report(UsageError(f"The run {detail.line.id} has no command.txt: {error.strerror}."))
                return
            self.app.copy_to_clipboard(visible(command))
            self.app.notify(visible(command), title="Copied", markup=False)

    @work(group="command")
    async def action_answers(self) -> None:
        """Show the full answers to the probes."""
        if detail := self.jobs.need_detail():
            await self.app.push_screen_wait(
                PreviewDialog(f"answers of run {detail.line.id}", train_text.full_answers(detail))
            )
