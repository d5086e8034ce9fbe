"""A teacher run's folder, LAB/distill/ID: the only contract between the job and whoever watches it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from o1lab.distill.settings import TeacherRunSettings

State = Literal["starting", "running", "paused", "stopping", "finished", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class Status:
    """What status.json says, replaced atomically.

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
    unverifiable: int = 0
    rejected: int = 0
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


@dataclass(frozen=True)
class RunFolder:
    """The paths of one teacher run, and its small files."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def settings_file(self) -> Path:
        return self.path / "settings.json"

    @property
    def prompts(self) -> Path:
        """The prompts' full texts as they were asked with."""
        return self.path / "prompts.json"

    @property
    def asked(self) -> Path:
        """Whom it asks, and under which terms."""
        return self.path / "asked.json"

    @property
    def status_file(self) -> Path:
        return self.path / "status.json"

    @property
    def agenda(self) -> Path:
        """The ids of the run's items, one a line, in their order: what a run is about does not change with the pool."""
        return self.path / "items.txt"

    @property
    def journal(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def lock(self) -> Path:
        """flock: one process a run."""
        return self.path / "control" / "lock"

    @property
    def stop_file(self) -> Path:
        """Asking to stop is creating this file; calls in flight are waited for."""
        return self.path / "control" / "stop"

    @property
    def pause_file(self) -> Path:
        """While it is there no new call is made."""
        return self.path / "control" / "pause"

    def settings(self) -> TeacherRunSettings:
        return TeacherRunSettings.model_validate_json(self.settings_file.read_text("utf-8"))

    def status(self) -> Status | None:
        """The last status, or None before the first; unknown keys are passed over."""
        try:
            values = json.loads(self.status_file.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(values, dict) or "state" not in values:
            return None
        return Status(**{name: value for name, value in values.items() if name in Status.__dataclass_fields__})

    def write_status(self, status: Status) -> None:
        write_json(self.status_file, asdict(status), durable=False)  # twice a second, and worth nothing later


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[IO[str]]:
    """Replace a file in one step: a reader sees the old or the new one, whole.

    ``durable``: also after a power cut, so the file and its name are on the disk on leaving.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        yield file
        if durable:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)
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
