"""The jobs pane: a list of jobs with its actions, for training runs, teacher runs and evaluations.

A ``PaneKind`` declares how a kind of job is polled, its functions and its messages. The list (``screens.jobs.lists``)
and the view of the selected job are widgets passed to the pane. Actions of only one kind (traces, plots, scoring again)
belong to the screen that contains the pane.

Keys, the same for every kind:

    ======  =============  ==============================================================================
    ctrl+n  New            the form (a key of the screen, since it works in every view)
    U       New like this  the form with the settings of the selected job
    P       Pause          no new calls, or continue; only teacher runs and evaluations
    s       Stop           asks first, naming the job; also Compare's key for stopping an answer
    r       Resume         continue a job that is paused, stopped, failed or dead
    e       Rename         a name that the command line takes like an id
    m       Note           as in Traces
    t       Tags           as in Traces
    _       Archive        only where the list can be filtered
    D       Remove         asks first, naming the job and the space that is freed
    i       All facts      everything about the job over the whole screen
    y       Copy id
    . ,     Next, previous job from any pane, as in Traces
    ======  =============  ==============================================================================

``tests/unit/test_key_meanings.py`` lists the meaning of each key on all screens. Actions apply to the job that is under
the cursor when the key is pressed; the job shown in detail may be one poll behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.message import Message
from textual.widget import Widget

from o1lab.jobs import manage
from o1lab.jobs.directory import JobFolder
from o1lab.text import visible
from o1lab.widgets.dialogs import ConfirmDialog, PreviewDialog
from o1lab.widgets.keys import Binding, stepping
from o1lab.widgets.text_pane import EmptyState
from o1lab.widgets.typed_ahead import post_held
from screens.base.context import LabContext
from screens.base.screen import ScreenPart, task
from screens.jobs import changes
from screens.jobs.kind import DetailT, LineT, PaneKind, PollLoop, Snapshot, toggle_pause
from screens.jobs.lists import CursorMoved, JobCells, JobChosen, JobTable, JobView


class JobsPane(Container, ScreenPart, Generic[LineT, DetailT]):
    """A list of jobs and a view of the selected one.

    Args:
        context: The lab.
        kind: What kind of jobs.
        jobs: The list.
        view: The view of the selected job.
        id: The widget's id.
        bar: A widget above the list, such as its filter.
    """

    DEFAULT_CSS = """
    JobsPane {
        height: 1fr;
        .no-jobs { display: none; }
        .jobs { height: 1fr; }
        &.-empty .no-jobs { display: block; }
        &.-empty .jobs { display: none; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("P", "pause", "Pause", tooltip="Make no new calls, or continue"),
        Binding("s", "stop", "Stop", tooltip="Stop the job; r resumes it later"),
        Binding("r", "resume", "Resume", tooltip="Continue a job that is paused, stopped, failed or dead"),
        Binding("e", "rename", "Rename", show=False, tooltip="Give the job a name"),
        Binding("m", "note", "Note", show=False, tooltip="Add a note to the job"),
        Binding("t", "tags", "Tags", show=False, tooltip="Edit the job's tags"),
        Binding(
            "underscore",
            "archive",
            "Archive",
            show=False,
            key_display="_",
            tooltip="Leave the job out of the list, or list it again",
        ),
        Binding("D", "remove", "Remove", show=False, tooltip="Delete the job and its files"),
        Binding("U", "new_like_this", "New like this", show=False, tooltip="Open the form with this job's settings"),
        Binding("i", "facts", "All facts", show=False, tooltip="Show everything about this job on the whole screen"),
        Binding("y", "copy_id", "Copy id", show=False, tooltip="Copy the job's id"),
        *stepping("job"),
    ]

    @dataclass
    class Polled(Message):
        """The jobs were read again."""

        snapshot: Snapshot[Any, Any]

    class Selected(Message):
        """The cursor is on another job."""

    @dataclass
    class Opened(Message):
        """Enter was pressed on a job."""

        line: Any

    @dataclass
    class NewLikeThis(Message):
        """Open the form with these values."""

        values: dict[str, Any]

    def __init__(
        self,
        context: LabContext,
        kind: PaneKind[LineT, DetailT],
        jobs: JobCells | JobTable,
        view: JobView[DetailT],
        *,
        id: str,
        bar: Widget | None = None,
    ) -> None:
        super().__init__(id=id)
        self.context, self.kind, self.jobs, self.view, self.bar = context, kind, jobs, view, bar
        self.snapshot: Snapshot[LineT, DetailT] | None = None
        self.marked: list[str] = []
        self.loop = PollLoop()
        self._wanted: str | None = context.session.get(f"{kind.noun}.cursor", "") or None  # gets the cursor once listed
        self._last: str | None = None
        self.resumed: dict[str, Any] = {}  # job -> its status when it was resumed here

    def compose(self) -> ComposeResult:
        yield EmptyState(f"No {self.kind.noun}s yet.", self._next_action(None), classes="no-jobs")
        with Container(classes="jobs"):
            if self.bar is not None:
                yield self.bar
            yield self.jobs
            yield self.view

    def start_polling(self) -> None:
        """Poll until ``stop_polling``; a screen polls only while it is shown."""
        self._run_loop()

    def stop_polling(self) -> None:
        """Stop polling."""
        self.workers.cancel_group(self, "poll")

    @work(exclusive=True, group="poll")
    async def _run_loop(self) -> None:
        await self.loop.run(self._poll, self._show, self.lab_screen.report)

    async def _poll(self) -> Snapshot[LineT, DetailT]:
        wanted = self._wanted
        snapshot = await self.lab_screen.in_thread(self.kind.poll, self.selected)
        if wanted == self._wanted and all(line.id != wanted for line in snapshot.lines):
            self._wanted = None  # there is no such job
        return snapshot

    def _show(self, snapshot: Snapshot[LineT, DetailT]) -> None:
        self.snapshot, known = snapshot, snapshot.known
        self.set_class(not known, "-empty")
        if not known and callable(self.kind.next_action):
            self.query_one(EmptyState).set(f"No {self.kind.noun}s yet.", self._next_action(snapshot))
        self.marked = [one for one in self.marked if one in known]
        self.draw()
        self._go_to_wanted()
        if (detail := self.detail) is not None:
            self.view.show(detail)
        self._tell_ended(snapshot)
        self.post_message(self.Polled(snapshot))
        if snapshot.partial:
            self.loop.wake()

    def draw(self) -> None:
        """Draw the list again."""
        if self.snapshot:
            self.jobs.draw(self.snapshot.lines, self.marked)

    def _next_action(self, snapshot: Snapshot[Any, Any] | None) -> str:
        action = self.kind.next_action
        return action if isinstance(action, str) else action(snapshot) if snapshot is not None else ""

    # The selected job.

    @property
    def selected(self) -> str | None:
        """The id of the job under the cursor, or of the job the cursor will move to."""
        return self._wanted or self.jobs.cursor_id

    @property
    def line(self) -> LineT | None:
        """The job under the cursor, as it was last read."""
        lines = self.snapshot.lines if self.snapshot and not self._wanted else ()
        return next((line for line in lines if line.id == self.jobs.cursor_id), None)

    @property
    def detail(self) -> DetailT | None:
        """The selected job in detail, once it has been read."""
        detail = self.snapshot.detail if self.snapshot else None
        return detail if detail is not None and detail.line.id == self.selected else None

    def open_job(self, job_id: str) -> None:
        """Move the cursor to this job, or to a new one once it is listed."""
        self._wanted = job_id
        self._go_to_wanted()
        self.loop.wake()

    def _go_to_wanted(self) -> None:
        if self._wanted:
            self.jobs.point_at(self._wanted)
            if self.jobs.cursor_id == self._wanted:
                self._wanted = None

    @on(CursorMoved)
    def _cursor_moved(self, event: CursorMoved) -> None:
        event.stop()
        self._go_to_wanted()
        if self.selected != self._last:
            self._last = self.selected
            self.context.session.set(f"{self.kind.noun}.cursor", self.selected or "")
            self.post_message(self.Selected())
            if (detail := self.detail) is not None:
                self.view.show(detail)
            else:
                self.loop.wake()

    @on(JobChosen)
    def _chosen(self, event: JobChosen) -> None:
        event.stop()
        lines = self.snapshot.lines if self.snapshot else ()
        if (line := next((line for line in lines if line.id == event.job_id), None)) is not None:
            post_held(self, self.Opened(line))

    def action_step(self, by: int) -> None:
        """Select the next or previous job."""
        self.jobs.step(by)

    def toggle_mark(self, most: int | None = None) -> None:
        """Mark the job under the cursor, or remove its mark; beyond ``most`` marks the oldest is removed."""
        if (job_id := self.jobs.cursor_id) in self.marked:
            self.marked.remove(job_id)
        elif job_id is not None:
            self.marked = [*self.marked, job_id][-(most or 0) :]
        self.draw()
        self.loop.wake()

    def clear_marks(self) -> None:
        """Remove all marks."""
        self.marked = []
        self.draw()

    # Requirements of the actions.

    def need_line(self) -> LineT | None:
        """Return the job under the cursor; if there is none, say why."""
        if self.line is None:
            self._say_missing()
        return self.line

    def need_detail(self) -> DetailT | None:
        """Return the job under the cursor in detail; if there is none, say why."""
        if self.detail is None:
            self._say_missing()
        return self.detail

    def _need_active(self, verb: str) -> LineT | None:
        """Return the job under the cursor if it is active; otherwise say why ``verb`` does nothing."""
        line = self.need_line()
        if line is None or line.active:
            return line
        self.say_state(line, verb)
        return None

    def _say_missing(self) -> None:
        loading = self.snapshot is None or self.snapshot.lines
        self.say("Still loading." if loading else f"There is no {self.kind.noun} yet: press ctrl+n to set one up.")

    def say(self, text: str, *, warning: bool = False) -> None:
        """Show a message, which may contain text of files."""
        self.app.notify(visible(text), severity="warning" if warning else "information", markup=False)

    # Actions.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return {"archive": self.kind.archives, "pause": self.kind.jobs.can_pause}.get(action, True)

    async def run_command(
        self, command: Callable[..., Any], done: str | Callable[[Any], str], job_id: str, *more: Any
    ) -> bool:
        """Run ``command(directory, *more)`` in a thread, then say ``done``, or report the error.

        Returns:
            Whether it succeeded.
        """
        try:
            result = await self.lab_screen.in_thread(command, self.kind.folder(self.context.lab, job_id), *more)
        except Exception as error:
            self.lab_screen.report(error)
            return False
        else:
            self.say(done if isinstance(done, str) else done(result))
            return True
        finally:
            self.loop.wake()

    @work(group="command")
    async def action_pause(self) -> None:
        """Make no new calls, or continue."""
        if (line := self._need_active("pause")) is not None:
            messages = {True: "No new calls until you press P or r.", False: "Resumed."}
            await self.run_command(toggle_pause, messages.__getitem__, line.id)

    @task(group="command", dialog=True)
    async def action_stop(self) -> None:
        """Stop the job after confirmation."""
        if (line := self._need_active("stop")) is None:
            return
        question = f"Stop the {self.kind.noun} {line.id}?"
        note = f"{self.kind.stop_note(line)} Press r to resume it later."
        if await self.app.push_screen_wait(ConfirmDialog(question, note, yes="Stop it", no="Let it run", danger=True)):
            self.resumed.pop(line.id, None)
            await self.run_command(manage.stop, self.kind.stopping, line.id)

    @task(group="command", dialog=True)
    async def action_resume(self) -> None:
        """Continue a job that is paused, stopped, failed or dead."""
        await changes.resume(self)

    def resume(self, folder: JobFolder[Any, Any], changes: Mapping[str, Any]) -> None:
        """Continue a job with changed settings; runs in a thread."""
        self.kind.jobs.resume(self.context.lab, folder, changes)

    @task(group="command", dialog=True)
    async def action_rename(self) -> None:
        """Give the job a name; an empty one removes it."""
        await changes.rename(self)

    @task(group="command", dialog=True)
    async def action_note(self) -> None:
        """Add a note to the job."""
        await changes.note(self)

    @task(group="command", dialog=True)
    async def action_tags(self) -> None:
        """Edit the tags of the job; an empty line removes them."""
        await changes.tags(self)

    @work(group="command")
    async def action_archive(self) -> None:
        """Leave the job out of the list, or list it again."""
        await changes.archive(self)

    @task(group="command", dialog=True)
    async def action_remove(self) -> None:
        """Delete the job and its files after confirmation."""
        await changes.remove(self)

    def say_state(self, line: LineT, verb: str) -> None:
        """Say why ``verb`` does nothing."""
        self.say(f"Nothing to {verb}: the {self.kind.noun} {line.id} is {line.state}.")

    def _tell_ended(self, snapshot: Snapshot[LineT, DetailT]) -> None:
        """Notify when a job that was resumed here has stopped again."""
        for line in snapshot.lines:
            if line.id not in self.resumed or line.active or line.status == self.resumed[line.id]:
                continue
            del self.resumed[line.id]
            if line.state != "finished":
                self.say(f"The {self.kind.noun} {line.id} is {line.state} again: {self.kind.why(line)}", warning=True)

    def action_new_like_this(self) -> None:
        """Open the form with the settings of this job."""
        if (detail := self.need_detail()) is not None:
            if (values := self.kind.settings(detail)) is None:
                self.say(f"The settings of {detail.line.id} cannot be read.")
            else:
                post_held(self, self.NewLikeThis(values))

    @task(group="command", dialog=True)
    async def action_facts(self) -> None:
        """Show everything about this job on the whole screen."""
        if (detail := self.need_detail()) is not None:
            text = await self.lab_screen.in_thread(self.kind.facts, detail)
            await self.app.push_screen_wait(PreviewDialog(f"{self.kind.noun} {detail.line.id}", text))

    def action_copy_id(self) -> None:
        """Copy the job's id."""
        if (line := self.need_line()) is not None:
            self.app.copy_to_clipboard(line.id)
            self.say(f"Copied the id {line.id}.")
