"""The declaration of a kind of job for the jobs pane, its polling, and what the kinds that call models share."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, cast

from rich.text import Text
from textual.css.query import NoMatches

from o1lab.files import StampedCache
from o1lab.format import counted
from o1lab.inference.directory import AskingFolder
from o1lab.inference.journal import FaultCount
from o1lab.jobs import manage
from o1lab.jobs.directory import CountedStatus, JobFolder, JobInfo, SettingsT, StatusT
from o1lab.jobs.manage import JobKind
from o1lab.paths import Lab

# Seconds between two polls while a job is active, and otherwise. Drawing the screen costs more than reading the files.
LIVE_S, IDLE_S = 1.5, 2.0


class JobLine(Protocol):
    """What the pane needs to know of a job in its list."""

    @property
    def id(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def active(self) -> bool: ...
    @property
    def name(self) -> str: ...
    @property
    def status(self) -> Any:
        """The content of its status.json; None if there is none."""

    @property
    def settings(self) -> Any:
        """Its settings; None if they cannot be read or it has none."""


class InfoLine(Generic[StatusT, SettingsT]):
    """A job in a list, from its :class:`JobInfo`. Subclasses are dataclasses with the field ``info``."""

    info: JobInfo[StatusT, SettingsT]

    @property
    def id(self) -> str:
        return self.info.id

    @property
    def state(self) -> str:
        return self.info.state

    @property
    def active(self) -> bool:
        return self.info.active

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def tags(self) -> tuple[str, ...]:
        return self.info.tags

    @property
    def status(self) -> StatusT:
        return self.info.status

    @property
    def settings(self) -> SettingsT | None:
        return self.info.settings


LineT = TypeVar("LineT", bound=JobLine)


class JobDetail(Protocol):
    """What the pane shows of the selected job."""

    @property
    def line(self) -> JobLine: ...


DetailT = TypeVar("DetailT", bound=JobDetail)


@dataclass(frozen=True)
class Snapshot(Generic[LineT, DetailT]):
    """The jobs of one kind at one moment, the newest first.

    Attributes:
        lines: All jobs, as the list shows them.
        detail: The selected job, or the newest when the selected one is gone.
        partial: Some figures are still missing, so the next poll should follow at once.
    """

    lines: tuple[LineT, ...]
    detail: DetailT | None
    partial: bool = False

    @property
    def known(self) -> frozenset[str]:
        """The ids of all jobs, also of those that a filter leaves out."""
        return frozenset(line.id for line in self.lines)

    @property
    def active(self) -> int:
        """How many jobs are active."""
        return sum(line.active for line in self.lines)


SnapshotT = TypeVar("SnapshotT", bound=Snapshot[Any, Any])


class PollLoop:
    """Polls, shows the result and waits. A persistent error is reported once, not at every poll."""

    def __init__(self) -> None:
        self._wake = asyncio.Event()
        self._last_error = ""

    def wake(self) -> None:
        """Poll now."""
        self._wake.set()

    async def run(
        self,
        poll: Callable[[], Awaitable[SnapshotT]],
        show: Callable[[SnapshotT], None],
        report: Callable[[BaseException], None],
    ) -> None:
        """Run until cancelled, or until the widgets are gone."""
        live = False
        while True:
            self._wake.clear()
            try:
                snapshot = await poll()
            except Exception as error:
                if str(error) != self._last_error:
                    self._last_error = str(error)
                    report(error)
            else:
                self._last_error = ""
                try:
                    show(snapshot)
                except NoMatches:
                    return  # the app is closing: widgets are removed before workers
                live = bool(snapshot.active)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LIVE_S if live else IDLE_S)


class FaultReader:
    """Reads the errors of jobs from their journals: these are long, so only when the number of errors has changed."""

    def __init__(self) -> None:
        self._known: StampedCache[tuple[FaultCount, ...]] = StampedCache()

    def read(self, folder: AskingFolder[Any, Any], status: CountedStatus | None) -> tuple[FaultCount, ...]:
        """Return the errors of a job by code, the most frequent first."""
        if status is None or not status.faults:
            return ()
        return self._known.get(folder.id, tuple(status.faults.items()), lambda: tuple(folder.faults()))


BUDGETS = {"budget_usd": "dollars", "budget_tokens": "tokens"}
STOPPED_BY = {
    "stop": "a person",
    "interrupt": "an interruption",
    "budget_usd": "its budget in money",
    "budget_tokens": "its budget in tokens",
    "key": "a refused API key",
    "quota": "an exhausted quota",
    "no_model": "a model that does not exist",
    "failures": "too many failures in a row",
    "option": "an option that the server refuses",
    "max_tokens": "a max_tokens that does not fit the model's context",
}


class MustChange(NamedTuple):
    """A setting that must change, since the resumed job would stop at once otherwise.

    Attributes:
        name: The setting.
        question: What to ask for, after the id of the job.
        proposed: The proposed value.
    """

    name: str
    question: str
    proposed: str


def stop_note(line: JobLine) -> str:
    """Say what a stop of a job that calls models waits for and keeps."""
    calls = line.status.in_flight if line.status else 0
    return f"It waits for {counted(calls, 'call')} in flight and keeps all responses."


def stop_reason(line: JobLine) -> str:
    """Say in one sentence why a job that calls models is not running."""
    status: CountedStatus | None = line.status
    if status is None:
        return "It has no folder."
    if status.stopped_by in STOPPED_BY:
        return f"Stopped by {STOPPED_BY[status.stopped_by]}."
    return status.message or "See its log."


def must_change(line: JobLine) -> MustChange | None:
    """Find the setting that stopped a job: a spent budget, or a ``max_tokens`` that the model's context cannot hold."""
    name = (line.status.stopped_by if line.status else None) or ""
    value = getattr(line.settings, name, None)
    if name in BUDGETS and value is not None:
        return MustChange(name, f"has spent its budget of {value:,} {BUDGETS[name]}. New budget:", str(2 * value))
    if name == "max_tokens" and value is not None:
        fits = re.search(r"--max-tokens (\d+)", line.status.hint)
        proposed = fits[1] if fits else str(value // 2)
        return MustChange(name, f"asked for max_tokens {value:,}, which does not fit. New max_tokens:", proposed)
    return None


def form_values(detail: JobDetail) -> dict[str, Any] | None:
    """Return the settings of a job for the form of another one; None if they cannot be read."""
    settings = detail.line.settings
    return None if settings is None else cast(dict[str, Any], settings.model_dump(mode="json"))


@dataclass(frozen=True)
class PaneKind(Generic[LineT, DetailT]):
    """What one kind of job provides to the pane. The defaults are for jobs that call models.

    Attributes:
        jobs: Its functions: stop, pause, resume, remove.
        next_action: Hint for an empty list, with the key; where it depends on the lab, a function of the snapshot.
        poll: Reads the jobs, the one with the given id in detail. Runs in a thread.
        facts: Formats everything about a job. Runs in a thread.
        stop_note: What happens on a stop, for the dialog.
        stopping: Message after a request to stop.
        resuming: Message after a job was resumed.
        why: Says in one sentence why a job is not running.
        settings: Values for the form; None if they cannot be read.
        can_retry: Whether resuming a finished job has an effect.
        must_change: The setting that stopped a job and must be changed to resume it.
        archives: Whether the screen can leave archived jobs out of the list, and list them again.
    """

    jobs: JobKind[Any]
    next_action: str | Callable[[Any], str]
    poll: Callable[[str | None], Snapshot[LineT, DetailT]]
    facts: Callable[[DetailT], Text]
    stop_note: Callable[[LineT], str] = stop_note
    stopping: str = "Stopping after the calls in flight."
    resuming: str = "Resuming; answered samples are not asked again."
    why: Callable[[LineT], str] = stop_reason
    settings: Callable[[DetailT], dict[str, Any] | None] = form_values
    can_retry: Callable[[LineT], bool] = lambda line: bool(line.status and line.status.failed)
    must_change: Callable[[LineT], MustChange | None] = must_change
    archives: bool = False

    @property
    def noun(self) -> str:
        """The name of this kind of job."""
        return str(self.jobs.directory.noun)

    def folder(self, lab: Lab, job_id: str) -> JobFolder[Any, Any]:
        """Return the directory of a job."""
        folder: JobFolder[Any, Any] = self.jobs.directory(self.jobs.parent(lab) / job_id)
        return folder


def toggle_pause(folder: JobFolder[Any, Any]) -> bool:
    """Pause a job, or continue one that is paused or about to pause.

    Returns:
        Whether it is paused now.
    """
    if folder.pause_file.exists() and manage.unpause(folder):
        return False
    manage.pause(folder)
    return True
