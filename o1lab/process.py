"""Processes of this machine: whether one is alive, when it started, child processes and their environment."""

from __future__ import annotations

import sys
from contextlib import redirect_stderr
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

# For child processes that load models: no progress bars in the log, and unbuffered output.
QUIET_ENVIRONMENT = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    "PYTHONUNBUFFERED": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def is_alive(pid: int | None, started: float | None = None) -> bool:
    """Whether a process of this machine is running. A zombie is not.

    Args:
        pid: the process id; None is never alive.
        started: when the process started, in seconds since the epoch. Process ids are reused, so a process with a
            start time that differs by more than a second is another one. None skips this check.
    """
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
    except psutil.Error:  # it exists, but access is denied
        return True


def started_at(pid: int) -> float | None:
    """Return when a process of this machine started, in seconds since the epoch; None if there is no such process."""
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def spawned_pool(processes: int) -> ProcessPoolExecutor:
    """Return a pool of new processes, also while the app runs.

    They are spawned: the caller may have threads, and a fork would copy their locks in the locked state. The first pool
    starts multiprocessing's resource tracker with the descriptor of ``sys.stderr``. While the app runs, Textual has a
    stand-in there whose descriptor is -1, and the start would fail.

    Args:
        processes: the number of processes.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import resource_tracker

    with redirect_stderr(sys.__stderr__):
        resource_tracker.ensure_running()
    return ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))
