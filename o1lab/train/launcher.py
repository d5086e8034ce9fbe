"""The protocol of launchers, and their registry.

A launcher starts the same worker on the same run directory, somewhere else. It writes ``launch.json`` in the run
directory, which names it and its job; a run without this file is a process of this machine. Everything else comes from
the run directory: the launcher is asked about the job only when the heartbeat of the worker is old
(:mod:`o1lab.train.runs.silent_jobs`).

Other packages add launchers through the entry point group ``o1lab.launchers``: another scheduler is one class.
"""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from o1lab.errors import LabError
from o1lab.files import write_json, writing
from o1lab.process import is_alive
from o1lab.registry import DEFAULT_ORDER, Registry

if TYPE_CHECKING:
    from o1lab.config import Config
    from o1lab.paths import Lab
    from o1lab.train.recipes.recipe import Recipe
    from o1lab.train.runs.directory import Launch, RunDir, RunStatus

KEEP_MEMORY = {
    "GLIBC_TUNABLES": "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184:glibc.malloc.top_pad=268435456"
}
"""Environment of workers. By default, glibc returns the memory of every large tensor to the kernel. These settings keep
it: ten steps of the demo on two cores took 60 s instead of 77, start included, and 5 s of system time instead of 16."""
_PROBE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Seen:
    """The state of a job, as its launcher reports it.

    Attributes:
        state: ``unknown`` if it cannot be asked, now or from this machine.
        message: a sentence about it; may be empty.
        hint: what to do.
        end: the state of a run whose job has ended, unless its worker has written another one.
    """

    state: Literal["pending", "running", "ended", "unknown"]
    message: str = ""
    hint: str = ""
    end: Literal["stopped", "failed", "dead"] = "dead"

    @property
    def alive(self) -> bool:
        """Whether the job may still work on its run."""
        return self.state != "ended"


@dataclass(frozen=True, slots=True)
class Examined:
    """Whether a launcher is ready, for ``o1lab doctor``."""

    ok: bool
    detail: str
    fix: str = ""


class Launcher:
    """A way to start the worker of a training run. The methods of this class fit a launcher without a scheduler.

    Attributes:
        name: its name in recipes and commands.
        about: what it does, for people who choose one.
        title: its name in sentences.
        elsewhere: whether the worker runs outside the reach of this machine's device queue and process ids.
    """

    name: ClassVar[str] = ""
    about: ClassVar[str] = ""
    title: ClassVar[str] = ""
    elsewhere: ClassVar[bool] = True

    def start(self, run: RunDir, recipe: Recipe, *, resuming: bool) -> int | None:
        """Start the worker of a prepared run.

        Returns:
            The process id of the worker; None if it is not a process of this machine.

        Raises:
            LabError, UsageError: it cannot be started.
        """
        raise NotImplementedError

    def cancel(self, run: RunDir, launch: Launch) -> None:
        """End a job whose worker has not started or does not react; does nothing if it has ended.

        Raises:
            LabError: it cannot be cancelled; with the code ``no_cluster`` if nothing answers where it was submitted. A
                run whose worker is silent then counts as stopped.
        """

    def seen(self, run: RunDir, launch: Launch) -> Seen:
        """Return the state of a job whose worker is silent. It takes seconds at most, and does not raise."""
        return Seen("unknown")

    def faults(self, lab: Lab, recipe: Recipe) -> list[LabError]:
        """Return why a recipe cannot be started, for preflight. Nothing is started."""
        return [fault] if self.elsewhere and (fault := home_fault()) else []

    def examine(self, config: Config) -> Examined | None:
        """Return whether the launcher is ready; None if the lab is not configured for it."""
        return None


LAUNCHERS: Registry[Launcher] = Registry("launcher", "o1lab.launchers", "o1lab.train.launchers")


def launcher(name: str, *, order: int = DEFAULT_ORDER) -> Callable[[type[Launcher]], type[Launcher]]:
    """Register an instance of the decorated class as the launcher ``name``; see :class:`o1lab.registry.Registry`."""

    def decorate(kind: type[Launcher]) -> type[Launcher]:
        kind.name = name
        LAUNCHERS.add(name, kind(), module=kind.__module__, order=order)
        return kind

    return decorate


def write_launch(run: RunDir, launch: Launch) -> None:
    """Write launch.json.

    Raises:
        LabError: it cannot be written.
    """
    with writing(run.launch_file):
        write_json(run.launch_file, launch.as_json())


def died_here(status: RunStatus) -> bool:
    """Whether the worker was a process of this machine and does not exist any more."""
    return (
        status.pid is not None and status.host == socket.gethostname() and not is_alive(status.pid, status.pid_started)
    )


def goes_on(run: RunDir) -> bool:
    """Whether a new worker continues from the checkpoints, because a person may repeat its command."""
    launch = run.launch()
    return launch is not None and bool(launch.commands) and bool(run.checkpoints())


def forget_end(run: RunDir) -> None:
    """Delete the end of an earlier worker from launch.json, because a new one works on the run."""
    launch = run.launch()
    if launch is not None and launch.end:
        with suppress(LabError):
            write_launch(run, replace(launch, end="", message="", hint=""))


def after_signal(run: RunDir, end: dict[str, str], *, signalled: bool) -> dict[str, str]:
    """Return the last status of a worker that may be started again, because the scheduler has interrupted it.

    Args:
        run: the run.
        end: the fields of the status that the worker would end with.
        signalled: whether a signal asked the worker to stop.
    """
    launch = run.launch()
    if launch is None or not launch.requeue or not signalled or end["state"] != "stopped" or run.stop_file.exists():
        return end
    try:
        run.again_file.touch()
    except OSError:  # the job ends as if it were stopped
        return end
    # The scheduler decides whether this is the end: `stopping` is judged by its job once the heartbeat is old.
    message = f"Interrupted by {launch.words}; it continues when the job runs again."
    return end | {"state": "stopping", "message": message}


def home_fault(home: Path | None = None) -> LabError | None:
    """Return why jobs on other machines would fail in the home directory, by writing a small file there."""
    folder = home or Path.home()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(os.urandom(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return LabError(
                f"The home directory {folder} is full: libraries write there when they load, and the job would fail.",
                "Free some space there.",
                code="home_full",
            )
    return None
