"""The declaration of a kind of job for the jobs pane, and what the two kinds that call models share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic

from rich.text import Text

from o1lab.jobs import manage
from o1lab.jobs.directory import CountedStatus, JobFolder, JobInfo
from o1lab.jobs.manage import JobKind
from o1lab.paths import Lab
from screens.jobs.poll_loop import DetailT, LineT, Snapshot

STOPPING = "Stopping after the calls in flight."
RESUMING = "Resuming; answered samples are not asked again."
BUDGETS = {"budget_usd": "dollars", "budget_tokens": "tokens"}


@dataclass(frozen=True)
class PaneKind(Generic[LineT, DetailT]):
    """What one kind of job provides to the pane.

    Attributes:
        jobs: Its functions: stop, pause, resume, remove.
        next_action: Hint for an empty list, with the key.
        poll: Reads the jobs, the one with the given id in detail. Runs in a thread.
        stop_note: What happens on a stop, for the dialog.
        stopping: Message after a request to stop.
        resuming: Message after a job was resumed.
        why: Says in one sentence why a job is not running.
        settings: Values for the form; None if they cannot be read.
        facts: Formats everything about a job. Runs in a thread.
        can_retry: Whether resuming a finished job has an effect.
        spent_budget: (setting, amount) of the budget that stopped a job and must be raised to resume it.
    """

    jobs: JobKind[Any]
    next_action: str
    poll: Callable[[str | None], Snapshot[LineT, DetailT]]
    stop_note: Callable[[LineT], str]
    stopping: str
    resuming: str
    why: Callable[[LineT], str]
    settings: Callable[[DetailT], dict[str, Any] | None]
    facts: Callable[[DetailT], Text]
    can_retry: Callable[[LineT], bool] = lambda line: False
    spent_budget: Callable[[LineT], tuple[str, float] | None] = lambda line: None

    @property
    def noun(self) -> str:
        """The name of this kind of job."""
        return str(self.jobs.directory.noun)

    def folder(self, lab: Lab, job_id: str) -> JobFolder[Any, Any]:
        """Return the directory of a job."""
        folder: JobFolder[Any, Any] = self.jobs.directory(self.jobs.parent(lab) / job_id)
        return folder


def stop_note(status: CountedStatus | None) -> str:
    """Say what a stop waits for and keeps."""
    calls = status.in_flight if status else 0
    return f"It waits for {calls:,} call{'s' if calls != 1 else ''} in flight and keeps all responses."


def spent_budget(info: JobInfo[Any, Any] | None) -> tuple[str, float] | None:
    """Find the budget that stopped a job.

    Returns:
        The name of the setting and its amount; None if no budget stopped it.
    """
    if info is None or info.settings is None or info.status.stopped_by not in BUDGETS:
        return None
    name: str = info.status.stopped_by
    amount = getattr(info.settings, name)
    return None if amount is None else (name, amount)


def toggle_pause(folder: JobFolder[Any, Any]) -> bool:
    """Pause a job, or continue one that is paused or about to pause.

    Returns:
        Whether it is paused now.
    """
    if folder.pause_file.exists() and manage.unpause(folder):
        return False
    manage.pause(folder)
    return True
