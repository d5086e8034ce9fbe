"""Signals and exit status of a process that runs a job."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from o1lab.errors import Interrupted, O1LabError
from o1lab.jobs.directory import FolderT, StatusT
from o1lab.jobs.runner import JobRunner

_TOGETHER_S = 2.0
"""Signals other than Ctrl-C within this time count as one, because a closing terminal sends two."""


class Signals:
    """Counts signals. The second one cancels the calls in flight of a job that is stopping.

    Attributes:
        first: the first signal that arrived; SIGINT before one has.
    """

    def __init__(self) -> None:
        self.first: int = signal.SIGINT
        self._count = 0
        self._last = -_TOGETHER_S

    def is_second(self, number: int, now: float) -> bool:
        """Whether this signal is the second one.

        Args:
            number: the signal.
            now: seconds of a monotonic clock.
        """
        if not self._count:
            self.first = number
        if number == signal.SIGINT or not self._count or now - self._last > _TOGETHER_S:
            self._count += 1
        self._last = now
        return self._count > 1


def run_here(runner: JobRunner[StatusT, Any], signals: Signals | None = None) -> StatusT:
    """Run a job in this process.

    The first SIGINT, SIGTERM or SIGHUP (a lost connection) stops it after the calls in flight; the second one cancels
    these.

    Args:
        runner: the session of the job.
        signals: counts the signals, for the caller to read afterwards.

    Returns:
        The final status.

    Raises:
        O1LabError: the job cannot continue; as :meth:`~o1lab.jobs.runner.JobRunner.work`.
        Interrupted: the second signal was received.
    """
    seen = signals or Signals()

    async def run() -> StatusT:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this coroutine runs in one

        def interrupted(number: int) -> None:
            if seen.is_second(number, time.monotonic()):
                task.cancel()
            runner.control.stop("interrupt", "The run was interrupted.", runner.folder.resume_hint)

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, interrupted, number)
        return await runner.work()

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        raise Interrupted(seen.first) from None


def worker_main(
    about: str | None, kind: type[FolderT], runner: Callable[..., JobRunner[Any, Any]], **flags: str
) -> int:
    """Run the job that the command line names to its end, log its final state, and return the exit status.

    Args:
        about: the description of the command.
        kind: the class of the job's directory.
        runner: makes a session of the job of the lab, the directory and the flags.
        flags: the help texts of flags by name.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("folder", type=Path, help="LAB/.../ID")
    for name, text in flags.items():
        parser.add_argument(f"--{name.replace('_', '-')}", action="store_true", help=text)
    given = vars(parser.parse_args())
    folder = kind(given.pop("folder").absolute())
    try:
        status = run_here(runner(folder.lab, folder, **given))
    except O1LabError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_status
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {status.state} {status.message}".strip(), flush=True)
    return 0
