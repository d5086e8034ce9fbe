"""The teacher runs: all of them, the selected one in full, and what can be done with it. Followed while shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, cast

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import OptionList, Static

from o1lab.distill import runs
from o1lab.distill.run_directory import RunFolder
from o1lab.jobs import manage
from o1lab.paths import Lab
from o1lab.text import visible
from o1lab.widgets.cell_list import CellList
from o1lab.widgets.dialogs import ConfirmDialog, PreviewDialog
from o1lab.widgets.empty_state import EmptyState
from o1lab.widgets.text_pane import TextPane
from screens.base.context import LabContext
from screens.base.messages import OpenTraces, OpenTraining
from screens.base.screen import LabScreen
from screens.distill import text as distill_text
from screens.distill.poller import Poller, RunDetail, Snapshot
from screens.jobs.poll_loop import PollLoop


class RunsPane(Vertical):
    """Runs at the left, the selected one at the right."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause", "Pause", tooltip="Make no new call for now; or go on"),
        Binding("x", "stop", "Stop", tooltip="Stop the run; calls in flight are waited for"),
        Binding(
            "r", "resume", "Resume", tooltip="Go on with a run that stopped, failed or died; nothing is asked twice"
        ),
        Binding("t", "traces", "Traces", tooltip="Show the traces this run made"),
        Binding("d", "dataset", "Dataset", tooltip="Make a dataset out of what this run brought"),
        Binding("A", "new_like_this", "New like this", show=False, tooltip="The form with the settings of this run"),
        Binding("v", "whole", "All facts", show=False, tooltip="Everything about this run over the whole screen"),
        Binding("y", "copy_id", "Copy id", show=False, tooltip="Copy the run's id"),
    ]

    class Opened(Message):
        """Enter on a run."""

    class NewLikeThis(Message):
        """A run is to be set up with these values."""

        def __init__(self, values: dict[str, Any]) -> None:
            super().__init__()
            self.values = values

    def __init__(self, context: LabContext, *, id: str) -> None:
        super().__init__(id=id)
        self.context = context
        self.watch_runs = Poller(context.lab, context.store)
        self.selected: str | None = None
        self.detail: RunDetail | None = None
        self.look: Snapshot | None = None
        self.follower = PollLoop()

    @property
    def lab_screen(self) -> LabScreen:
        return cast(LabScreen, self.screen)

    def compose(self) -> ComposeResult:
        yield EmptyState(
            "No teacher run yet.",
            "Press a to set one up: a teacher, some problems, how often and how far. The solver needs no key.",
            id="no-teacher-runs",
        )
        with Horizontal(id="runs-panes"):
            yield CellList(id="teacher-runs")
            with Vertical(id="teacher-run"):
                yield Static(id="teacher-run-head", markup=False)
                yield TextPane("the run", id="teacher-run-facts")

    # Following: only while the screen is shown; it tells us when.

    def start_following(self) -> None:
        self.follow()

    def stop_following(self) -> None:
        self.workers.cancel_group(self, "follow")

    @work(exclusive=True, group="follow")
    async def follow(self) -> None:
        """Look at the runs again and again, sooner when something was chosen."""
        await self.follower.follow(self._look, self._show, self.lab_screen.report)

    async def _look(self) -> Snapshot:
        return await self.lab_screen.in_thread(self.watch_runs.look, self.selected)

    def _show(self, look: Snapshot) -> None:
        self.look = look
        self.set_class(not look.infos, "-empty")
        if self.selected is None and look.detail:
            self.selected = look.detail.info.id
        cells = {info.id: distill_text.list_cell(info) for info in look.infos}
        self.query_one(CellList).show(cells, self.selected)
        if look.detail and look.detail.info.id == self.selected:
            self.detail = look.detail
            head = self.query_one("#teacher-run-head", Static)
            text = distill_text.header(look.detail)
            if head.content != text:
                head.update(text)
            self.query_one(TextPane).show(distill_text.facts(look.detail))
        self.post_message(self.Looked(look))

    class Looked(Message):
        """Another look at the runs was taken."""

        def __init__(self, look: Snapshot) -> None:
            super().__init__()
            self.look = look

    # Choosing.

    def open_run(self, run_id: str) -> None:
        """Show this run."""
        self._select(run_id)
        self.query_one(CellList).point_at(run_id)

    def _select(self, run_id: str) -> None:
        if run_id != self.selected:
            self.selected, self.detail = run_id, None
            self.query_one(TextPane).scroll_home(animate=False)
        self.follower.wake()

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        if event.option_id:
            self._select(event.option_id)

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.post_message(self.Opened())

    # What can be done with a run.

    @work(group="command")
    async def action_pause(self) -> None:
        """Make no new call for now, or go on."""
        if not (detail := self._need_run()):
            return
        if detail.pausing and detail.info.active:
            await self._command(go_on, "It goes on.", detail.info.id)
        else:
            await self._command(pause, "It makes no new call until p is pressed again.", detail.info.id)

    @work(group="command")
    async def action_stop(self) -> None:
        """Ask the run to stop."""
        if not (detail := self._need_run()):
            return
        info = detail.info
        if not info.active:
            self.app.notify(f"The run {info.id} is {info.state}: there is nothing to stop.", markup=False)
            return
        if await self.app.push_screen_wait(
            ConfirmDialog(
                f"Stop the run {info.id}?",
                f"{info.status.in_flight:,} calls in flight are waited for; what came is kept. r goes on from there.",
                yes="Stop it",
                no="Let it run",
                danger=True,
            )
        ):
            await self._command(stop, "It waits for the calls in flight and stops.", info.id)

    @work(group="command")
    async def action_resume(self) -> None:
        """Go on with a run that has ended or died."""
        if detail := self._need_run():
            await self._command(resume, "It goes on; nothing is asked twice.", detail.info.id)

    async def _command(self, what: Callable[[Lab, str], Any], done: str, run_id: str) -> None:
        try:
            await self.lab_screen.in_thread(what, self.context.lab, run_id)
        except Exception as error:
            self.lab_screen.report(error)
        else:
            self.app.notify(done, markup=False)
        self.follower.wake()

    def action_traces(self) -> None:
        """The traces this run made."""
        if detail := self._need_run():
            self.post_message(OpenTraces(f"run:{detail.info.id}"))

    @work(group="command")
    async def action_dataset(self) -> None:
        """Choose among the run's traces and keep them as a dataset."""
        from screens.distill.dataset import TeacherDatasetDialog, made_text

        if not (detail := self._need_run()):
            return
        if not detail.info.status.done:
            self.app.notify(f"The run {detail.info.id} has no response yet.", markup=False)
            return
        method = detail.info.settings.method if detail.info.settings else "sample"
        made = await self.app.push_screen_wait(TeacherDatasetDialog(self.context, detail.info.id, method))
        if made is not None and await self.app.push_screen_wait(
            PreviewDialog(f"Dataset {visible(made.dataset.name)}", made_text(made), action="Train a student on it")
        ):
            self.post_message(OpenTraining(made.dataset.name))

    def action_new_like_this(self) -> None:
        """The form with the settings of this run."""
        if (detail := self._need_run()) and detail.info.settings:
            self.post_message(self.NewLikeThis(detail.info.settings.model_dump(mode="json")))

    @work(group="command")
    async def action_whole(self) -> None:
        """Everything about this run over the whole screen."""
        if detail := self._need_run():
            text = Text("\n").join([distill_text.header(detail), distill_text.facts(detail)])
            await self.app.push_screen_wait(PreviewDialog(f"teacher run {detail.info.id}", text))

    def action_copy_id(self) -> None:
        """Copy the run's id."""
        if detail := self._need_run():
            self.app.copy_to_clipboard(detail.info.id)
            self.app.notify(f"copied the id {detail.info.id}", markup=False)

    def _need_run(self) -> RunDetail | None:
        if self.detail is None:
            empty = self.look is not None and not self.look.infos
            self.app.notify(
                "There is no run yet: press a to set one up." if empty else "The run is still being read.", markup=False
            )
        return self.detail


def pause(lab: Lab, run_id: str) -> None:
    """Ask a run to make no new call (for a thread)."""
    manage.pause(RunFolder(lab.distill / run_id))


def go_on(lab: Lab, run_id: str) -> None:
    """Let a run make calls again (for a thread)."""
    runs.TEACHER_RUNS.resume(lab, RunFolder(lab.distill / run_id))


def stop(lab: Lab, run_id: str) -> None:
    """Ask a run to stop (for a thread)."""
    manage.stop(RunFolder(lab.distill / run_id))


def resume(lab: Lab, run_id: str) -> None:
    """Resume a run (for a thread)."""
    runs.TEACHER_RUNS.resume(lab, RunFolder(lab.distill / run_id))
