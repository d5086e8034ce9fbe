"""A job's directory: the only interface between a job and the programs that watch it.

It works on network file systems, under Slurm, and after the watching program has ended. Everything is plain files: JSON
that is replaced atomically, ``control/stop`` and ``control/pause`` for requests, ``about.json`` for a name and notes.
Training runs, teacher runs and evaluations each declare a subclass of :class:`JobFolder` and of :class:`JobStatus`.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast

from pydantic import BaseModel

from o1lab.errors import LabError, NotFoundError
from o1lab.files import write_json
from o1lab.process import is_alive

ACTIVE = ("queued", "starting", "running", "paused", "stopping")
FINAL = ("finished", "failed", "stopped")
HEARTBEAT_S = 2.0
"""Seconds between two heartbeats of a running job."""
STALE_S = 12.0
"""A heartbeat older than this is stale: several beats are missing, not just one because of a slow disk."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """The content of status.json that all jobs share. Times are seconds since the epoch."""

    state: str
    pid: int | None = None
    pid_started: float | None = None
    host: str = ""
    heartbeat: float = 0.0
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

    requested: int = 0
    done: int = 0
    correct: int = 0
    incorrect: int = 0
    failed: int = 0
    in_flight: int = 0
    retries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    priced: bool = False
    faults: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    started_at: float = 0.0
    seconds_left: float | None = None
    stopped_by: str | None = None


StatusT = TypeVar("StatusT", bound=JobStatus)
SettingsT = TypeVar("SettingsT")


@dataclass(frozen=True, slots=True)
class JobInfo(Generic[StatusT, SettingsT]):
    """A job with its state, for lists.

    Attributes:
        state: the state of its status, or ``dead`` if the status says that it is active but its process is gone.
        heartbeat_age_s: seconds since the last heartbeat; None if there was none.
        settings: the job's settings; None if they cannot be read or the kind has none.
        stale: whether the heartbeat of an active job is old. On another host, nothing more can be determined.
        name, notes: set by the user.
    """

    id: str
    state: str
    status: StatusT
    heartbeat_age_s: float | None
    settings: SettingsT | None = None
    stale: bool = False
    name: str = ""
    notes: tuple[str, ...] = ()

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


@dataclass(frozen=True)
class JobFolder(Generic[StatusT, SettingsT]):
    """The paths of one job and access to its small files.

    A kind of job sets the class variables: ``noun`` is the word for one job in messages, ``verb`` its group of
    commands, ``marker`` the file that identifies a job's directory, ``created_file`` a file that never changes.
    """

    path: Path
    noun: ClassVar[str]
    verb: ClassVar[str]
    status_type: ClassVar[type[JobStatus]]
    settings_type: ClassVar[type[BaseModel] | None] = None
    marker: ClassVar[str] = "settings.json"
    created_file: ClassVar[str] = "settings.json"
    lock_name: ClassVar[str] = "lock"

    @cached_property
    def id(self) -> str:
        return self.path.name

    @property
    def resume_hint(self) -> str:
        """The command that continues the job, as a hint for messages."""
        return f"Resume with: {self.verb} resume {self.id}"

    @cached_property
    def settings_file(self) -> Path:
        return self.path / "settings.json"

    @cached_property
    def status_file(self) -> Path:
        return self.path / "status.json"

    @cached_property
    def about_file(self) -> Path:
        """The name and the notes that the user gave it."""
        return self.path / "about.json"

    @cached_property
    def log(self) -> Path:
        return self.path / "log.txt"

    @cached_property
    def stop_file(self) -> Path:
        """Creating this file asks the job to stop. It works across hosts, where a signal does not."""
        return self.path / "control" / "stop"

    @cached_property
    def pause_file(self) -> Path:
        """The job makes no new call while this file exists."""
        return self.path / "control" / "pause"

    def settings(self) -> SettingsT:
        """The job's settings.

        Raises:
            OSError, ValueError: they cannot be read.
        """
        assert self.settings_type is not None  # noqa: S101 - kinds without settings do not call this
        return cast(SettingsT, self.settings_type.model_validate_json(self.settings_file.read_text("utf-8")))

    def status_of(self, values: Mapping[str, Any]) -> StatusT:
        """Make a status from its values; unknown names are ignored.

        Raises:
            TypeError: ``state`` is missing.
        """
        known = {name: value for name, value in values.items() if name in self.status_type.__dataclass_fields__}
        return cast(StatusT, self.status_type(**known))

    def status(self) -> StatusT | None:
        """Return the last status; None if it cannot be read."""
        try:
            return self._read_status()
        except (OSError, ValueError, TypeError):
            return None

    def read_status(self) -> StatusT:
        """Return the last status; if it cannot be read, a status ``failed`` with a message."""
        try:
            return self._read_status()
        except (OSError, ValueError, TypeError) as error:
            return self.status_of({"state": "failed", "message": f"status.json cannot be read: {error}."})

    def _read_status(self) -> StatusT:
        values = json.loads(self.status_file.read_text("utf-8"))
        if not isinstance(values, dict) or not isinstance(values.get("state"), str):
            raise ValueError("it has no state")  # noqa: TRY004 - one kind of error for unreadable files
        return self.status_of(values)

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
            stale = age is None or age > STALE_S
            if _is_gone(status, stale=stale):
                status = self.read_status()  # it may have ended regularly between reading and checking
                state, stale = status.state, stale and status.state in ACTIVE
                if state in ACTIVE:
                    state, status = "dead", self.explain_death(status)
        name, notes = self.about()
        return JobInfo(self.id, state, status, age, self._settings_or_none(), stale, name, notes)

    def explain_death(self, status: StatusT) -> StatusT:
        """Return the status to show for a dead job; a kind may add a message and a hint."""
        return status

    def _settings_or_none(self) -> SettingsT | None:
        if self.settings_type is None:
            return None
        try:
            return self.settings()
        except (OSError, ValueError):
            return None

    def about(self) -> tuple[str, tuple[str, ...]]:
        """Return (name, notes) that the user gave the job, each empty by default."""
        return read_about(self.about_file)

    def created_at(self) -> float:
        """Return when the job was created, in seconds since the epoch."""
        return created_at(self.path, self.created_file)

    def log_tail(self, lines: int = 40, *, limit: int = 65_536) -> list[str]:
        """Return the last lines of log.txt.

        Args:
            lines: maximum number of lines.
            limit: maximum number of bytes to read from the end of the file.
        """
        try:
            with self.log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(size - limit, 0))
                text = file.read(limit).decode("utf-8", "replace")
        except OSError:
            return []
        # A progress bar rewrites its line; only the last content is shown.
        found = [line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n")]
        if found and not found[-1]:
            found.pop()
        return found[-lines:]

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

    @contextmanager
    def exclusive_lock(self) -> Iterator[bool]:
        """Lock the job for the block.

        The operating system releases the lock when the process ends. If locks cannot be used (full disk, file system
        without locks), the block runs as if the job were locked.

        Yields:
            False if another process has the lock.
        """
        with ExitStack() as stack:
            ours = True
            try:
                self.stop_file.parent.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context((self.stop_file.parent / self.lock_name).open("a"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                ours = False
            except OSError:
                pass
            yield ours

    def read_json(self, path: Path) -> dict[str, Any]:
        """Read a small JSON file of the job; empty if it is missing or not a JSON object."""
        return read_json(path)


FolderT = TypeVar("FolderT", bound=JobFolder[Any, Any])


def read_json(path: Path) -> dict[str, Any]:
    """Read a small JSON file; empty if it is missing or not a JSON object."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_about(path: Path) -> tuple[str, tuple[str, ...]]:
    """Return (name, notes) in an about.json, each empty by default."""
    values = read_json(path)
    name, notes = values.get("name"), values.get("notes")
    texts = [note.get("text") for note in notes if isinstance(note, dict)] if isinstance(notes, list) else []
    return name if isinstance(name, str) else "", tuple(text for text in texts if isinstance(text, str))


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


def id_of_name(parent: Path, name: str) -> str | None:
    """Return the id of the job below ``parent`` that has this name; None if there is none."""
    for path in parent.glob("*/about.json") if name else ():
        if not path.parent.name.startswith(".") and read_about(path)[0] == name:
            return path.parent.name
    return None


def list_directories(parent: Path, kind: type[FolderT]) -> list[FolderT]:
    """List the jobs of a kind below ``parent``, the newest first. Hidden directories are skipped."""
    try:
        paths = [path for path in parent.iterdir() if not path.name.startswith(".")]
    except OSError:
        return []
    found = [kind(path) for path in paths if (path / kind.marker).is_file()]
    return sorted(found, key=lambda one: one.created_at(), reverse=True)


def find_directory(parent: Path, identity: str, kind: type[FolderT]) -> FolderT:
    """Return the job with this id or name, or the only one whose id begins with ``identity``.

    Raises:
        NotFoundError: there is none, or there are several.
    """
    jobs = list_directories(parent, kind) if identity else []
    found = [job for job in jobs if job.id == identity]
    if not found and (named := id_of_name(parent, identity)) is not None:
        found = [job for job in jobs if job.id == named]
    found = found or [job for job in jobs if job.id.startswith(identity)]
    if len(found) != 1:
        raise NotFoundError(
            f"{f'Several {kind.noun}s begin' if found else f'No {kind.noun} begins'} with '{identity}'.",
            f"`{kind.verb} ls` lists them.",
        )
    return found[0]
