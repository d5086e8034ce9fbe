"""The training runs of a lab. Their state is read from the run directories, not from this table."""

from __future__ import annotations

from store.records import RunRecord
from store.rows import insert, read_all
from store.sqlite import Database


def add(db: Database, run: RunRecord) -> None:
    """Register a run."""
    with db.atomic():
        insert(db, "runs", [run])


def all_runs(db: Database) -> list[RunRecord]:
    """Return every run, the newest first."""
    return read_all(db, RunRecord, "FROM runs ORDER BY created_at DESC")


def remove(db: Database, run_id: str) -> None:
    """Delete the record of a run."""
    with db.atomic():
        db.conn.execute("DELETE FROM runs WHERE id = ?", [run_id])
