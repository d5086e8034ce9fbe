"""A job's folder, the only contract between the job and whoever watches it; a teacher run's is LAB/distill/ID."""

from __future__ import annotations

import json
import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, ClassVar, Generic, Literal, TypeVar

from o1lab.distill.settings import TeacherRunSettings

State = Literal["starting", "running", "paused", "stopping", "finished", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class JobStatus:
    """What status.json says of any job that asks models, replaced atomically.

    Times are seconds since the epoch. ``requested`` counts samples. ``priced`` is whether the prices are known that
    ``cost_usd`` needs. ``faults`` counts every fault of every try by its code; ``notes`` are sentences for a person.
    """

    state: State
    pid: int | None = None
    pid_started: float | None = None
    host: str = ""
    heartbeat: float = 0.0
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
    message: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class TeacherRunStatus(JobStatus):
    """What the status of a teacher run says beside."""

    unverifiable: int = 0
    rejected: int = 0


StatusT = TypeVar("StatusT", bound=JobStatus)
SettingsT = TypeVar("SettingsT")


@dataclass(frozen=True)
class JobFolder(Generic[StatusT, SettingsT]):
    """The paths of one job, and its small files.

    ``noun`` is what a person calls the job, ``verb`` the command that begins it, resumes it and shows it.
    """

    path: Path
    noun: ClassVar[str]
    verb: ClassVar[str]

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def again(self) -> str:
        """How to go on with it."""
        return f"Go on with: {self.verb} --resume {self.id}"

    @property
    def settings_file(self) -> Path:
        return self.path / "settings.json"

    @property
    def status_file(self) -> Path:
        return self.path / "status.json"

    @property
    def journal(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def lock(self) -> Path:
        """flock: one process a job."""
        return self.path / "control" / "lock"

    @property
    def stop_file(self) -> Path:
        """Asking to stop is creating this file; calls in flight are waited for."""
        return self.path / "control" / "stop"

    @property
    def pause_file(self) -> Path:
        """While it is there no new call is made."""
        return self.path / "control" / "pause"

    @abstractmethod
    def settings(self) -> SettingsT:
        """How it asks.

        Raises:
            OSError, ValueError: they cannot be read.
        """

    @abstractmethod
    def status_of(self, values: Mapping[str, Any]) -> StatusT:
        """The status with these values; unknown names are passed over."""

    def status(self) -> StatusT | None:
        """The last status, or None before the first."""
        try:
            values = json.loads(self.status_file.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(values, dict) or "state" not in values:
            return None
        return self.status_of(values)

    def write_status(self, status: StatusT) -> None:
        write_json(self.status_file, asdict(status), durable=False)  # twice a second, and worth nothing later


@dataclass(frozen=True)
class RunFolder(JobFolder[TeacherRunStatus, TeacherRunSettings]):
    """The folder of one teacher run."""

    noun = "teacher run"
    verb = "o1lab distill"

    @property
    def prompts(self) -> Path:
        """The prompts' full texts as they were asked with."""
        return self.path / "prompts.json"

    @property
    def asked(self) -> Path:
        """Whom it asks, and under which terms."""
        return self.path / "asked.json"

    @property
    def agenda(self) -> Path:
        """The ids of the run's items, one a line, in their order: what a run is about does not change with the pool."""
        return self.path / "items.txt"

    def settings(self) -> TeacherRunSettings:
        return TeacherRunSettings.model_validate_json(self.settings_file.read_text("utf-8"))

    def status_of(self, values: Mapping[str, Any]) -> TeacherRunStatus:
        return TeacherRunStatus(**known(TeacherRunStatus, values))


def known(kind: type[JobStatus], values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of ``values`` that this kind of status has."""
    return {name: value for name, value in values.items() if name in kind.__dataclass_fields__}


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[IO[str]]:
    """Replace a file in one step: a reader sees the old or the new one, whole. Whatever fails leaves the old one alone.

    ``durable``: also after a power cut, so the file and its name are on the disk on leaving.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_json(path: Path, values: Mapping[str, Any], *, durable: bool = True) -> None:
    """Replace a JSON file as :func:`replacing` does."""
    with replacing(path, durable=durable) as file:
        file.write(json.dumps(dict(values), ensure_ascii=False, indent=1))
