"""What the app tells of jobs on every screen: what runs, with its time left, and what has happened."""

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
"""Jobs that ended lately whose hooks are watched."""

_EVENTS = {"budget": "has spent its budget", "spike": "has a loss spike"}
_ENDS = {"finished": "has finished", "failed": "has failed", "dead": "has died", "stopped": "has stopped"}


class Told(NamedTuple):
    """An event as a person is told of it: the words, whether it is trouble, and what is written to the terminal."""

    text: str
    trouble: bool
    sequences: str


@dataclass
class Monitor:
    """Looks at the jobs of a lab in a thread. Ends stay on the status line until their screen has been shown."""

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

    def look(self, settings: NotifySettings, mode: str) -> list[Told]:
        """Look at the jobs, and return what to tell. It reads files and may ask tmux, so call it in a thread.

        Args:
            settings: which events are told, and how.
            mode: the screen that is shown.
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
        told = []
        for one in found:
            body = words(one)
            sent = bell + notification(f"o1lab: {self.name}", body, settings.desktop, way)
            told.append(Told(body, one.event != "finished", sent))
        return told + self._hook_faults()

    def _hook_faults(self) -> list[Told]:
        """Return what went wrong with hooks since the last look; the hook of an end runs after the end."""
        told = []
        for job in {job.key: job for job in [*self._active, *self._recent]}.values():
            fault, before = job.folder.hook_fault(), self._faults.get(job.key)
            self._faults[job.key] = fault
            if fault and fault != before and before is not None:
                told.append(Told(f"The hook for the {job.folder.noun} {job.info.id} failed: {fault}.", True, ""))
        return told

    def seen(self, mode: str) -> None:
        """Forget the ends of the jobs on this screen, and update the parts of the status line."""
        self._unseen = [one for one in self._unseen if MODES[one.job.folder.noun] != mode]
        self.parts = (*map(_end_part, self._unseen[::-1]), *map(_part, self._active))


def words(happened: JobEvent) -> str:
    """Say what has happened in one line."""
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
