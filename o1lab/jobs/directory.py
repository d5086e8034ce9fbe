"""A job's directory: the only interface between a job and the programs that watch it.

It works on network file systems, under Slurm, and after the watching program has ended. Everything is plain files: JSON
that is replaced atomically, ``control/stop`` and ``control/pause`` for requests, ``about.json`` for a name and notes.
Training runs, teacher runs and evaluations each declare a subclass of :class:`JobFolder` and of :class:`JobStatus`.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, TypeVar, cast

from pydantic import BaseModel, Field

from o1lab.errors import LabError, UsageError
from o1lab.files import write_json
from o1lab.jobs.about import About, id_of_name, read_about
from o1lab.jobs.lock import exclusive_lock, holder
from o1lab.jobs.log import cause_of_death, hook_fault, log_tail
from o1lab.paths import Lab, PathIn
from o1lab.process import is_alive
from o1lab.small_files import UnreadableError, read_json
from store.naming import resolved

ACTIVE = ("queued", "starting", "running", "paused", "stopping")
_UNREADABLE = "unreadable: "
HEARTBEAT_S = 2.0
"""Seconds between two heartbeats of a running job."""
STALE_S = 12.0
"""A heartbeat older than this is stale: several beats are missing, not just one because of a slow disk."""

Count = Annotated[int, Field(ge=0, le=10**100)]  # a float can hold it
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Moment = Annotated[float, Field(ge=0, lt=253_402_300_800, allow_inf_nan=False)]
"""Seconds since the epoch, up to the year 9999."""
Pid = Annotated[int, Field(ge=1, lt=2**31)]


@dataclass(frozen=True, slots=True)
class JobStatus:
    """The content of status.json that all jobs share. Times are seconds since the epoch."""

    state: str
    pid: Pid | None = None
    pid_started: Moment | None = None
    host: str = ""
    heartbeat: Moment = 0.0
    message: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class CountedStatus(JobStatus):
    """The status of a job that asks models.

    Attributes:
        requested, done, correct, incorrect, failed: numbers of samples.
        in_flight, retries: numbers of calls.
        priced: whether the prices that ``cost_usd`` needs are known.
        faults: number of errors of all attempts, by code.
        notes: sentences for people.
        stopped_by: the reason why the job stopped, such as ``budget_usd``.
    """

    requested: Count = 0
    done: Count = 0
    correct: Count = 0
    incorrect: Count = 0
    failed: Count = 0
    in_flight: Count = 0
    retries: Count = 0
    input_tokens: Count = 0
    output_tokens: Count = 0
    cost_usd: Amount = 0.0
    priced: bool = False
    faults: dict[str, Count] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    started_at: Moment = 0.0
    seconds_left: Amount | None = None
    stopped_by: str | None = None


StatusT = TypeVar("StatusT", bound=JobStatus)
SettingsT = TypeVar("SettingsT")


@dataclass(frozen=True, slots=True)
class JobInfo(Generic[StatusT, SettingsT]):
    """A job with its state, for lists.

    Attributes:
        state: the state of its status; ``stopping`` if it is active and was asked to stop, until it has stopped;
            ``dead`` if its process is gone without a final status.
        heartbeat_age_s: seconds since the last heartbeat; None if there was none.
        settings: the job's settings; None if they cannot be read or the kind has none.
        stale: whether the heartbeat of an active job is old. On another host, nothing more can be determined.
        name, notes, tags, archived: set by the user.
        unreadable: the damaged file and what is wrong with it; empty if none is damaged.
        hook_fault: the error of the last call of the lab's hook for it; empty without one.
    """

    id: str
    state: str
    status: StatusT
    heartbeat_age_s: float | None
    settings: SettingsT | None = None
    stale: bool = False
    name: str = ""
    notes: tuple[str, ...] = ()
    unreadable: str = ""
    tags: tuple[str, ...] = ()
    archived: bool = False
    hook_fault: str = ""

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


class FileIn(PathIn):
    """A file of a job's directory, as an attribute of the directory."""

    folder = "path"


@dataclass(frozen=True)
class JobFolder(Generic[StatusT, SettingsT]):
    """The paths of one job and access to its small files.

    A kind of job sets the class variables: ``noun`` is the word for one job in messages, ``verb`` its group of
    commands, ``marker`` the file that completes a job's directory, ``own_files`` those that only a job has, and
    ``created_file`` a file that never changes.
    """

    path: Path
    noun: ClassVar[str]
    verb: ClassVar[str]
    status_type: ClassVar[type[JobStatus]]
    settings_type: ClassVar[type[BaseModel] | None] = None
    marker: ClassVar[str] = "settings.json"
    own_files: ClassVar[tuple[str, ...]] = ("settings.json", "status.json")
    created_file: ClassVar[str] = "settings.json"

    @cached_property
    def id(self) -> str:
        return self.path.name

    @property
    def lab(self) -> Lab:
        """The lab that the job belongs to."""
        return Lab(self.path.parent.parent)

    @property
    def resume_hint(self) -> str:
        """The command that continues the job, as a hint for messages."""
        return f"Resume with: {self.verb} resume {self.id}"

    settings_file = FileIn("settings.json", "Its settings, all defaults written out.")
    status_file = FileIn("status.json", "State, heartbeat, progress, and what went wrong; replaced every few seconds.")
    about_file = FileIn("about.json", "The name, notes and tags that the user gave it, and whether it is archived.")
    about_lock = FileIn("control/about.lock", "Locked while a program changes about.json.")
    log = FileIn("log.txt", "What its process printed.")
    hooks_file = FileIn("hooks.jsonl", "The results of calls of the lab's hook for it.")
    stop_file = FileIn("control/stop", "Creating this file asks the job to stop, also from another machine.")
    pause_file = FileIn("control/pause", "The job makes no new call while this file exists.")
    lock_file = FileIn("control/lock", "Locked by the process that works on the job.")

    def settings(self) -> SettingsT:
        """The job's settings.

        Raises:
            UnreadableError: they cannot be read, for example because a plugin that they name is not installed.
        """
        assert self.settings_type is not None  # noqa: S101 - kinds without settings do not call this
        return cast(SettingsT, read_json(self.settings_file, self.settings_type))

    def status_of(self, values: Mapping[str, Any]) -> StatusT:
        """Make a status from its values; unknown names are ignored."""
        known = {name: value for name, value in values.items() if name in self.status_type.__dataclass_fields__}
        return cast(StatusT, self.status_type(**known))

    def status(self) -> StatusT | None:
        """Return the last status; None if it cannot be read."""
        try:
            return cast(StatusT, read_json(self.status_file, self.status_type))
        except UnreadableError:
            return None

    def read_status(self) -> StatusT:
        """Return the last status; if it cannot be read, a status ``failed`` with a message."""
        try:
            return cast(StatusT, read_json(self.status_file, self.status_type))
        except UnreadableError as error:
            return self.status_of({"state": "failed", "message": _UNREADABLE + error.brief, "hint": error.hint})

    def write_status(self, status: StatusT) -> None:
        write_json(self.status_file, asdict(status), durable=False)  # frequent, and useless after a power cut

    def info(self, *, now: float | None = None) -> JobInfo[StatusT, SettingsT]:
        """Return the job's state, including ``dead``, with its status and settings.

        Args:
            now: seconds since the epoch, instead of the current time.
        """
        status = self.read_status()
        moment = time.time() if now is None else now
        age = max(moment - status.heartbeat, 0.0) if status.heartbeat else None
        state, stale = status.state, False
        if state in ACTIVE:
            state, status, stale = self.judged(status, stale=age is None or age > STALE_S)
            if state in ACTIVE and self.stop_file.exists():
                state = "stopping"
        faults = [status.message.removeprefix(_UNREADABLE)] if status.message.startswith(_UNREADABLE) else []
        settings, about = None, About()
        try:
            settings = self.settings() if self.settings_type is not None else None
        except UnreadableError as error:
            faults.append(error.brief)
        try:
            about = self.about()
        except UnreadableError as error:
            faults.append(error.brief)
        described = (
            about.name,
            tuple(note.text for note in about.notes),
            "; ".join(faults),
            about.tags,
            about.archived,
        )
        return JobInfo(self.id, state, status, age, settings, stale, *described, self.hook_fault())

    def judged(self, status: StatusT, *, stale: bool) -> tuple[str, StatusT, bool]:
        """Return the state of a job whose status is active.

        Args:
            status: its status.
            stale: whether its heartbeat is old.

        Returns:
            Its state, its status, and whether the heartbeat is old and nothing more is known.
        """
        if not _is_gone(status, stale=stale):
            return status.state, status, stale
        status = self.read_status()  # it may have ended regularly between reading and checking
        if status.state not in ACTIVE:
            return status.state, status, False
        return "dead", self.explain_death(status), stale

    def explain_death(self, status: StatusT) -> StatusT:
        """Return the status of a dead job: the message says what ended it, the hint what to do."""
        message, hint = cause_of_death(self.log, status.heartbeat)
        return replace(status, message=message, hint=f"{hint} {self.resume_hint}.".strip())

    def about(self) -> About:
        """Return the name, notes and tags that the user gave the job.

        Raises:
            UnreadableError: about.json is damaged.
        """
        return read_about(self.about_file)

    def is_job(self) -> bool:
        """Whether this is the directory of a job, complete or damaged."""
        if os.path.lexists(self.path / self.marker):
            return True
        try:
            age = time.time() - self.path.stat().st_mtime
        except OSError:
            return False
        return age > STALE_S and any(os.path.lexists(self.path / name) for name in self.own_files)

    def created_at(self) -> float:
        """Return when the job was created, in seconds since the epoch."""
        return created_at(self.path, self.created_file)

    def log_tail(self, lines: int = 40) -> list[str]:
        """Return the last lines of log.txt."""
        return log_tail(self.log, lines)

    def hook_fault(self) -> str:
        """Return the error of the last call of the lab's hook; empty without one."""
        return hook_fault(self.hooks_file)

    def ask_to_stop(self) -> None:
        """Create the stop file.

        Raises:
            LabError: the directory cannot be written.
        """
        self._touch(self.stop_file, "stop")

    def ask_to_pause(self) -> None:
        """Create the pause file; raises like :meth:`ask_to_stop`."""
        self._touch(self.pause_file, "pause")

    def _touch(self, file: Path, action: str) -> None:
        try:
            file.parent.mkdir(exist_ok=True)
            file.touch()
        except OSError as error:
            raise LabError(
                f"Cannot ask the {self.noun} to {action}: {error.strerror}.", f"Create {file} yourself."
            ) from error

    def clear_control_files(self) -> None:
        """Delete all requests to stop or pause.

        Raises:
            LabError: the directory cannot be written.
        """
        for file in (self.stop_file, self.pause_file):
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                raise LabError(
                    f"Cannot resume the {self.noun}: {error.strerror}.", f"Delete {file} yourself."
                ) from error

    def exclusive_lock(self) -> AbstractContextManager[bool]:
        """Lock the job for a block, which gets False if another process has the lock."""
        return exclusive_lock(self.lock_file)

    def locked(self, action: str) -> UsageError:
        """Return the error for a lock that another process has.

        Args:
            action: what that process is doing with the job, such as ``running``.
        """
        return UsageError(
            f"{holder(self.lock_file)} is {action} the {self.noun} {self.id}.",
            f"Wait until it has ended, or stop it: {self.verb} stop {self.id}.",
        )


FolderT = TypeVar("FolderT", bound=JobFolder[Any, Any])


def _is_gone(status: JobStatus, *, stale: bool) -> bool:
    """Whether the process of an active job has ended, or was never started. Unknown for other hosts."""
    if status.host != socket.gethostname():
        return False
    return stale if status.pid is None else not is_alive(status.pid, status.pid_started)


def created_at(path: Path, file: str) -> float:
    """Return when a job's directory was created (by a file in it that is written once), in seconds since the epoch."""
    try:
        return (path / file).stat().st_mtime
    except OSError:
        pass
    try:
        return path.stat().st_ctime
    except OSError:
        return time.time()  # it is being created or removed right now


def list_directories(parent: Path, kind: type[FolderT]) -> list[FolderT]:
    """List the jobs of a kind below ``parent``, the newest first. Hidden directories are skipped.

    A directory without its marker is a damaged job, unless it is new: then it is being created.
    """
    try:
        found = [kind(path) for path in parent.iterdir() if not path.name.startswith(".")]
    except OSError:
        return []
    return sorted((one for one in found if one.is_job()), key=lambda one: one.created_at(), reverse=True)


def matching(parent: Path, identity: str, kind: type[FolderT]) -> list[FolderT]:
    """Return the job with this id or name; else those whose ids begin with ``identity``."""
    jobs = list_directories(parent, kind) if identity else []
    found = [job for job in jobs if job.id == identity]
    if not found and (named := id_of_name(parent, identity)) is not None:
        found = [job for job in jobs if job.id == named]
    return found or [job for job in jobs if job.id.startswith(identity)]


def find_directory(parent: Path, identity: str, kind: type[FolderT]) -> FolderT:
    """Return the job with this id or name, or the only one whose id begins with ``identity``.

    Raises:
        NotFoundError: there is none, or there are several.
    """
    return resolved(matching(parent, identity, kind), identity, kind.noun, f"`{kind.verb} ls` lists them.")
