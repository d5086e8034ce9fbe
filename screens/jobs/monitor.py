"""The jobs on the status line of every screen, and the notifications about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from rich.text import Text

from o1lab.activity import Activity, ActivityPoller, JobEvent
from o1lab.config import NotifySettings
from o1lab.format import duration
from o1lab.paths import Lab
from o1lab.terminal import BELL, notification, reach
from o1lab.text import one_line
from screens.jobs.text import sign

MODES = {"run": "train", "teacher run": "distill", "evaluation": "evaluate"}
"""The screen of each kind of job."""
_RECENT = 20
"""The number of ended jobs whose hooks are still watched."""

_EVENTS = {"budget": "has spent its budget", "spike": "has a loss spike"}
_ENDS = {"finished": "has finished", "failed": "has failed", "dead": "has died", "stopped": "has stopped"}


class Notice(NamedTuple):
    """A notification.

    Attributes:
        text: What has happened.
        is_warning: Whether it is bad news.
        sequences: What is written to the terminal: a bell and a desktop notification, or nothing.
    """

    text: str
    is_warning: bool
    sequences: str


@dataclass
class Monitor:
    """Polls the jobs of a lab. An ended job stays on the status line until its screen has been shown."""

    lab: Lab
    name: str
    parts: tuple[Text, ...] = ()
    _poller: ActivityPoller = field(init=False)
    _active: list[Activity] = field(default_factory=list)
    _unseen: list[JobEvent] = field(default_factory=list)
    _recent: list[Activity] = field(default_factory=list)
    _faults: dict[object, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._poller = ActivityPoller(self.lab)

    def poll(self, settings: NotifySettings, mode: str) -> list[Notice]:
        """Read the jobs and return the new notices. Call it in a thread: it reads files and may ask tmux.

        Args:
            settings: Which events to report, and how.
            mode: The screen that is shown.
        """
        self._active, happened = self._poller.poll()
        active = {one.key for one in self._active}
        ended = [one for one in happened if one.event != "spike"]
        again = {one.job.key for one in ended} | active
        self._unseen = [one for one in self._unseen if one.job.key not in again] + ended
        self.seen(mode)
        found = [one for one in happened if one.event in settings.on]
        way = reach().way if found and settings.desktop else "none"
        bell = BELL if settings.bell else ""
        self._recent = [*self._recent, *(one.job for one in ended)][-_RECENT:]
        notices = []
        for one in found:
            body = words(one)
            sequences = bell + notification(f"o1lab: {self.name}", body, settings.desktop, way)
            notices.append(Notice(body, one.event != "finished", sequences))
        return notices + self._hook_faults()

    def _hook_faults(self) -> list[Notice]:
        """Return the failures of hooks since the last poll; the hook of an end runs after the end."""
        notices = []
        for job in {job.key: job for job in [*self._active, *self._recent]}.values():
            fault, before = job.folder.hook_fault(), self._faults.get(job.key)
            self._faults[job.key] = fault
            if fault and fault != before and before is not None:
                notices.append(Notice(f"The hook for the {job.folder.noun} {job.info.id} failed: {fault}.", True, ""))
        return notices

    def seen(self, mode: str) -> None:
        """Forget the ends of the jobs on this screen, and update the parts of the status line."""
        self._unseen = [one for one in self._unseen if MODES[one.job.folder.noun] != mode]
        self.parts = (*map(_end_part, self._unseen[::-1]), *map(_part, self._active))


def words(happened: JobEvent) -> str:
    """Describe an event in one line."""
    job = happened.job
    name = f" ({one_line(job.info.name, 40)})" if job.info.name else ""
    state = job.info.state
    what = _EVENTS.get(happened.event) or _ENDS.get(state, f"is {state}")
    cause = f": {one_line(happened.cause, 200)}" if happened.cause else "."
    return f"{job.folder.noun.capitalize()} {one_line(job.info.id, 20)}{name} {what}{cause}"


def _part(job: Activity) -> Text:
    """Format an active job: sign, kind, name, progress and time left."""
    symbol, style = sign(job.info.state)
    state = "" if job.info.state == "running" else f" {job.info.state}"
    progress = f" {job.done:,}/{job.total:,}" if job.total and job.info.state != "queued" else ""
    text = Text.assemble((symbol, style), f" {_name(job)}{state}{progress}")
    if job.seconds_left is not None:
        text.append(f" {duration(job.seconds_left)} left", "bold")
    return text


def _end_part(happened: JobEvent) -> Text:
    job = happened.job
    symbol, style = sign(job.info.state)
    words = "spent its budget" if happened.event == "budget" else job.info.state
    return Text.assemble((symbol, style), f" {_name(job)} ", (words, style))


def _name(job: Activity) -> str:
    return f"{job.folder.noun} {one_line(job.info.name, 16) or one_line(job.info.id, 8)}"
