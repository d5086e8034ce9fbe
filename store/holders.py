"""Which process has the write lock of a database (Linux)."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from pathlib import Path

_LONGEST = 100


def writer_of(path: Path) -> str:
    """Return the process that has the write lock of a database, as the subject of a sentence.

    It is read from ``/proc/locks``: asking through the file would release this process's own locks. Only processes of
    this machine are found, and those of other users without their command.
    """
    wanted = {found for name in (path, path.with_name(f"{path.name}-shm")) if (found := _identity(name))}
    with suppress(OSError, ValueError):
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()  # 1: POSIX ADVISORY WRITE 4711 08:01:1234 120 120
            if fields[1] != "POSIX" or fields[3] != "WRITE" or fields[5] not in wanted:
                continue
            number = int(fields[4])
            if number == os.getpid():
                return "Another part of this program"
            if number > 0:
                return f"Process {number}{_command(number)}"
    return "Another program"


def _identity(path: Path) -> str:
    """Return a file as ``/proc/locks`` names it: device and inode."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"


def _command(number: int) -> str:
    try:
        parts = Path(f"/proc/{number}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return ""
    text = shlex.join(part for part in parts if part)
    shown = "".join(char if char.isprintable() else " " for char in text)
    return f" ({shown[:_LONGEST]})" if shown else ""
