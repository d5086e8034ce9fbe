"""The training runs of a lab. Their state is read from the run directories, not from this table."""

from __future__ import annotations

from store.records import RunRecord
from store.sqlite import Database

_COLUMNS = "id, dir, base, dataset, dataset_hash, init_from, created_at"


def add(db: Database, run: RunRecord) -> None:
    """Register a run."""
    with db.atomic():
        db.conn.execute(
            f"INSERT INTO runs({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (run.id, run.dir, run.base, run.dataset, run.dataset_hash, run.init_from, run.created_at),
        )


def all_runs(db: Database) -> list[RunRecord]:
    """Return every run, the newest first."""
    return [RunRecord(*row) for row in db.execute(f"SELECT {_COLUMNS} FROM runs ORDER BY created_at DESC")]


def remove(db: Database, run_id: str) -> None:
    """Delete the record of a run."""
    with db.atomic():
        db.conn.execute("DELETE FROM runs WHERE id = ?", [run_id])
