"""Ratings: marks from 0 to 100 that people give to samples of evaluations, and the traces of labelled samples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from store.evaluations import require_sample
from store.records import now, scrubbed
from store.rows import insert
from store.sqlite import Database

_STANDING = (
    "r.value IS NOT NULL AND NOT EXISTS "
    "(SELECT 1 FROM ratings later WHERE later.seq = r.seq AND later.annotator = r.annotator AND later.id > r.id)"
)
_OF = "s.evaluation_id IN (SELECT value FROM json_each(?))"


class Ratable(NamedTuple):
    """A sample that did not fail. ``cluster`` is shared by the samples and variants of one question."""

    seq: int
    evaluation_id: str
    item: str
    sample: int
    cluster: str


class Mark(NamedTuple):
    """An annotator's current mark, from 0 to 100."""

    value: float
    note: str


def ratable(db: Database, evaluation_ids: Sequence[str]) -> list[Ratable]:
    """Return every sample of these evaluations that a person can rate."""
    rows = db.execute(
        "SELECT s.seq, s.evaluation_id, s.item, s.sample, coalesce('group ' || i.grp, 'item ' || i.item) "
        "FROM samples s JOIN evaluation_items i ON i.evaluation_id = s.evaluation_id AND i.item = s.item "
        f"WHERE {_OF} AND s.state != 'failed' ORDER BY s.seq",
        [json.dumps(list(evaluation_ids))],
    )
    return [Ratable(*row) for row in rows]


def standing(db: Database, evaluation_ids: Sequence[str], annotator: str) -> dict[int, Mark]:
    """Return an annotator's current marks on samples of these evaluations, by seq."""
    rows = db.execute(
        "SELECT r.seq, r.value, r.note FROM ratings r JOIN samples s ON s.seq = r.seq "
        f"WHERE {_OF} AND r.annotator = ? AND {_STANDING}",
        [json.dumps(list(evaluation_ids)), scrubbed(annotator)],
    )
    return {int(seq): Mark(float(value), str(note)) for seq, value, note in rows}


def last_marked(db: Database, evaluation_ids: Sequence[str], annotator: str) -> int | None:
    """Return the seq of the sample with the annotator's latest current mark."""
    seq: int | None = db.value(
        "SELECT r.seq FROM ratings r JOIN samples s ON s.seq = r.seq "
        f"WHERE {_OF} AND r.annotator = ? AND {_STANDING} ORDER BY r.id DESC LIMIT 1",
        [json.dumps(list(evaluation_ids)), scrubbed(annotator)],
    )
    return seq


def graded(db: Database, evaluation_ids: Sequence[str], scorer: str) -> set[int]:
    """Return the seqs of samples of these evaluations to which a scorer gave a value."""
    found = db.column(
        "SELECT c.seq FROM scores c JOIN samples s ON s.seq = c.seq "
        f"WHERE {_OF} AND c.scorer = ? AND c.value IS NOT NULL",
        [json.dumps(list(evaluation_ids)), scorer],
    )
    return set(found)


def rate(db: Database, seq: int, value: float | None, *, annotator: str, note: str = "") -> None:
    """Record a person's mark from 0 to 100, or withdraw it with None; it is durable when this returns.

    Raises:
        NotFoundError: There is no such sample.
        ValueError: The mark is out of range.
    """
    if value is not None and not 0 <= value <= 100:
        raise ValueError(value)
    with db.atomic():
        require_sample(db, seq)
        row = {"seq": seq, "annotator": annotator, "value": value, "note": note, "created_at": now()}
        insert(db, "ratings", [row])


def marks(db: Database, evaluation_ids: Sequence[str]) -> list[tuple[int, str, float]]:
    """Return (seq, annotator, mark) of the current marks on samples of these evaluations."""
    return db.execute(
        "SELECT r.seq, r.annotator, r.value FROM ratings r JOIN samples s ON s.seq = r.seq "
        f"WHERE {_OF} AND {_STANDING} ORDER BY r.seq, r.annotator",
        [json.dumps(list(evaluation_ids))],
    ).fetchall()


def trace_of(db: Database, seq: int) -> str | None:
    """Return the id of the trace that was made of a sample when a person labelled it; None before."""
    trace_id: str | None = db.value("SELECT trace_id FROM samples WHERE seq = ?", [seq])
    return trace_id


def set_trace(db: Database, seq: int, trace_id: str) -> None:
    """Record the trace that was made of a sample when a person labelled it."""
    db.execute("UPDATE samples SET trace_id = ? WHERE seq = ?", [trace_id, seq])
