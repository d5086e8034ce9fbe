"""Start the workers of jobs as detached processes, follow jobs, and choose ids of new ones."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from o1lab.errors import LabError
from o1lab.jobs.directory import FolderT, JobFolder, JobInfo, SettingsT, StatusT
from o1lab.jobs.log import begin_session

POLL_S = 0.5
"""Seconds between two polls of a job."""
# Workers that this process started. They are polled from time to time, so that they do not stay zombies.
_children: list[subprocess.Popen[bytes]] = []


def launcher(module: str) -> Callable[..., int]:
    """Return a function that starts the worker of a job, given the job and further arguments of the command line.

    Args:
        module: the worker's module, run with ``python -P -m``.
    """

    def launch(folder: JobFolder[Any, Any], *arguments: str) -> int:
        return start(folder, worker_command(folder, module, *arguments))

    return launch


def start(folder: JobFolder[Any, Any], command: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
    """Start a command that works on a job in a new session, so that it outlives this process.

    Args:
        folder: the job; its log.txt receives the command's output.
        command: the command line.
        env: the environment of the command; None for that of this process.

    Returns:
        The process id.

    Raises:
        LabError: the process or its log cannot be created.
    """
    try:
        with folder.log.open("ab") as log:
            begin_session(log)
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=folder.path,
                env=env,
            )  # fmt: skip
    except OSError as error:
        raise LabError(f"Cannot start the {folder.noun}: {error.strerror}.", "Check the disk and memory.") from error
    _children.append(process)
    return process.pid


def worker_command(folder: JobFolder[Any, Any], module: str, *arguments: str) -> list[str]:
    """Return the command line of a job's worker."""
    return [sys.executable, "-P", "-m", module, str(folder.path), *arguments]


def reap() -> None:
    """Forget the workers of this process that have ended."""
    _children[:] = [child for child in _children if child.poll() is None]


def follow(folder: JobFolder[StatusT, SettingsT]) -> Iterator[JobInfo[StatusT, SettingsT]]:
    """Yield the state of a job every ``POLL_S`` seconds; the last one is its final state."""
    while True:
        reap()
        info = folder.info()
        yield info
        if not info.active:
            return
        time.sleep(POLL_S)


def follow_all(
    folders: Sequence[FolderT], *, poll_s: float = POLL_S, timeout_s: float | None = None
) -> Iterator[tuple[FolderT, JobInfo[Any, Any]]]:
    """Yield each job with its final state as it ends.

    Args:
        folders: the jobs.
        poll_s: seconds between two polls.
        timeout_s: maximum number of seconds to wait; None for no limit.
    """
    left, deadline = list(folders), None if timeout_s is None else time.monotonic() + timeout_s
    while left:
        reap()
        for folder in list(left):
            info = folder.info()
            if not info.active:
                left.remove(folder)
                yield folder, info
        if left and deadline is not None and time.monotonic() >= deadline:
            return
        if left:
            time.sleep(poll_s if deadline is None else min(poll_s, max(deadline - time.monotonic(), 0)))


def new_id(parent: Path) -> str:
    """Return a new job id: eight hexadecimal digits that no job below ``parent`` has."""
    while (parent / (identity := secrets.token_hex(4))).exists():
        pass
    return identity
