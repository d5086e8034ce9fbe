"""Calls the hook for one job: ``python -P -m o1lab.jobs.hook_process MODULE:CLASS FOLDER PID``, with a pipe as input.

Each line of the pipe is an event during the job. The end of the pipe is the end of the worker.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from o1lab.jobs import hook
from o1lab.jobs.directory import JobFolder, JobInfo
from o1lab.process import is_alive

_CHECK_S = 5.0
"""Seconds between two checks that the worker is alive: a process that it forked may hold the pipe open."""
_ENDING_S = 60.0
"""Seconds that a worker may take to end after it closed the pipe."""
_POLL_S = 0.1


def main() -> int:
    for number in (signal.SIGHUP, signal.SIGINT):  # a terminal that closes ends the worker, not its hook
        signal.signal(number, signal.SIG_IGN)
    where, path, pid = sys.argv[1:4]
    module, _, name = where.partition(":")
    folder: JobFolder[Any, Any] = getattr(import_module(module), name)(Path(path))
    settings = hook.settings_of(folder)
    rest = b""
    while True:
        if not select.select([0], [], [], _CHECK_S)[0]:
            if is_alive(int(pid)):
                continue
            break
        block = os.read(0, 65_536)
        if not block:
            break
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            with suppress(ValueError, TypeError, KeyError):  # a line of another version
                found = json.loads(line)
                hook.call(folder, settings, found["event"], folder.read_status().state, str(found["cause"]))
    info = _at_the_end(folder, int(pid))
    event = hook.event_of_end(info.state, info.status)
    if event is not None and folder.is_job():  # the files of a job that was removed are missing: it has not failed
        hook.call(folder, settings, event, info.state, info.status.message)
    return 0


def _at_the_end(folder: JobFolder[Any, Any], pid: int) -> JobInfo[Any, Any]:
    """Return the state of the job after its worker.

    The operating system closes the files of a process that was killed before the process is gone, and a large one
    takes seconds in between. Until then, the job still looks as if it were running.
    """
    deadline = time.monotonic() + _ENDING_S
    while True:
        alive = is_alive(pid)  # before the state, which the worker may write last
        info = folder.info()
        if not info.active or not alive or time.monotonic() >= deadline:
            return info
        time.sleep(_POLL_S)


if __name__ == "__main__":
    sys.exit(main())
