"""What a person who is away is told of jobs, and when.

finished
    The job has done all of its work.
failed
    It could not go on: an error, or trouble that stopped it, such as a refused API key.
dead
    Its process ended without a final status, for example because it was killed.
budget
    It stopped because its budget in money or tokens is spent.
spike
    The loss of a training run jumped: it is more than half above the median of the last 30 logged losses, and more than
    eight median absolute deviations above it (``train/callbacks.spike``).

A job that a person stopped is not reported.
"""

from __future__ import annotations

from typing import Literal

from o1lab.jobs.directory import CountedStatus, JobStatus

EventName = Literal["finished", "failed", "dead", "budget", "spike"]
EVENTS: tuple[EventName, ...] = ("finished", "failed", "dead", "budget", "spike")
_BY_A_PERSON = (None, "stop", "interrupt")


def event_of_end(state: str, status: JobStatus) -> EventName | None:
    """Return the event that the end of a job is; None if it is none, or the job is active.

    Args:
        state: the state of the job, which may be ``dead``.
        status: its last status.
    """
    if state in ("finished", "failed", "dead"):
        return state  # type: ignore[return-value]  # one of these three
    if state != "stopped" or not isinstance(status, CountedStatus) or status.stopped_by in _BY_A_PERSON:
        return None
    return "budget" if status.stopped_by in ("budget_usd", "budget_tokens") else "failed"
