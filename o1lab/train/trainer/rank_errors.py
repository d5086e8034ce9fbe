"""What ended a process of a run that several processes train. Does not import torch.

When one process fails, the connections of the others break, and the first process, which writes status.json, sees only
that. So each of the others writes its error into the run's folder ``control/ranks``, and the first one reports it. A
process that was killed writes nothing: then the first one reports which process has ended.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from o1lab.errors import LabError, O1LabError
from o1lab.files import write_json
from o1lab.models.library_errors import LESS_MEMORY
from o1lab.small_files import UnreadableError, read_json
from o1lab.text import one_line
from o1lab.train.runs.directory import RunDir
from o1lab.train.trainer.distributed import Process, World

_GRACE_S = 5.0
"""How long an error of another process may take to arrive after the connection to it broke."""
_POLL_S = 0.2
_WATCH_S = 2.0
_SKEW_S = 5.0
"""Seconds by which the clock of a file server may be behind."""
_LOST = re.compile(
    r"gloo|Connection (?:closed|reset|refused)|Broken pipe|DistBackendError|DistNetworkError|DistStoreError|NCCL|"
    r"recvValue failed|sendBytes failed|Socket Timeout",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class RankError:
    """What ended a process.

    Attributes:
        rank: the number of the process.
        host: where it ran.
        code, message, hint: of its error.
    """

    rank: int
    host: str
    code: str
    message: str
    hint: str = ""


def is_lost_connection(error: BaseException) -> bool:
    """Whether an error only means that another process has ended."""
    return not isinstance(error, O1LabError) and _LOST.search(f"{type(error).__name__}: {error}") is not None


def leave(run: RunDir, world: World, error: BaseException, explained: O1LabError) -> None:
    """Record the error of a process that is not the first one; also for torchrun, which prints it in the log.

    An error that only means that another process has ended is not recorded.
    """
    if is_lost_connection(error):
        return
    left = RankError(world.rank, socket.gethostname(), explained.code, explained.message, explained.hint)
    with suppress(OSError):
        run.rank_errors.mkdir(parents=True, exist_ok=True)
        write_json(run.rank_errors / f"{world.rank}.json", asdict(left))
    if file := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        text = f"{explained.message} {explained.hint}"
        found = {"message": {"message": text, "extraInfo": {"timestamp": str(int(time.time()))}}}
        with suppress(OSError):
            Path(file).write_text(json.dumps(found), "utf-8")


def forget_earlier(run: RunDir, since: float) -> None:
    """Delete the errors of sessions that began before ``since``, in seconds since the epoch."""
    with suppress(OSError):
        for file in run.rank_errors.glob("*.json"):
            if file.stat().st_mtime < since - _SKEW_S:
                file.unlink(missing_ok=True)


def left(run: RunDir) -> RankError | None:
    """Return the first error that a process has recorded; None without one."""
    with suppress(OSError):
        for file in sorted(run.rank_errors.glob("*.json"), key=lambda one: one.stat().st_mtime):
            with suppress(UnreadableError):
                return read_json(file, RankError)
    return None


def as_error(found: RankError) -> LabError:
    """Return an error that a process has recorded, as an error of the run."""
    where = f"process {found.rank} on {one_line(found.host, 60)}"
    return LabError(f"{one_line(found.message, 400)} ({where})", one_line(found.hint, 400), code=found.code)


def explain_loss(
    run: RunDir, members: Sequence[Process], *, sleep: Callable[[float], None] = time.sleep
) -> LabError | None:
    """Explain why the connection to the other processes broke, after waiting a few seconds for their errors."""
    for _ in range(int(_GRACE_S / _POLL_S)):
        if found := left(run):
            return as_error(found)
        sleep(_POLL_S)
    return _gone(members)


def _gone(members: Sequence[Process]) -> LabError | None:
    if gone := [one for one in members if one.is_gone()]:
        ranks = ", ".join(str(one.rank) for one in gone)
        words = f"Process {ranks} of the run was" if len(gone) == 1 else f"Processes {ranks} of the run were"
        return LabError(f"{words} killed, as a rule because the machine ran out of memory.", LESS_MEMORY, code="killed")
    here = socket.gethostname()
    if hosts := sorted({one.host for one in members} - {here}):
        named = ", ".join(one_line(host, 60) for host in hosts[:5])
        return LabError(
            f"The connection to the processes on {named} broke: a process or a node is gone.",
            "Look at the node, then resume: the last complete checkpoint is kept.",
            code="lost_process",
        )
    return None


class Watch:
    """Ends the first process when another one has failed and the connection to it does not break, as with NCCL.

    Args:
        run: the run.
        failed: called in a thread with the error of the other process, at most once.
    """

    def __init__(self, run: RunDir, failed: Callable[[LabError], None]) -> None:
        self._run, self._failed = run, failed
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch-ranks", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._ended.set()

    def _look(self) -> None:
        while not self._ended.wait(_WATCH_S):
            if found := left(self._run):
                if not self._ended.wait(2 * _GRACE_S):  # as a rule the connection breaks, and this process sees it
                    self._failed(as_error(found))
                return
