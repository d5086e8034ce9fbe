"""Follow jobs that other processes run, until they end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from o1lab.jobs import spawn
from o1lab.jobs.directory import FolderT, JobFolder, JobInfo, SettingsT, StatusT


def follow(folder: JobFolder[StatusT, SettingsT], *, poll_s: float = 0.5) -> Iterator[JobInfo[StatusT, SettingsT]]:
    """Yield the state of a job every ``poll_s`` seconds; the last one is its final state."""
    while True:
        spawn.reap()
        info = folder.info()
        yield info
        if not info.active:
            return
        time.sleep(poll_s)


def follow_all(
    folders: Sequence[FolderT], *, poll_s: float = 0.5, timeout_s: float | None = None
) -> Iterator[tuple[FolderT, JobInfo[Any, Any]]]:
    """Yield each job with its final state when it ends.

    Args:
        folders: the jobs.
        poll_s: seconds between two looks at them.
        timeout_s: seconds after which the remaining jobs are given up; None for no limit.
    """
    left, deadline = list(folders), None if timeout_s is None else time.monotonic() + timeout_s
    while left:
        spawn.reap()
        for folder in list(left):
            info = folder.info()
            if not info.active:
                left.remove(folder)
                yield folder, info
        if left and deadline is not None and time.monotonic() >= deadline:
            return
        if left:
            time.sleep(poll_s if deadline is None else min(poll_s, max(deadline - time.monotonic(), 0)))
