"""Train: the lab's training runs, and the curves, answers and log of the selected one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, cast

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen

from o1lab.errors import LabError, UsageError
from o1lab.jobs.directory import ACTIVE
from o1lab.jobs.hardware import processes_here
from o1lab.paths import Lab, assets_dir
from o1lab.serve.records import SOLVER
from o1lab.text import visible
from o1lab.train import launch
from o1lab.train.recipe_diff import diff
from o1lab.train.run_list import RunReader
from o1lab.train.runs.columns import COLUMNS, USUAL, chosen
from o1lab.train.runs.directory import RunDir
from o1lab.widgets.dialogs import PreviewDialog, PromptDialog
from o1lab.widgets.hardware_panel import HardwarePanel
from o1lab.widgets.keys import Binding
from o1lab.widgets.plot_style import CurveStyles
from o1lab.widgets.typed_ahead import post_held
from screens.base.context import LabContext
from screens.base.messages import OpenCompare, OpenTraces
from screens.base.screen import task
from screens.filtering.filter_bar import FilterBar
from screens.jobs.kind import PaneKind, Snapshot
from screens.jobs.pane import JobsPane
from screens.jobs.screen import JobsScreen, Pane
from screens.train import group
from screens.train import text as train_text
from screens.train.panes import RunView
from screens.train.poller import Detail, Poller, RunLine, TrainSnapshot, View
from screens.train.table import RunTable
from store.filters import RunQuery

Jobs = JobsPane[RunLine, Detail]
_WIDE = 110
_COLUMNS = "runs.columns"
_OF_CURVES = frozenset({"metric", "several", "x_axis", "diff"})
_OF_RUN = frozenset(
    {"mark", "compare", "traces", "copy_command", "answers", "group", "mark_group", "stop_group", "resume_group"}
)
"""The actions that need a run in the list; those above need one whose curve is drawn."""


class TrainScreen(JobsScreen):
    """Runs at the left, the selected one at the right; on a narrow terminal one pane at a time."""

    TITLE = "TRAIN"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "train.tcss"]
    PANES: ClassVar = {
        "runs": Pane("run", "#runs", "Runs"),
        "curve": Pane("run", "#curve", "Curve"),
        "probes": Pane("run", "#probes", "Answers"),
        "log": Pane("run", "#log", "Log"),
    }
    STRIP = "#panes"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+n,insert", "new_run", "New run", tooltip="Set up a training run"),
        Binding("space", "mark", "Overlay", tooltip="Draw the curve of this run over the others, or remove it"),
        Binding("slash", "filter", "Filter", tooltip="Filter and search the runs"),
        Binding("vertical_line", "columns", "Columns", show=False, key_display="|", tooltip="Choose the columns"),
        Binding("V", "diff", "Compare recipes", show=False, tooltip="Show where the recipes of marked runs differ"),
        Binding("right_square_bracket", "metric(1)", "Metric", key_display="]", tooltip="Draw another metric"),
        Binding("M", "several", "All metrics", show=False, tooltip="Draw all metrics at once, or only one"),
        Binding("right_curly_bracket", "x_axis", "X axis", show=False, key_display="}",
                tooltip="Draw over steps, tokens or time"),
        Binding("left_square_bracket", "metric(-1)", "Metric back", show=False, key_display="[",
                tooltip="Draw the previous metric"),
        Binding("C", "compare", "Compare", tooltip="Chat with teacher, last checkpoint and base side by side"),
        Binding("T", "traces", "Traces", tooltip="Show the traces this run trains on"),
        Binding("Y", "copy_command", "Copy command", show=False, tooltip="Copy the command that reproduces this run"),
        Binding("v", "answers", "Answers", show=False, tooltip="Show the full answers to the probes"),
        Binding("b", "group", "Group", show=False, tooltip="Compare the runs of this run's group"),
        Binding("asterisk", "mark_group", "Overlay group", show=False, key_display="*",
                tooltip="Draw the curves of all runs of the group"),
        Binding("Z", "stop_group", "Stop group", show=False, tooltip="Stop all runs of this run's group"),
        Binding("R", "resume_group", "Resume group", show=False,
                tooltip="Continue all runs of this run's group that have not finished"),
    ]  # fmt: skip

    def __init__(self, context: LabContext) -> None:
        super().__init__(context)
        self.poller = Poller(context.lab, context.store)
        self.runs = RunQuery()
        curve_styles = CurveStyles()
        self.table = RunTable(curve_styles, id="runs")
        view = RunView(curve_styles, id="run")
        self.curves = view.curves
        kind = PaneKind(
            jobs=launch.RUNS,
            next_action=train_text.next_action,
            poll=self._poll,
            stop_note=lambda line: "It saves a checkpoint after the current step.",
            stopping="Saving a checkpoint, then stopping.",
            resuming="Resuming from the last checkpoint.",
            why=lambda line: line.status.message or "see its log.",
            settings=lambda one: one.recipe.model_dump(exclude={"dataset_hash"}) if one.recipe else None,
            facts=train_text.facts,
            can_retry=lambda line: False,
            must_change=lambda line: None,
            archives=True,
        )
        hint = "/ filters: state:failed, lr>=1e-4, group:sweep, sort:best"
        self.filter_bar = FilterBar(RunQuery, "#runs", placeholder=hint, context=context, id="run-filter")
        self._jobs = Jobs(context, kind, self.table, view, id="train", bar=self.filter_bar)
        self._offered: tuple[bool, ...] = ()  # what check_action depends on

    def compose_body(self) -> ComposeResult:
        yield self._jobs
        yield HardwarePanel(id="hardware")

    def on_mount(self) -> None:
        self._use_filter(cast(RunQuery, self.filter_bar.remembered()))
        self._restore_columns()

    def on_resize(self, event: events.Resize) -> None:
        self.table.set_class(event.size.width >= _WIDE, "-fitted")
        if event.size.width < _WIDE:
            self.table.styles.height = None
        self.jobs.draw()

    @property
    def jobs(self) -> Jobs:
        return self._jobs

    def _poll(self, selected: str | None) -> TrainSnapshot:
        view = View(self.runs, self.curves.shown, self.curves.x)
        return self.poller.poll(selected, tuple(self.jobs.marked), view)

    @on(JobsPane.Polled)
    def _polled(self, event: JobsPane.Polled) -> None:
        snapshot = event.snapshot
        if not isinstance(snapshot, TrainSnapshot):
            return
        here = processes_here(line.info for line in snapshot.every if line.active)
        self.query_one(HardwarePanel).poll(here)
        for points in snapshot.points:
            if points.run_id in self._drawn() and not self.curves.draw(points, snapshot.view):
                self.poller.forget(points.run_id)
                self.jobs.loop.wake()
        self._draw_letters()
        if (offered := (bool(snapshot.known), bool(snapshot.lines), bool(self.jobs.marked))) != self._offered:
            self._offered = offered
            self.refresh_bindings()
        self.filter_bar.set_values(train_text.filter_values(snapshot))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Disable the keys that need a run while there is none."""
        if (snapshot := self.jobs.snapshot) is not None:
            if action == "filter":
                return bool(snapshot.known)
            if action in _OF_CURVES:
                return bool(snapshot.lines or self.jobs.marked)  # marked runs stay drawn, whatever the filter
            if action in _OF_RUN:
                return bool(snapshot.lines)
        return super().check_action(action, parameters)

    def _drawn(self) -> frozenset[str]:
        """Return the runs whose curves are drawn: the marked ones and the one under the cursor."""
        return frozenset(name for name in (*self.jobs.marked, self.jobs.selected) if name)

    def _draw_letters(self) -> None:
        """Show the letters of the curves in the list."""
        if self._drawn() != self.table.drawn:
            self.table.drawn = self._drawn()
            self.jobs.draw()

    def count_words(self, snapshot: Snapshot[Any, Any]) -> str:
        """Return the number of runs, and what the list leaves out."""
        words = [super().count_words(snapshot)]
        if isinstance(snapshot, TrainSnapshot) and snapshot.archived:
            words.append(f"{snapshot.archived} archived")
        if (narrow := self.table.left_out) and snapshot.known:
            words.append(f"{len(narrow)} columns hidden")
        return " · ".join(filter(None, words))

    # The list.

    @on(FilterBar.Changed)
    def _filter_changed(self, event: FilterBar.Changed) -> None:
        event.stop()
        self._list(cast(RunQuery, event.query))

    def _list(self, query: RunQuery) -> None:
        if query != self.runs:
            self.runs = query
            self.jobs.loop.wake()

    def _use_filter(self, query: RunQuery) -> None:
        """Show a filter in the bar, and list its runs."""
        self.filter_bar.set_filter(query)
        self._list(query)

    def action_filter(self) -> None:
        """Type a filter."""
        self.show_pane("runs", focus=self.filter_bar.editable())

    @on(RunTable.SortWanted)
    @task(group="command", dialog=True)
    async def _sort(self) -> None:
        """Choose the order of the list."""
        if (query := await self.filter_bar.ask_order(self.runs)) is not None:
            self._list(cast(RunQuery, query))

    @task(group="command", dialog=True)
    async def action_columns(self) -> None:
        """Choose the columns of the list, which the lab remembers."""
        title = "Columns, by commas; a narrow terminal keeps the first"
        typed = await self.app.push_screen_wait(
            PromptDialog(title, value=", ".join(self.table.names), completions=[*COLUMNS], multiple=True)
        )
        if typed is None:
            return
        names = [word.strip().replace(" ", "-") for word in typed.split(",") if word.strip()]
        columns = chosen(names or USUAL)
        self.context.session.set(_COLUMNS, names)
        self.table.choose(columns)
        self.jobs.draw()
        self.jobs.loop.wake()

    def _restore_columns(self) -> None:
        names: list[str] = self.context.session.get(_COLUMNS, [])
        known = [name for name in names if name in COLUMNS]  # a later version may have named others
        if known:
            self.table.choose(chosen(known))
            self.jobs.draw()

    @task(group="command", dialog=True)
    async def action_diff(self) -> None:
        """Show where the recipes of the marked runs and of the one under the cursor differ."""
        names = list(dict.fromkeys(filter(None, (*self.jobs.marked, self.jobs.selected))))
        if len(names) < 2:
            self.report(UsageError("Two runs are needed.", "Mark one with space, go to another, and press V."))
            return
        found = await self.in_thread(_difference, self.context.lab, names)
        await self.app.push_screen_wait(PreviewDialog("recipes", found))

    # Selection.

    def open_run(self, run_id: str) -> None:
        """Show this run (the app calls it), with another filter if the one in use leaves it out."""
        snapshot = self.jobs.snapshot
        every = snapshot.every if isinstance(snapshot, TrainSnapshot) else ()
        if (line := next((line for line in every if line.id == run_id), None)) is not None:
            self._reveal(run_id, archived=line.info.archived)
        else:
            self._read_and_reveal(run_id)
        self.jobs.open_job(run_id)
        self.show_pane("curve")

    @task(group="open", exclusive=True)
    async def _read_and_reveal(self, run_id: str) -> None:
        """List a run that no poll has read yet."""
        info = await self.in_thread(RunDir(self.context.lab.runs / run_id).info)
        if self._reveal(run_id, archived=info.archived):
            self.jobs.open_job(run_id)

    def _reveal(self, run_id: str, *, archived: bool) -> bool:
        """Change the filter if it leaves this run out, and return whether it did."""
        snapshot, query = self.jobs.snapshot, RunQuery.parse("archived:yes") if archived else RunQuery()
        listed = snapshot is not None and any(line.id == run_id for line in snapshot.lines)
        if self.runs == query or (listed and not (archived and self.runs.hides_archived)):
            return False
        self._use_filter(query)
        change = "The filter is now archived:yes" if archived else "The filter was removed"
        self.app.notify(f"{change}, to show the run {visible(run_id)}.", markup=False)
        return True

    def form(self, values: dict[str, Any]) -> Screen[Any]:
        from screens.train.form import TrainForm

        return TrainForm(self.context, values, launched=self.open_run, draft=self.draft)

    @on(JobsPane.Selected)
    def _drop_curves(self) -> None:
        """Remove the curves of runs that are neither selected nor marked."""
        self.curves.keep(self._drawn())
        self._draw_letters()

    @on(JobsPane.Opened)
    def _opened(self) -> None:
        self.show_pane("curve")

    def action_mark(self) -> None:
        """Draw this run's curve over the others, or remove it."""
        self.jobs.toggle_mark()

    def action_metric(self, by: int) -> None:
        """Draw another metric."""
        self.curves.step_metric(by)
        self._draw_again()

    def action_x_axis(self) -> None:
        """Draw over steps, tokens or time."""
        self.curves.step_x()
        self._draw_again()

    @task(group="curves", exclusive=True)
    async def action_several(self) -> None:
        """Draw all metrics at once, or only one."""
        if not self.curves.several and self.size.width < _WIDE:
            self.report(UsageError(f"All metrics at once need a terminal of {_WIDE} columns.", "] shows another one."))
            return
        await self.curves.toggle_several()
        self.set_class(self.curves.several, "-several")
        self._draw_again()

    def _draw_again(self) -> None:
        for name in self._drawn():
            self.poller.forget(name)
        self.jobs.loop.wake()

    # Actions on a run.

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
        post_held(self, OpenCompare(tuple(models), prompt))

    def action_traces(self) -> None:
        """Show the traces this run trains on."""
        if detail := self.jobs.need_detail():
            name = detail.recipe.dataset if detail.recipe else detail.line.dataset
            post_held(self, OpenTraces(f'dataset:"{name}"'))

    @work(group="command")
    async def action_copy_command(self) -> None:
        """Copy the command that reproduces the run, and show it."""
        if detail := self.jobs.need_detail():
            try:
                command = (await self.in_thread(detail.line.run.command.read_text, "utf-8")).strip()
            except OSError as error:
                self.report(UsageError(f"The run {detail.line.id} has no command.txt: {error.strerror}."))
            else:
                self.copy(command)

    @task(group="command", dialog=True)
    async def action_answers(self) -> None:
        """Show the full answers to the probes."""
        if detail := self.jobs.need_detail():
            await self.app.push_screen_wait(
                PreviewDialog(f"answers of run {detail.line.id}", train_text.full_answers(detail))
            )

    @task(group="command", dialog=True)
    async def action_group(self) -> None:
        """Show the runs of the group side by side."""
        await group.show(self)

    def action_mark_group(self) -> None:
        """Draw the curves of all runs of the group, or remove them."""
        if (marked := group.marked(self)) is not None:
            self.jobs.marked = marked
            self._drop_curves()
            self.jobs.draw()
            self.jobs.loop.wake()

    @task(group="command", dialog=True)
    async def action_stop_group(self) -> None:
        """Stop all runs of the group, after a question."""
        await group.stop(self)

    @task(group="command", dialog=True)
    async def action_resume_group(self) -> None:
        """Continue all runs of the group, after a question."""
        await group.resume(self)


def _difference(lab: Lab, names: Sequence[str]) -> Text:
    reader = RunReader(lab)
    return Text(visible("\n".join(diff([reader.entry(RunDir(lab.runs / name)) for name in names]).lines())))
