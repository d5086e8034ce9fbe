"""What teacher runs and evaluations, the two kinds of jobs that ask models, share: pausing and budgets."""

from __future__ import annotations

from typing import Any

from o1lab.jobs import control
from o1lab.jobs.control import JobInfo
from o1lab.jobs.directory import JobFolder, JobStatus

STOPPING = "Stopping after the calls in flight."
RESUMING = "Resuming; answered samples are not asked again."
BUDGETS = {"budget_usd": "dollars", "budget_tokens": "tokens"}


def toggle_pause(folder: JobFolder[Any, Any]) -> bool:
    """Pause a job, or let one that is paused or about to pause continue.

    Returns:
        Whether it is paused now.

    Raises:
        UsageError: It is not running.
        LabError: Its folder cannot be written.
    """
    if folder.pause_file.exists():
        control.go_on(folder)
        return False
    control.ask(folder, folder.pause_file)
    return True


def unpause(folder: JobFolder[Any, Any]) -> bool:
    """Let a paused job continue; return whether it was paused."""
    if control.snapshot(folder).state != "paused":
        return False
    control.go_on(folder)
    return True


def stop_note(status: JobStatus | None) -> str:
    """What a stop waits for and keeps."""
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
