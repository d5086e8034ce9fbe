"""The jobs of a lab of all kinds: which are active, how long they will take, and what happened since the last poll."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from o1lab.chat.rounds.directory import RoundFolder
from o1lab.config import EventName
from o1lab.distill.run_directory import RunFolder
from o1lab.evaluate.run.directory import EvalFolder
from o1lab.jobs import spawn
from o1lab.jobs.directory import JobFolder, JobInfo, list_directories, matching
from o1lab.jobs.hook import event_of_end
from o1lab.paths import Lab
from o1lab.text import json_of
from o1lab.train.runs.directory import SPIKES, RunDir, RunStatus
from o1lab.train.runs.metrics_reader import time_left
from store.naming import resolved

Folder = JobFolder[Any, Any]


@dataclass(frozen=True)
class Activity:
    """The state of a job at one moment.

    Attributes:
        folder: its directory.
        info: its state.
        done, total: its steps, or its samples.
        seconds_left: the estimated time left; None if it is not known.
        spikes: the warning of loss spikes; empty without one.
    """

    folder: Folder
    info: JobInfo[Any, Any]
    done: int
    total: int
    seconds_left: float | None
    spikes: str = ""

    @property
    def key(self) -> Path:
        return self.folder.path

    def as_json(self) -> dict[str, Any]:
        job = json_of(self, "kind=folder.noun", "id=info.id", "name=info.name", "state=info.state")
        job |= json_of(self, "done", "total", "seconds_left", digits=1)
        return job | json_of(self.info.status, "message", "pid", "host")


@dataclass(frozen=True)
class JobEvent:
    """An event of a job, with its cause as a sentence; empty if the job finished."""

    event: EventName
    job: Activity
    cause: str = ""


def folders(lab: Lab) -> list[Folder]:
    """List the directories of all jobs: training runs, teacher runs, evaluations and rounds, each newest first."""
    spawn.reap()
    return [folder for parent, kind in _kinds(lab) for folder in list_directories(parent, kind)]


def _kinds(lab: Lab) -> Sequence[tuple[Path, type[Folder]]]:
    return (lab.runs, RunDir), (lab.distill, RunFolder), (lab.evals, EvalFolder), (lab.rounds, RoundFolder)


def find(lab: Lab, identity: str) -> Folder:
    """Return the job of any kind with this id or name, or the only one whose id begins with ``identity``.

    Raises:
        NotFoundError: there is none, or there are several.
    """
    found = [one for parent, kind in _kinds(lab) for one in matching(parent, identity, kind)]
    found = [one for one in found if one.id == identity] or found
    where = "`o1lab runs ls`, `o1lab distill ls`, `o1lab eval ls` and `o1lab compare ls` list them."
    return resolved(found, identity, "job", where)


def activity_of(folder: Folder) -> Activity:
    """Return the current state of a job."""
    info = folder.info()
    status = info.status
    if isinstance(folder, RunDir) and isinstance(status, RunStatus):
        left = time_left(folder.metrics, status.total_steps) if info.state == "running" else None
        spikes = next((one for one in status.warnings if one.startswith(SPIKES)), "")
        return Activity(folder, info, status.step, status.total_steps, left, spikes)
    left = status.seconds_left if info.state == "running" else None  # a paused job makes no progress
    return Activity(folder, info, status.done + status.failed, status.requested, left)


def running(lab: Lab) -> list[Activity]:
    """Return the active jobs, in :func:`order`."""
    return order([one for one in map(activity_of, folders(lab)) if one.info.active])


def order(jobs: Sequence[Activity]) -> list[Activity]:
    """Sort active jobs: those that run first, by the time left."""
    return sorted(jobs, key=lambda one: (one.info.state == "queued", one.seconds_left or math.inf))


@dataclass
class ActivityPoller:
    """Reads the jobs of a lab repeatedly and reports the events in between.

    The first poll reports no events. Jobs that have ended are read again only if their status is written again.
    """

    lab: Lab
    _seen: dict[Path, Activity] = field(default_factory=dict)
    _stamps: dict[Path, tuple[int, int]] = field(default_factory=dict)
    _first: bool = True

    def poll(self) -> tuple[list[Activity], list[JobEvent]]:
        """Return the active jobs in :func:`order`, and the events since the last poll."""
        now: dict[Path, Activity] = {}
        happened = []
        for folder in folders(self.lab):
            before, stamp = self._seen.get(folder.path), _stamp(folder)
            if before is not None and not before.info.active and self._stamps.get(folder.path) == stamp:
                now[folder.path] = before
                continue
            now[folder.path] = job = activity_of(folder)
            self._stamps[folder.path] = stamp
            if not self._first:
                happened += events_between(before, job)
        self._seen, self._first = now, False
        return order([one for one in now.values() if one.info.active]), happened


def events_between(before: Activity | None, now: Activity) -> list[JobEvent]:
    """Return the events of a job between two polls; ``before`` is None if the job is new."""
    found = []
    if now.spikes and now.spikes != (before.spikes if before else "") and now.info.active:
        found.append(JobEvent("spike", now, now.spikes.partition("The last: ")[2] or now.spikes))
    if before is None or before.info.active or before.info.status != now.info.status:
        event = event_of_end(now.info.state, now.info.status)
        if event is not None:
            found.append(JobEvent(event, now, "" if event == "finished" else now.info.status.message))
    return found


def _stamp(folder: Folder) -> tuple[int, int]:
    try:
        found = folder.status_file.stat()
    except OSError:
        return -1, -1
    return found.st_mtime_ns, found.st_size
