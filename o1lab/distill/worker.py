"""``python -P -m o1lab.distill.worker DIR``: the teacher run of a folder, in a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from o1lab.distill.runner import drive
from o1lab.errors import O1LabError
from o1lab.inference.rate_limit import Control
from o1lab.jobs.directory import JobFolder, RunFolder, TeacherRunStatus
from o1lab.paths import Lab

Result = TypeVar("Result")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="LAB/distill/ID")
    folder = RunFolder(parser.parse_args().folder.absolute())
    try:
        status = run_here(Lab(folder.path.parent.parent), folder)
    except O1LabError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_status
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {status.state} {status.message}".strip(), flush=True)
    return 0


_TOGETHER_S = 2.0
"""Signals other than Ctrl-C that come within this time are one: a terminal that closes sends two."""


class Signals:
    """Whether a signal is the second one: a run that stops is given up at a second Ctrl-C, whatever it stops for."""

    def __init__(self) -> None:
        self._heard = 0
        self._last = -_TOGETHER_S

    def is_second(self, number: int, now: float) -> bool:
        """``now``: seconds of a clock that only goes forward."""
        if number == signal.SIGINT or not self._heard or now - self._last > _TOGETHER_S:
            self._heard += 1
        self._last = now
        return self._heard > 1


def run_here(lab: Lab, folder: RunFolder, watch: Callable[[TeacherRunStatus], None] | None = None) -> TeacherRunStatus:
    """Drive a run in this process. The first SIGINT, SIGTERM or SIGHUP (a connection that broke) lets calls in flight
    end, the second gives them up.

    Raises:
        O1LabError: the run cannot go on; as :func:`o1lab.distill.runner.drive`.
        KeyboardInterrupt: the second signal came.
    """
    return until_interrupted(folder, lambda control: drive(lab, folder, control=control, watch=watch))


def until_interrupted(folder: JobFolder[Any, Any], begin: Callable[[Control], Coroutine[Any, Any, Result]]) -> Result:
    """Drive any job in this process; signals are heard as :func:`run_here` says.

    Raises:
        KeyboardInterrupt: the second signal came.
    """

    async def driven() -> Result:
        control = Control()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - we are in one

        signals = Signals()

        def interrupted(number: int) -> None:
            if signals.is_second(number, time.monotonic()):
                task.cancel()
            control.stop("interrupt", "The run was interrupted.", folder.again)

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, interrupted, number)
        return await begin(control)

    try:
        return asyncio.run(driven())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


if __name__ == "__main__":
    raise SystemExit(main())
