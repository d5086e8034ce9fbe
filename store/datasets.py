"""Datasets: immutable, content-hashed snapshots of chosen traces."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

from store import traces
from store.errors import MissingError, NameTakenError, StoreError
from store.query import TraceQuery
from store.records import Dataset, decode, now
from store.sqlite import Database

PHASES = (1, 2)


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """What one row teaches: in phase 1 the solution alone, in phase 2 the thought and then the solution."""

    trace_id: str
    statement: str
    thought: str
    solution: str
    gold: str | None
    model: str
    source: str
    licence: str | None
    synthesis: str


def create(db: Database, name: str, query: TraceQuery, *, phase: int = 2) -> Dataset:
    """Snapshot the traces of the query under a name. The same name for the same content is no error.

    Raises:
        NameTakenError: the name stands for other content.
        StoreError: the query chooses nothing.
    """
    if phase not in PHASES:
        raise ValueError(phase)
    with db.atomic():
        chosen = traces.ids(db, query)
        if not chosen:
            raise StoreError("The filter chooses no trace.", "Accept some traces first, or change the filter.")
        digest = hashlib.sha256(f"phase {phase}\n".encode())
        tokens: int | None = 0
        for row in _rows(db, chosen, phase):
            digest.update(json.dumps([row.statement, row.thought, row.solution]).encode() + b"\n")
        counted, total = db.execute(
            "SELECT count(tokens), sum(tokens) FROM traces WHERE id IN (SELECT value FROM json_each(?))",
            [json.dumps(chosen)],
        ).fetchone()
        tokens = total if counted == len(chosen) else None
        made = Dataset(name, digest.hexdigest()[:16], phase, query.source, len(chosen), tokens, now())
        existing = db.execute("SELECT hash FROM datasets WHERE name = ?", [name]).fetchone()
        if existing and existing[0] != made.hash:
            raise NameTakenError(
                f"A dataset '{name}' exists and holds something else.",
                "Choose another name: datasets never change.",
            )
        if not existing:
            db.conn.execute(
                "INSERT INTO datasets(name, hash, phase, query, rows, tokens, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (made.name, made.hash, made.phase, made.query, made.rows, made.tokens, made.created_at),
            )
            db.conn.executemany(
                "INSERT INTO dataset_rows(name, position, trace_id) VALUES (?, ?, ?)",
                [(name, position, trace_id) for position, trace_id in enumerate(chosen)],
            )
    return get(db, name)


def get(db: Database, name_or_hash: str) -> Dataset:
    """The dataset of this name, or of this hash or a beginning of it.

    Raises:
        MissingError: there is none.
    """
    columns = "name, hash, phase, query, rows, tokens, created_at"
    row = db.execute(f"SELECT {columns} FROM datasets WHERE name = ?", [name_or_hash]).fetchone() or (
        db.execute(f"SELECT {columns} FROM datasets WHERE hash GLOB ? LIMIT 1", [name_or_hash + "*"]).fetchone()
        if len(name_or_hash) >= 4 and name_or_hash.isalnum()
        else None
    )
    if row is None:
        raise MissingError(f"There is no dataset '{name_or_hash}'.", "`o1lab dataset ls` lists them.")
    return Dataset(*row)


def all_datasets(db: Database) -> list[Dataset]:
    """Every dataset, the newest first."""
    rows = db.execute(
        "SELECT name, hash, phase, query, rows, tokens, created_at FROM datasets ORDER BY created_at DESC"
    )
    return [Dataset(*row) for row in rows]


def rows(db: Database, name: str) -> Iterator[DatasetRow]:
    """The dataset's rows in order, one at a time.

    Raises:
        MissingError: there is no such dataset.
    """
    dataset = get(db, name)
    chosen = [
        row[0]
        for row in db.execute("SELECT trace_id FROM dataset_rows WHERE name = ? ORDER BY position", [dataset.name])
    ]
    yield from _rows(db, chosen, dataset.phase)


def _rows(db: Database, trace_ids: list[str], phase: int) -> Iterator[DatasetRow]:
    for trace_id in trace_ids:
        row = db.execute(
            """SELECT p.statement, x.raw, x.thought_start, x.thought_end, x.solution_start, x.solution_end,
                      p.answer, t.model, t.source, t.licence, t.synthesis
               FROM traces t JOIN trace_texts x ON x.seq = t.seq JOIN problems p ON p.id = t.problem_id
               WHERE t.id = ?""",
            [trace_id],
        ).fetchone()
        raw = decode(row[1])
        thought = raw[row[2] : row[3]] if phase == 2 else ""
        yield DatasetRow(trace_id, row[0], thought, raw[row[4] : row[5]], *row[6:])
