"""Errors of a lab's database, each with a hint on what to do about it, and which process keeps it busy (Linux)."""

from __future__ import annotations

import os
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LONGEST = 100  # characters of a command that are shown


class StoreError(Exception):
    """An error of the database: one sentence for the user, and a hint."""

    code = "store"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NewerSchemaError(StoreError):
    """The database was written by a later version."""

    code = "newer_lab"


class BusyError(StoreError):
    """Another process kept the database locked for longer than the timeout."""

    code = "busy"


class DiskFullError(StoreError):
    """The disk is full; the last transaction was rolled back."""

    code = "disk_full"


class UnwritableError(StoreError):
    """The database cannot be opened or written."""

    code = "unwritable"


class QueryError(StoreError):
    """A filter that cannot be read."""

    code = "query"


class NothingChosenError(StoreError):
    """A dataset would have no row."""

    code = "nothing_chosen"


class NameTakenError(StoreError):
    """A dataset of that name exists with other content."""

    code = "name_taken"


class WrongKindError(StoreError):
    """A dataset has rows of the other kind than are needed."""

    code = "dataset_kind"


class InvalidNameError(StoreError):
    """A name of a dataset is not valid."""

    code = "usage"


class MissingError(StoreError):
    """The requested row does not exist."""

    code = "not_found"


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise SQLite's errors as ``StoreError``."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise explain(error, path) from error
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"{path} is damaged or not a database: {error}.",
            "Restore it from a copy; `sqlite3 lab.db .recover` can often save the rows.",
        ) from error


def explain(error: sqlite3.OperationalError, path: Path) -> StoreError:
    """Return the error to show to the user for ``error``."""
    text = str(error)
    if "full" in text:
        return DiskFullError(f"The disk that holds {path} is full.", "Free some space and try again.")
    if "locked" in text or "busy" in text:
        writer = writer_of(path)
        return BusyError(
            f"{path} is busy: {writer[0].lower()}{writer[1:]} is writing. Nothing of this was saved.",
            "Wait until it has finished, or end it, and try again.",
        )
    if "readonly" in text or "unable to open" in text:
        return UnwritableError(f"{path} cannot be opened or written.", "Check the permissions of the lab's folder.")
    if "I/O" in text:
        return UnwritableError(f"{path} could not be read or written: {text}.", "Check the disk.")
    return StoreError(f"{path}: {text}.")


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
