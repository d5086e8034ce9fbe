"""What can go wrong with a lab's database, each with what to do about it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class StoreError(Exception):
    """A fault of the database, in one sentence for the person who uses it."""

    code = "store"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NewerSchemaError(StoreError):
    """The database was written by a later version."""

    code = "newer_lab"


class BusyError(StoreError):
    """Another process held the database for longer than we were willing to wait."""

    code = "busy"


class DiskFullError(StoreError):
    """There is no room left; nothing of the last step was kept."""

    code = "disk_full"


class UnwritableError(StoreError):
    """The database cannot be opened or written."""

    code = "unwritable"


class QueryError(StoreError):
    """A filter that means nothing."""

    code = "query"


class NothingChosenError(StoreError):
    """A dataset would have no row."""

    code = "nothing_chosen"


class NameTakenError(StoreError):
    """A dataset of that name exists and holds something else."""

    code = "name_taken"


class MissingError(StoreError):
    """No such row."""

    code = "not_found"


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
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
    """The error a person should read for ``error``."""
    text = str(error)
    if "full" in text:
        return DiskFullError(f"The disk that holds {path} is full.", "Free some room and do it again.")
    if "locked" in text or "busy" in text:
        return BusyError(f"{path} is busy: another program is writing.", "Wait a moment and do it again.")
    if "readonly" in text or "unable to open" in text:
        return UnwritableError(f"{path} cannot be opened or written.", "Check the folder's permissions.")
    if "I/O" in text:
        return UnwritableError(f"{path} could not be read or written: {text}.", "Check the disk.")
    return StoreError(f"{path}: {text}.")
