"""Imported files: where they were, how they were read, and how many rows they had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from store.records import now
from store.rows import insert, read_all
from store.sqlite import Database


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """One file of one import.

    Attributes:
        path: Where it was; the home folder is written as ``~``.
        sha256: Hash of its bytes.
        bytes: Its size.
        options: The options of the import that were given: source, licence, teacher, synthesis, mapping.
        counts: The number of its rows: rows, added, duplicates, rejected; and the format that was found.
    """

    path: str
    sha256: str
    bytes: int
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    counts: Mapping[str, Any] = field(default_factory=dict, hash=False)
    created_at: str = field(default_factory=now)


def add(db: Database, one: ImportedFile) -> None:
    """Record a file, inside the caller's transaction if there is one."""
    with db.atomic():
        insert(db, "imports", [one])


def everything(db: Database) -> list[ImportedFile]:
    """Return all files in the order in which they were imported."""
    return read_all(db, ImportedFile, "FROM imports ORDER BY id")
