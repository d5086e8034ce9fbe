"""Which traces are assigned to whom, derived from annotations of the kinds ``assign`` and ``unassign``."""

from __future__ import annotations

from collections.abc import Iterable

from store.records import Annotation
from store.sqlite import Database

KINDS = ("assign", "unassign")
"""The value of both is the name of the person."""


def derive(db: Database, seq: int, records: Iterable[Annotation]) -> None:
    """Store who a trace is assigned to, inside the caller's transaction."""
    assigned: dict[str, None] = {}
    for record in records:
        if record.kind == "assign":
            assigned[record.value] = None
        elif record.kind == "unassign":
            assigned.pop(record.value, None)
    db.conn.execute("DELETE FROM assignments WHERE seq = ?", (seq,))
    db.conn.executemany(
        "INSERT INTO assignments(seq, annotator) VALUES (?, ?)", [(seq, annotator) for annotator in assigned]
    )


def by_annotator(db: Database) -> dict[str, tuple[int, int]]:
    """Return for each person the number of assigned traces, and how many of them the person has decided on."""
    rows = db.execute(
        """SELECT a.annotator, count(*), count(d.decision) FROM assignments a
           LEFT JOIN decisions d ON d.seq = a.seq AND d.annotator = a.annotator GROUP BY 1 ORDER BY 1"""
    )
    return {str(name): (int(number), int(done)) for name, number, done in rows}
