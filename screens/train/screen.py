"""Train: the lab's runs, and the live view of one with others laid over it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import OptionList, Static

from o1lab.errors import LabError, UsageError
from o1lab.jobs import manage
from o1lab.paths import Lab, assets_dir
from o1lab.serve.registry import SOLVER
from o1lab.text import visible
from o1lab.train import launch
from o1lab.widgets.cell_list import CellList
from o1lab.widgets.dialogs import ConfirmDialog, PreviewDialog
from o1lab.widgets.empty_state import EmptyState
from o1lab.widgets.loss_plot import LossPlot
from o1lab.widgets.tall_text import TallText
from o1lab.widgets.text_pane import TextPane
from screens.base.context import LabContext
from screens.base.messages import OpenCompare, OpenTraces
from screens.base.screen import LabScreen
from screens.jobs.poll_loop import PollLoop
from screens.train import text as train_text
from screens.train.panes import LogPane
from screens.train.poller import Detail, Points, Poller, Snapshot

# How often the log of a working run grows on the screen: its height is laid out anew, which costs more than the curve.
LOG_S = 3.0
PANES = {"runs": "Runs", "curve": "Curve", "probes": "Answers", "log": "Log"}


class TrainScreen(LabScreen):
    """Runs at the left, the selected one at the right; on a narrow terminal one pane at a time."""

    TITLE = "TRAIN"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "train.tcss"]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 - declared by Textual
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "new_run", "New run"),
        Binding("A", "new_like_this", "New like this", show=False),
        Binding("space", "mark", "Lay over"),
        Binding("m", "metric(1)", "Metric"),
        Binding("M", "metric(-1)", "Metric back", show=False),
        Binding("x", "stop", "Stop"),
        Binding("r", "resume", "Resume"),
        Binding("o", "compare", "Compare"),
        Binding("t", "traces", "Traces", tooltip="Show the traces this run learns from"),
        Binding("y", "copy_command", "Copy command", show=False),
        Binding("i", "facts", "Facts", show=False, tooltip="The recipe, the environment and the files of this run"),
        Binding("v", "answers", "Answers", show=False, tooltip="The answers to the probes in full"),
        Binding("n", "step_run(1)", "Next run", show=False),
        Binding("p", "step_run(-1)", "Previous run", show=False),
        Binding("tab", "pane(1)", "Next pane", show=False),
        Binding("shift+tab", "pane(-1)", "Previous pane", show=False),
        Binding("escape", "list", "Back to the list", show=False),
    ]

    def __init__(self, context: LabContext) -> None:
        super().__init__(context)
        self.watch_runs = Poller(context.lab, context.store)
        self.selected: str | None = None
        self.marked: list[str] = []
        self.metric = "loss"
        self.detail: Detail | None = None
        self.pane = "runs"
        self.draft: dict[str, str] = {}
        """What was typed into the form and not launched yet."""
        self.follower = PollLoop()
        self._counts = ""
        self._log_due: tuple[str, str, int] | None = None

    def compose_body(self) -> ComposeResult:
        yield EmptyState(
            "No runs yet.", "Press a to set one up. It needs a dataset: accept traces (f2) and press d.", id="no-runs"
        )
        with Horizontal(id="train"):
            yield CellList(id="runs")
            with Vertical(id="run"):
                yield Static(id="run-head", markup=False)
                yield TallText(id="run-notice", markup=False)
                yield Static(id="panes", markup=False)
                yield LossPlot(id="curve")
                yield Static(id="figures", markup=False)
                with Horizontal(id="below"):
                    yield TextPane("answers to the probes", id="probes")
                    yield LogPane("log", id="log")

    def on_mount(self) -> None:
        self._show_pane("runs")

    # Following: only while this screen is shown.

    def on_screen_resume(self) -> None:
        self.follow()

    def on_screen_suspend(self) -> None:
        self.workers.cancel_group(self, "follow")

    @work(exclusive=True, group="follow")
    async def follow(self) -> None:
        """Look at the runs again and again, sooner when something was chosen."""
        await self.follower.follow(self._look, self._show, self.report)

    async def _look(self) -> Snapshot:
        return await self.in_thread(self.watch_runs.look, self.selected, tuple(self.marked), self.metric)

    def _show(self, look: Snapshot) -> None:
        self.set_class(not look.lines, "-empty")
        if look.metric != self.metric:
            return  # chosen meanwhile; the next look has it
        self.detail = look.detail
        chosen = look.detail.line.id if look.detail else None
        if self.selected is None:
            self.selected = chosen
        cells = {line.id: train_text.list_cell(line, marked=line.id in self.marked) for line in look.lines}
        self.query_one(CellList).show(cells, self.selected)
        self._say_counts(look)
        for points in look.points:
            self._draw(points)
        if look.detail and chosen == self.selected:
            self._show_detail(look.detail)

    def _say_counts(self, look: Snapshot) -> None:
        number = len(look.lines)
        words = f"{number:,} run{'s' if number != 1 else ''}, {look.active} at work" if number else ""
        if words != self._counts:
            self._counts = words
            self.set_heading(words)

    def _draw(self, points: Points) -> None:
        """Put new points on the plot, unless another run or metric was chosen while they were read."""
        plot, name = self.query_one(LossPlot), points.run_id
        if name not in (self.selected, *self.marked):
            return
        if points.replaces:
            plot.set_series(name, points.steps, points.values)
        elif name in plot.names:
            plot.extend(name, points.steps, points.values)
        else:
            self.watch_runs.forget(name)
            self.follower.wake()

    def _show_detail(self, detail: Detail) -> None:
        self._update("#run-head", train_text.header(detail))
        notice = train_text.notice(detail)
        self._update("#run-notice", notice, layout=True)
        self.query_one("#run-notice").display = bool(notice)
        self._update("#figures", train_text.figures(detail.last))
        self.query_one("#probes", TextPane).show(train_text.answers(detail))
        due = (detail.line.id, detail.line.state.state, int(time.monotonic() / LOG_S))
        if due != self._log_due or not detail.line.state.active:
            self._log_due = due
            self.query_one(LogPane).show(detail.log)

    def _update(self, selector: str, text: Text, *, layout: bool = False) -> None:
        static = self.query_one(selector, Static)
        if static.content != text:
            static.update(text, layout=layout)

    # Choosing.

    def open_run(self, run_id: str) -> None:
        """Show this run (the app calls it)."""
        self._select(run_id)
        self.query_one(CellList).point_at(run_id)
        self._show_pane("curve")

    def open_form(self, dataset: str | None = None) -> None:
        """Set up a run, on ``dataset`` when given (the app calls it)."""
        if dataset:
            self.draft.clear()
        self._open_form({"dataset": dataset} if dataset else {})

    def _open_form(self, values: dict[str, Any]) -> None:
        from screens.train.form import TrainForm

        self.app.push_screen(TrainForm(self.context, values, launched=self.open_run, draft=self.draft))

    def _select(self, run_id: str) -> None:
        if run_id == self.selected:
            return
        plot = self.query_one(LossPlot)
        if self.selected and self.selected not in self.marked:
            plot.remove_series(self.selected)
        self.selected = run_id
        self.follower.wake()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        if event.option_id:
            self._select(event.option_id)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self._show_pane("curve")

    def action_step_run(self, by: int) -> None:
        """The next or previous run of the list."""
        runs = self.query_one(CellList)
        if runs.option_count:
            runs.highlighted = min(max((runs.highlighted or 0) + by, 0), runs.option_count - 1)

    def action_mark(self) -> None:
        """Lay this run's curve over the others, or take it away."""
        if self.selected is None:
            return
        if self.selected in self.marked:
            self.marked.remove(self.selected)
        else:
            self.marked.append(self.selected)
        self.follower.wake()

    def action_metric(self, by: int) -> None:
        """Show another metric."""
        names = list(train_text.METRICS)
        self.metric = names[(names.index(self.metric) + by) % len(names)]
        plot = self.query_one(LossPlot)
        plot.clear()
        plot.set_y_label(train_text.METRICS[self.metric])
        self.follower.wake()

    # Panes: all in sight on a wide terminal, one at a time on a narrow one.

    def action_pane(self, by: int) -> None:
        names = list(PANES)
        self._show_pane(names[(names.index(self.pane) + by) % len(names)])

    def action_list(self) -> None:
        self._show_pane("runs")

    def _show_pane(self, name: str) -> None:
        self.pane = name
        for other in PANES:
            self.set_class(other == name, f"-pane-{other}")
        strip = Text(" ").join(
            Text(f"[{title}]" if key == name else f" {title} ", "bold reverse" if key == name else "dim")
            for key, title in PANES.items()
        )
        self.query_one("#panes", Static).update(strip)
        target = self.query_one(f"#{name}")
        for widget in (target, *target.walk_children(Widget)):
            if widget.can_focus:
                widget.focus()
                break

    # What can be done with a run.

    def action_new_run(self) -> None:
        self.open_form()

    def action_new_like_this(self) -> None:
        """The form with the settings of this run."""
        if self.detail and self.detail.recipe:
            self.draft.clear()
            self._open_form(self.detail.recipe.model_dump(exclude={"dataset_hash"}))

    @work(group="command")
    async def action_stop(self) -> None:
        """Ask the run to save a checkpoint and stop."""
        if not (detail := self._need_run()):
            return
        line = detail.line
        if not line.state.active:
            self.app.notify(f"The run {line.id} is {line.state.state}: there is nothing to stop.", markup=False)
            return
        if await self.app.push_screen_wait(
            ConfirmDialog(
                f"Stop the run {line.id}?",
                "It saves a checkpoint after the step it is in; r goes on from there.",
                yes="Stop it",
                no="Let it run",
                danger=True,
            )
        ):
            await self._command(stop, "It saves a checkpoint and stops.", line.id)

    @work(group="command")
    async def action_resume(self) -> None:
        """Go on from the last checkpoint."""
        if detail := self._need_run():
            await self._command(launch.resume, "It goes on from its last checkpoint.", detail.line.id)

    async def _command(self, what: Callable[..., Any], done: str, run_id: str) -> None:
        try:
            await self.in_thread(what, self.context.lab, run_id)
        except Exception as error:
            self.report(error)
        else:
            self.app.notify(done, markup=False)
            self.follower.wake()

    def action_compare(self) -> None:
        """Talk to the teacher, this run's last checkpoint and its base side by side."""
        if not (detail := self._need_run()):
            return
        if not detail.checkpoints:
            self.report(UsageError(f"The run {detail.line.id} has no checkpoint yet.", "Stop it (x) to save one now."))
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
        """The traces this run learns from."""
        if detail := self._need_run():
            name = detail.recipe.dataset if detail.recipe else detail.line.dataset
            self.post_message(OpenTraces(f'dataset:"{name}"'))

    @work(group="command")
    async def action_copy_command(self) -> None:
        """Copy the command that reproduces the run, and show it."""
        if detail := self._need_run():
            try:
                command = (await self.in_thread(detail.line.run.command.read_text, "utf-8")).strip()
            except OSError as error:
                self.report(UsageError(f"The run {detail.line.id} has no command.txt: {error.strerror}."))
                return
            self.app.copy_to_clipboard(visible(command))
            self.app.notify(visible(command), title="Copied", markup=False)

    @work(group="command")
    async def action_facts(self) -> None:
        """The recipe, the environment and the files of this run."""
        if detail := self._need_run():
            text = await self.in_thread(train_text.facts, detail)
            await self.app.push_screen_wait(PreviewDialog(f"run {detail.line.id}", text))

    @work(group="command")
    async def action_answers(self) -> None:
        """The answers to the probes in full."""
        if detail := self._need_run():
            await self.app.push_screen_wait(
                PreviewDialog(f"answers of run {detail.line.id}", train_text.full_answers(detail))
            )

    def _need_run(self) -> Detail | None:
        if self.detail is None:
            self.app.notify("There is no run yet: press a to set one up.", markup=False)
        return self.detail


def stop(lab: Lab, run_id: str) -> None:
    """Ask a run to stop (for a thread)."""
    manage.stop(launch.RUNS.find(lab, run_id))
