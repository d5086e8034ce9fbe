"""The run directory: the only contract between a training job and whoever watches it.

It works on a network file system, under Slurm, and after the watcher died. Everything here is plain files:
JSON replaced atomically, JSON lines appended, a ``control/stop`` file to ask for the end. Nothing imports torch.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from o1lab.errors import LabError, NotFoundError
from o1lab.paths import Lab

ACTIVE = ("queued", "starting", "running", "stopping")
FINAL = ("finished", "failed", "stopped")
HEARTBEAT_S = 2.0
# A heartbeat older than this is stale: several missed beats, not one slow disk.
STALE_S = 12.0
_STEP = "step-"
_AFTER_DEATH = "Go on with `o1lab runs resume {id}`. If memory ran out, train anew with a lower batch_size."
# For children that load models: no progress bars in a log, nothing held back in a buffer.
QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    "PYTHONUNBUFFERED": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass(frozen=True, slots=True)
class RunStatus:
    """What status.json says. Times are seconds since the epoch. ``after``: the run that this one waits for."""

    state: str
    pid: int | None = None
    host: str = ""
    heartbeat: float = 0.0
    step: int = 0
    total_steps: int = 0
    message: str = ""
    hint: str = ""
    pid_started: float | None = None
    device: str = ""
    dtype: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class RunState:
    """A run as a watcher should show it: its status, and whether anybody still works on it.

    ``state`` is the status' state, or ``dead``. ``stale`` alone means that another host has been silent.
    """

    id: str
    state: str
    status: RunStatus
    heartbeat_age_s: float | None
    stale: bool = False

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


@dataclass(frozen=True)
class RunDir:
    """The paths of one run, and reading and writing of its small files."""

    path: Path
    id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", self.path.name)

    @cached_property
    def recipe(self) -> Path:
        return self.path / "recipe.yaml"

    @cached_property
    def dataset(self) -> Path:
        return self.path / "dataset.json"

    @cached_property
    def data(self) -> Path:
        """The rows to learn, {trace_id, prompt, thought, solution} a line: the worker never opens lab.db."""
        return self.path / "data.jsonl"

    @cached_property
    def command(self) -> Path:
        return self.path / "command.txt"

    @cached_property
    def env(self) -> Path:
        return self.path / "env.json"

    @cached_property
    def status_file(self) -> Path:
        return self.path / "status.json"

    @cached_property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @cached_property
    def samples(self) -> Path:
        return self.path / "samples.jsonl"

    @cached_property
    def log(self) -> Path:
        return self.path / "log.txt"

    @cached_property
    def stop_file(self) -> Path:
        return self.path / "control" / "stop"

    @cached_property
    def checkpoints_dir(self) -> Path:
        return self.path / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints_dir / f"{_STEP}{step}"

    def checkpoints(self) -> list[Path]:
        """The saved checkpoints by step; one that is still being written is not among them."""
        found = [
            path
            for path in self.checkpoints_dir.glob(f"{_STEP}*")
            if path.name.removeprefix(_STEP).isdigit() and (path / "adapter_config.json").is_file()
        ]
        return sorted(found, key=checkpoint_step)

    def read_status(self) -> RunStatus:
        """What status.json says; a run without a readable one is ``failed`` with a message."""
        try:
            found = json.loads(self.status_file.read_text("utf-8"))
            known = {name: found[name] for name in RunStatus.__dataclass_fields__ if name in found}
            return RunStatus(**known)
        except (OSError, ValueError, TypeError) as error:
            return RunStatus("failed", message=f"status.json cannot be read: {error}.")

    def write_status(self, status: RunStatus) -> None:
        write_json(self.status_file, asdict(status))

    def state(self, *, now: float | None = None) -> RunState:
        """The run's state, ``dead`` included. ``now``: seconds since the epoch."""
        status = self.read_status()
        moment = time.time() if now is None else now
        age = max(moment - status.heartbeat, 0.0) if status.heartbeat else None
        if status.state not in ACTIVE:
            return RunState(self.id, status.state, status, age)
        stale = age is None or age > STALE_S
        if stale and status.host == socket.gethostname() and not process_lives(status.pid, status.pid_started):
            latest = self.read_status()  # it may have ended properly between our two looks
            if latest.state not in ACTIVE:
                return RunState(self.id, latest.state, latest, age)
            told = replace(latest, message=self.cause_of_death(), hint=_AFTER_DEATH.format(id=self.id))
            return RunState(self.id, "dead", told, age, stale=True)
        return RunState(self.id, status.state, status, age, stale=stale)

    def cause_of_death(self) -> str:
        """One sentence for a run whose process is gone, with the last line it wrote."""
        last = next((line.strip() for line in reversed(self.log_tail(20)) if line.strip()), "")
        return "The process is gone without a word." + (f" Its last line: {last}" if last else "")

    def log_tail(self, lines: int = 40, *, limit: int = 65_536) -> list[str]:
        """The last lines of log.txt, read from its end only (at most ``limit`` bytes)."""
        try:
            with self.log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(size - limit, 0))
                text = file.read(limit).decode("utf-8", "replace")
        except OSError:
            return []
        # A progress bar rewrites its line: what counts is what stood there last.
        found = [line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n")]
        if found and not found[-1]:
            found.pop()
        return found[-lines:]

    def ask_to_stop(self) -> None:
        """Create ``control/stop``: it works across hosts, where a pid does not.

        Raises:
            LabError: the run directory cannot be written.
        """
        try:
            self.stop_file.parent.mkdir(exist_ok=True)
            self.stop_file.touch()
        except OSError as error:
            raise LabError(
                f"Cannot ask the run to stop: {error.strerror}.", f"Create {self.stop_file} yourself."
            ) from error

    @contextlib.contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether nobody else works on the run, and nobody will within the block. The lock ends with its holder."""
        with contextlib.ExitStack() as held:
            first = True
            try:
                file = held.enter_context((self.stop_file.parent / "worker.lock").open("a"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                first = False
            except OSError:  # a full disk, or a file system that knows no locks: it cannot be told
                pass
            yield first

    def read_json(self, path: Path) -> dict[str, Any]:
        """A small JSON file of the run; empty when it is missing or not JSON."""
        try:
            found = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def checkpoint_step(path: Path) -> int:
    """The step in a checkpoint's name."""
    return int(path.name.removeprefix(_STEP))


def list_run_dirs(lab: Lab) -> list[RunDir]:
    """Every run directory of the lab, the newest first; runs that another program made are found as well."""
    try:
        entries = list(os.scandir(lab.runs))
    except FileNotFoundError:
        return []
    found = [
        (entry.stat().st_ctime, RunDir(Path(entry.path)))
        for entry in entries
        if not entry.name.startswith(".") and entry.is_dir() and Path(entry.path, "status.json").is_file()
    ]

    def made(item: tuple[float, RunDir]) -> float:
        recipe = item[1].recipe
        return recipe.stat().st_mtime if recipe.is_file() else item[0]

    return [run for _, run in sorted(found, key=made, reverse=True)]


def find_run(lab: Lab, identity: str) -> RunDir:
    """The run of this id, or the only one whose id begins so.

    Raises:
        NotFoundError: there is none, or there are several.
    """
    matching = [run for run in list_run_dirs(lab) if identity and run.id.startswith(identity)]
    exact = [run for run in matching if run.id == identity] or matching
    if len(exact) != 1:
        raise NotFoundError(
            f"{'Several runs begin' if matching else 'No run begins'} with '{identity}'.",
            "`o1lab runs ls` lists them.",
        )
    return exact[0]


def process_lives(pid: int | None, started: float | None) -> bool:
    """Whether the process with this id on this host is the one that started then (ids are used again)."""
    import psutil

    if pid is None:
        return False
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return started is None or abs(process.create_time() - started) < 1.0
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


def process_started(pid: int) -> float | None:
    """When a process of this host started, in seconds since the epoch."""
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Replace ``path`` by ``data`` in one move."""
    write_text(path, json.dumps(data, ensure_ascii=False, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` in one move: a reader sees the old or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        temporary.write_text(text, "utf-8", errors="surrogatepass")
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
