"""Errors with a message for the user: one sentence that says what happened, one that says what to do.

Those of a lab's database say which process keeps it busy (Linux). The exit statuses (``o1lab.errors.EXIT_STATUSES``)
are a contract with scripts.
"""

from __future__ import annotations

import os
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LONGEST = 100  # characters of a command that are shown


class O1LabError(Exception):
    """Base class of errors that end a command with a message instead of a traceback.

    Args:
        message: what happened, as a sentence.
        hint: what to do, as a sentence.
        code: the error code in JSON output; the default is that of the class.
    """

    exit_status = 3
    code = "environment"

    def __init__(self, message: str, hint: str = "", *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def as_json(self) -> dict[str, dict[str, str]]:
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint}}


class UsageError(O1LabError):
    """The command line or a value is invalid."""

    exit_status = 2
    code = "usage"


class LabError(O1LabError):
    """The lab or the environment is not usable: not writable, too new, no torch, no key."""

    exit_status = 3
    code = "lab"


class NotFoundError(O1LabError):
    """The trace, run, dataset, model or conversation does not exist."""

    exit_status = 4
    code = "not_found"


class RefusedError(O1LabError):
    """A preflight check or a budget forbids the operation."""

    exit_status = 5
    code = "refused"


class StoreError(LabError):
    """The database cannot be used."""

    code = "store"


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


class QueryError(UsageError):
    """A filter that cannot be read."""

    code = "query"


class NothingChosenError(UsageError):
    """A dataset would have no row."""

    code = "nothing_chosen"


class NameTakenError(UsageError):
    """A dataset of that name exists with other content."""

    code = "name_taken"


class WrongKindError(RefusedError):
    """A dataset has rows of the other kind than are needed."""

    code = "dataset_kind"


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
