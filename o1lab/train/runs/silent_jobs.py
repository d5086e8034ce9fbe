"""The state of a run whose worker is silent, from its launcher; and how such a run is stopped.

The launcher is asked only about silent workers, and about each of them every few seconds at most. The end of a job is
written into launch.json when it is first seen, because schedulers forget jobs.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from o1lab.errors import LabError, O1LabError
from o1lab.jobs.directory import ACTIVE, STALE_S
from o1lab.train.launcher import LAUNCHERS, Seen, write_launch

if TYPE_CHECKING:
    from o1lab.train.runs.directory import Launch, RunDir, RunStatus

_ASK_EVERY_S = 4.0
_SILENT_S = 600.0
"""A worker that has not reported for so long while its job runs has probably not started."""
_NO_CHECKPOINT = "It has no checkpoint to resume from"
_END_IT = "If it runs after all, it stops when it sees control/stop; do not start it twice."

_known: dict[tuple[str, str], tuple[float, Seen]] = {}
_lock = threading.Lock()


def judged(run: RunDir, launch: Launch, status: RunStatus) -> tuple[str, RunStatus, bool]:
    """Return the state of an active run whose heartbeat is old, as :meth:`JobFolder.judged` does."""
    if launch.end:
        return launch.end, replace(status, message=launch.message, hint=launch.hint), False
    seen = poll(run, launch)
    shown = replace(status, message=seen.message or status.message, hint=seen.hint or status.hint)
    if seen.state == "pending":
        return "queued", shown, False
    if seen.state == "ended":
        return _ended(run, launch, status, seen)
    if seen.state == "running" and status.state == "queued":
        waited = time.time() - max(launch.submitted_at, status.heartbeat)
        if waited > _SILENT_S:
            message = f"{_capital(launch.words)} runs, but its worker has not reported for {waited / 60:.0f} min."
            shown = replace(shown, message=message, hint=f"Can its nodes read {run.path}? {_stop_hint(run)}")
        return "starting", shown, True
    return status.state, shown, True


def poll(run: RunDir, launch: Launch) -> Seen:
    """Return the state of the job from its launcher; an answer is used for some seconds."""
    key = (str(run.path), launch.job)
    with _lock:
        moment, known = _known.get(key, (0.0, Seen("unknown")))
        if time.monotonic() - moment < _ASK_EVERY_S and moment:
            return known
    try:
        seen = LAUNCHERS.get(launch.launcher).seen(run, launch)
    except O1LabError as error:  # the plugin is not installed here, or o1lab.toml is damaged
        seen = Seen("unknown", error.message, error.hint)
    with _lock:
        _known[key] = time.monotonic(), seen
    return seen


def cancel_if_silent(run: RunDir, launch: Launch) -> None:
    """End the job of a run that was asked to stop, unless its worker is alive and reads the stop file.

    If the state of a silent worker cannot be determined, the run counts as stopped. A worker that is alive after all
    reports again and reads the stop file.

    Raises:
        LabError: it cannot be cancelled.
    """
    status = run.read_status()
    waiting = status.pid is None
    if not waiting and time.time() - status.heartbeat <= STALE_S:
        return
    lost = ""
    try:
        LAUNCHERS.get(launch.launcher).cancel(run, launch)
    except LabError as error:
        if error.code != "no_cluster":
            raise
        lost = f"{_capital(launch.words)} could not be ended. {error.message}"
    with _lock:
        _known.pop((str(run.path), launch.job), None)
    status = run.read_status()
    if waiting and status.pid is None and status.state in ACTIVE:
        message = f"Stopped before its worker started. {lost}".strip()
        run.write_status(replace(status, state="stopped", message=message, hint=_END_IT if lost else ""))
    elif status.state in ACTIVE and time.time() - status.heartbeat > STALE_S and _is_unknown(run, launch):
        message = f"Stopped without an answer from its worker on {status.host}. {lost}".strip()
        hint = f"{_END_IT} {run.resume_hint if run.checkpoints() else _NO_CHECKPOINT}."
        write_launch(run, replace(launch, end="stopped", message=message, hint=hint))


def _is_unknown(run: RunDir, launch: Launch) -> bool:
    """Whether the launcher has no scheduler, or the scheduler does not answer."""
    return not launch.end and poll(run, launch).state == "unknown"


def _ended(run: RunDir, launch: Launch, status: RunStatus, seen: Seen) -> tuple[str, RunStatus, bool]:
    now = run.read_status()  # the worker may have ended regularly between reading and asking
    if now.state not in ACTIVE or now.heartbeat != status.heartbeat or run.launch() != launch:
        return now.state, now, False
    died = run.explain_death(status)
    if run.again_file.exists() and not seen.message:
        message = f"{_capital(launch.words)} was interrupted, and is not put back into the queue any more."
        seen = Seen("ended", message, end="stopped")
    if seen.message:
        resume = run.resume_hint if run.checkpoints() else _NO_CHECKPOINT
        died = replace(status, message=seen.message, hint=f"{seen.hint} {resume}.".strip())
    with suppress(LabError):  # a lab that is read-only here
        write_launch(run, replace(launch, end=seen.end, message=died.message, hint=died.hint))
    return seen.end, died, False


def _stop_hint(run: RunDir) -> str:
    return f"End it: {run.verb} stop {run.id}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
