"""Verdicts on the steps of a trace: the first wrong move, by annotators and judges.

A verdict is an annotation of the kind ``wrong_step``. Its value is the number of the first wrong move (from 1, with the
move as its span), ``none`` if no move is wrong, or ``withdrawn``. The latest verdict of an annotator counts. A mistake
that the chain itself notices and takes back is not wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from store.records import Annotation
from store.sqlite import Database

NONE, WITHDRAWN = "none", "withdrawn"


@dataclass(frozen=True, slots=True)
class StepVerdict:
    """The verdict of one annotator on the steps of a trace.

    Attributes:
        annotator: The name of the person or judge.
        run_id: The teacher run of the judge; None for a person.
        step: The number of the first wrong move when the verdict was given; 0 if no move is wrong.
        span: The move in code points of the thought, which stays when the thought is segmented differently.
    """

    trace_id: str
    annotator: str
    run_id: str | None
    step: int
    span: tuple[int, int] | None

    @property
    def by_judge(self) -> bool:
        return self.run_id is not None


def is_value(value: str) -> bool:
    """Whether ``value`` is valid for an annotation of this kind."""
    return value in (NONE, WITHDRAWN) or (value.isascii() and value.isdigit() and len(value) < 10 and int(value) > 0)


def latest(records: Iterable[Annotation]) -> list[StepVerdict]:
    """Return the verdict of each annotator that counts, from the records of one trace that are not undone."""
    found: dict[str, StepVerdict] = {}
    for record in records:
        if record.kind != "wrong_step":
            continue
        found.pop(record.annotator, None)
        if record.value != WITHDRAWN and is_value(record.value):
            step = 0 if record.value == NONE else int(record.value)
            verdict = StepVerdict(record.trace_id, record.annotator, record.run_id, step, record.span)
            found[record.annotator] = verdict
    return list(found.values())


def derive(db: Database, trace_id: str, records: Sequence[Annotation]) -> None:
    """Store the verdicts on a trace, inside the caller's transaction."""
    db.conn.execute("DELETE FROM wrong_steps WHERE trace_id = ?", (trace_id,))
    db.conn.executemany(
        "INSERT INTO wrong_steps(trace_id, annotator, run_id, step, span_start, span_end) VALUES (?, ?, ?, ?, ?, ?)",
        [(trace_id, one.annotator, one.run_id, one.step, *(one.span or (None, None))) for one in latest(records)],
    )


def every(db: Database) -> list[StepVerdict]:
    """Return every verdict that counts, in the order of the traces."""
    rows = db.execute(
        "SELECT w.trace_id, w.annotator, w.run_id, w.step, w.span_start, w.span_end "
        "FROM wrong_steps w JOIN traces t ON t.id = w.trace_id ORDER BY t.seq, w.annotator"
    )
    return [
        StepVerdict(trace_id, annotator, run_id, step, None if start is None else (start, end))
        for trace_id, annotator, run_id, step, start, end in rows
    ]


def has_run(db: Database, run_id: str) -> bool:
    """Whether a judge of this run annotated traces."""
    return db.value("SELECT 1 FROM annotations WHERE run_id = ? LIMIT 1", [run_id]) is not None
