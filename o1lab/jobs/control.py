"""Jobs as a person handles them, whatever they ask for: look, find, pause, stop, go on, start in a process."""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from o1lab.errors import LabError, NotFoundError, UsageError
from o1lab.inference import journal
from o1lab.jobs.directory import JobFolder, JobStatus, SettingsT, StatusT
from o1lab.train.run_directory import STALE_S, process_lives

ACTIVE = ("starting", "running", "paused", "stopping")
FolderT = TypeVar("FolderT", bound=JobFolder[Any, Any])


@dataclass(frozen=True, slots=True)
class JobInfo(Generic[StatusT, SettingsT]):
    """A job as a watcher should show it. ``state`` is the status' state, or ``dead``."""

    id: str
    state: str
    status: StatusT
    settings: SettingsT | None
    heartbeat_age_s: float | None

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


@dataclass
class FaultCount:
    """How often one fault came, with the last sentence and the last raw response."""

    code: str
    number: int = 0
    sentence: str = ""
    key: str = ""
    raw: str = ""


def snapshot(folder: JobFolder[StatusT, SettingsT], *, now: float | None = None) -> JobInfo[StatusT, SettingsT]:
    """How a job stands, ``dead`` included: its process is gone. Of another host only the heartbeat tells."""
    status = folder.status() or folder.status_of({"state": "failed", "message": "status.json cannot be read."})
    age = max(0.0, (time.time() if now is None else now) - status.heartbeat) if status.heartbeat else None
    state: str = status.state
    if state in ACTIVE and _gone(status, age):
        status = folder.status() or status  # it may have ended properly between our two looks
        state = "dead" if status.state in ACTIVE else status.state
    try:
        settings = folder.settings()
    except (OSError, ValueError):
        settings = None
    return JobInfo(folder.id, state, status, settings, age)


def _gone(status: JobStatus, age: float | None) -> bool:
    """Whether a job that says it works does not: its process is not there, or never began."""
    if status.host != socket.gethostname():
        return False
    if status.pid is None:
        return age is None or age > STALE_S
    return not process_lives(status.pid, status.pid_started)


def find(parent: Path, identity: str, make: Callable[[Path], FolderT]) -> FolderT:
    """The job below ``parent`` with this id, or the only one whose id begins so.

    Raises:
        NotFoundError: there is none, or there are several.
    """
    folders = sorted(path for path in parent.glob("*") if (path / "settings.json").is_file())
    found = [path for path in folders if identity and path.name.startswith(identity)]
    exact = [path for path in found if path.name == identity] or found
    if len(exact) != 1:
        about = make(parent)
        raise NotFoundError(
            f"{f'Several {about.noun}s begin' if found else f'No {about.noun} begins'} with '{identity}'.",
            f"`{about.verb} ls` lists them.",
        )
    return make(exact[0])


def ensure_not_running(now: JobInfo[Any, Any], folder: JobFolder[Any, Any]) -> None:
    """See that nobody works on a job that is to go on.

    Raises:
        UsageError: somebody does.
    """
    if now.active and now.status.pid is not None:
        raise UsageError(
            f"The {folder.noun} {folder.id} is {now.state} already.",
            f"Let it go on: {folder.verb} go-on {folder.id}" if now.state == "paused" else "Stop it first.",
        )


def clear_control_files(folder: JobFolder[Any, Any]) -> None:
    """Take back what the control files ask for."""
    folder.stop_file.unlink(missing_ok=True)
    folder.pause_file.unlink(missing_ok=True)


def ask(folder: JobFolder[StatusT, SettingsT], file: Path) -> JobInfo[StatusT, SettingsT]:
    """Ask a job for something by creating a control file of its; how it stood then.

    Raises:
        UsageError: it has ended already.
        LabError: the folder cannot be written.
    """
    now = snapshot(folder)
    if not now.active:
        raise UsageError(
            f"The {folder.noun} {folder.id} is {now.state}, not running.", f"See `{folder.verb} show {folder.id}`."
        )
    try:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    except OSError as error:
        raise LabError(f"Cannot ask the {folder.noun}: {error.strerror}.", f"Create {file} yourself.") from error
    return now


def go_on(folder: JobFolder[StatusT, SettingsT]) -> JobInfo[StatusT, SettingsT]:
    """Let a paused job make calls again; how it stands.

    Raises:
        UsageError: nobody works on it.
        LabError: the folder cannot be written.
    """
    now = snapshot(folder)
    if not now.active:
        hint = f"See `{folder.verb} show {folder.id}`." if now.state == "finished" else folder.again
        raise UsageError(f"The {folder.noun} {folder.id} is {now.state}: nobody works on it.", hint)
    try:
        folder.pause_file.unlink(missing_ok=True)
    except OSError as error:
        raise LabError(
            f"Cannot tell the {folder.noun}: {error.strerror}.", f"Delete {folder.pause_file} yourself."
        ) from error
    return snapshot(folder)


def faults(path: Path) -> list[FaultCount]:
    """What went wrong in a journal, by code, the most frequent first: every try counts."""
    found: dict[str, FaultCount] = {}
    for _, response in journal.read(path, only=b'"fault"'):
        if response.fault is not None:
            one = found.setdefault(response.fault.code, FaultCount(response.fault.code))
            one.number += 1
            one.sentence, one.key, one.raw = response.fault.sentence, str(response.key), response.raw
    return sorted(found.values(), key=lambda one: -one.number)


def launch(folder: JobFolder[Any, Any], module: str, *words: str) -> int:
    """Work on a job in a process of its own that outlives this one; its pid.

    Raises:
        LabError: the process or its log cannot be started.
    """
    command = [sys.executable, "-P", "-m", module, str(folder.path), *words]
    try:
        with folder.log.open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=folder.path
            )
    except OSError as error:
        raise LabError(f"Cannot start the {folder.noun}: {error.strerror}.", "Check the disk and memory.") from error
    _children.append(process)
    return process.pid


# Workers that this process started: polled now and then, so that a finished one is no zombie.
_children: list[subprocess.Popen[bytes]] = []


def reap() -> None:
    """Let go of the workers of this process that have ended."""
    _children[:] = [child for child in _children if child.poll() is None]


def new_id(parent: Path) -> str:
    """An id that no job below ``parent`` has."""
    while (parent / (made := secrets.token_hex(4))).exists():
        pass
    return made
