"""Which runs a lab knows; the run directories themselves hold the truth about them."""

from __future__ import annotations

from store.errors import MissingError
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


def get(db: Database, identity: str) -> RunRecord:
    """The run of this id, or the only one whose id begins so.

    Raises:
        MissingError: there is none, or there are several.
    """
    rows = [run for run in all_runs(db) if run.id.startswith(identity)] if identity else []
    exact = [run for run in rows if run.id == identity] or rows
    if len(exact) != 1:
        raise MissingError(
            f"{'Several runs begin' if rows else 'No run begins'} with '{identity}'.",
            "`o1lab runs ls` lists them.",
        )
    return exact[0]


def all_runs(db: Database) -> list[RunRecord]:
    """Every run, the newest first."""
    return [RunRecord(*row) for row in db.execute(f"SELECT {_COLUMNS} FROM runs ORDER BY created_at DESC")]
