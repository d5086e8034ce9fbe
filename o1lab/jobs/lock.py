"""The lock of a job: a file that one process at a time locks, and in which it identifies itself."""

from __future__ import annotations

import fcntl
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from o1lab.text import one_line

_LONGEST = 400


@contextmanager
def exclusive_lock(path: Path) -> Iterator[bool]:
    """Lock a file for the block.

    The operating system releases the lock when the process ends. If locks cannot be used (full disk, file system
    without locks), the block runs as if the file were locked.

    Args:
        path: the file; missing parent folders are created.

    Yields:
        False if another process has the lock; :func:`holder` names it.
    """
    with ExitStack() as stack:
        ours = True
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(path.open("a", encoding="utf-8", errors="replace"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _sign(file)
        except BlockingIOError:
            ours = False
        except OSError:
            pass
        yield ours


def holder(path: Path) -> str:
    """Return the process that holds the lock, as the subject of a sentence."""
    with suppress(OSError), path.open(encoding="utf-8", errors="replace") as file:
        if (text := one_line(file.readline(_LONGEST), _LONGEST)).startswith("Process "):
            return text
    return "Another process"


def _sign(file: IO[str]) -> None:
    """Write which process this is; the text means nothing after the lock is released."""
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    command = one_line(shlex.join(sys.argv), 120)
    file.truncate(0)
    file.write(f"Process {os.getpid()} on {socket.gethostname()} ({command}, since {since})\n")
    file.flush()
