"""Annotations: append-only records, and the state derived from them.

Records are never updated or deleted; an undo is a record too. The decision, the rating and the tags of a trace are
derived from its records in the order in which they were written, whatever the clock said, and stored for the lists.
Merged records come after those that were there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from store import traces
from store.errors import MissingError
from store.filters import TraceQuery
from store.filters.traces import selection
from store.records import Annotation, new_id, now, scrubbed
from store.sqlite import Database

DECISIONS = ("accept", "reject", "skip")
KINDS = ("decision", "rating", "tag", "untag", "note", "span", "edit", "undo")
_COLUMNS = "id, trace_id, kind, value, span_start, span_end, target, batch, annotator, created_at"
_ALIVE = (
    "a.kind != 'undo' AND NOT EXISTS "
    "(SELECT 1 FROM annotations u WHERE u.kind = 'undo' AND u.target IN (a.id, a.batch))"
)


@dataclass(frozen=True, slots=True)
class Progress:
    """Number of decisions made and still to make, and the annotator's pace."""

    total: int
    decided: int
    today: int
    per_hour: float | None  # from the decisions of the last hour; None with fewer than two
    by_decision: dict[str, int] = field(default_factory=dict)


def annotate(
    db: Database,
    trace_id: str,
    kind: str,
    value: str,
    *,
    annotator: str,
    span: tuple[int, int] | None = None,
) -> Annotation:
    """Record one annotation; it is durable when this returns.

    Args:
        db: The lab's database.
        trace_id: The trace.
        kind: One of ``KINDS`` except ``undo``.
        value: The decision, the rating as a digit, the tag, the note, the label of a span, or the id of the edited
            trace.
        annotator: The name of the person.
        span: (start, end) of a span in the thought, in code points.

    Raises:
        MissingError: There is no such trace.
    """
    if kind not in KINDS or kind == "undo":
        raise ValueError(kind)
    record = Annotation(new_id(), trace_id, kind, scrubbed(value), span, None, None, scrubbed(annotator), now())
    with db.atomic():
        traces.get(db, trace_id)
        _insert(db, [record])
        derive(db, [trace_id])
    return record


def decide_all(db: Database, query: TraceQuery, decision: str, *, annotator: str) -> tuple[str, int]:
    """Record one decision for all traces of the query.

    Returns:
        The id of the batch, for ``undo``, and the number of traces.
    """
    batch, created_at = new_id(), now()
    with db.atomic():
        chosen = traces.ids(db, query)
        _insert(
            db,
            [
                Annotation(new_id(), one, "decision", decision, None, None, batch, scrubbed(annotator), created_at)
                for one in chosen
            ],
        )
        derive(db, chosen)
    return batch, len(chosen)


def undo(db: Database, *, annotator: str, trace_id: str | None = None, target: str | None = None) -> Annotation | None:
    """Undo an annotation or a batch.

    Args:
        db: The lab's database.
        annotator: The name of the person.
        trace_id: Without ``target``: undo the annotator's last annotation of this trace, and not its batch.
        target: The id of the annotation or batch; None for the annotator's last one.

    Returns:
        The record of the undo; None if there is nothing to undo.

    Raises:
        MissingError: There is no annotation or batch ``target``.
    """
    with db.atomic():
        target = target or _last(db, annotator, trace_id)
        if target is None:
            return None
        touched = traces_of(db, target)
        if not touched:
            raise MissingError(f"There is no annotation '{target}'.")
        record = Annotation(new_id(), touched[0], "undo", "", None, target, None, scrubbed(annotator), now())
        _insert(db, [record])
        derive(db, touched)
    return record


def _last(db: Database, annotator: str, trace_id: str | None) -> str | None:
    """Return the id of an annotator's last annotation that is not undone, or of its batch unless a trace is given."""
    what, condition, parameters = "coalesce(a.batch, a.id)", f"{_ALIVE} AND a.annotator = ?", [scrubbed(annotator)]
    if trace_id is not None:
        what, condition = "a.id", f"{condition} AND a.trace_id = ?"
        parameters.append(trace_id)
    row = db.execute(
        f"SELECT {what} FROM annotations a WHERE {condition} ORDER BY a.seq DESC LIMIT 1", parameters
    ).fetchone()
    return None if row is None else str(row[0])


def of_trace(db: Database, trace_id: str, *, alive: bool = True) -> list[Annotation]:
    """Return a trace's records in order of creation, without undone ones unless ``alive`` is false."""
    condition = f"a.trace_id = ? AND {_ALIVE}" if alive else "a.trace_id = ?"
    rows = db.execute(f"SELECT {_COLUMNS} FROM annotations a WHERE {condition} ORDER BY a.seq", [trace_id])
    return [_annotation(row) for row in rows]


def get(db: Database, identity: str) -> Annotation | None:
    row = db.execute(f"SELECT {_COLUMNS} FROM annotations a WHERE a.id = ?", [identity]).fetchone()
    return _annotation(row) if row else None


def traces_of(db: Database, target: str) -> list[str]:
    """Return the ids of the traces of an annotation (one) or a batch, undone or not."""
    rows = db.execute("SELECT DISTINCT trace_id FROM annotations WHERE id = ? OR batch = ?", [target, target])
    return [row[0] for row in rows]


def everything(db: Database) -> Iterator[Annotation]:
    """Yield all records in order, undos included, for an export."""
    for row in db.execute(f"SELECT {_COLUMNS} FROM annotations a ORDER BY a.seq"):
        yield _annotation(row)


def merge(db: Database, records: Iterable[Annotation]) -> tuple[int, int, list[Annotation]]:
    """Import records of another lab.

    Returns:
        The number of new records, the number of known ones, and the records whose trace is not in this lab.
    """
    added = known = 0
    unmatched: list[Annotation] = []
    touched: set[str] = set()
    with db.atomic():
        for record in records:
            if db.execute("SELECT 1 FROM annotations WHERE id = ?", [record.id]).fetchone():
                known += 1
            elif db.execute("SELECT 1 FROM traces WHERE id = ?", [record.trace_id]).fetchone() is None:
                unmatched.append(record)
            else:
                _insert(db, [record])
                added += 1
                touched.add(record.trace_id)
                if record.kind == "undo":
                    touched.update(
                        row[0]
                        for row in db.execute("SELECT trace_id FROM annotations WHERE batch = ?", [record.target])
                    )
        derive(db, sorted(touched))
    return added, known, unmatched


def tags(db: Database) -> list[tuple[str, int]]:
    """Return (tag, number of traces) of every tag in use, the most used first."""
    return [
        (row[0], row[1]) for row in db.execute("SELECT tag, count(*) FROM trace_tags GROUP BY tag ORDER BY 2 DESC, 1")
    ]


def tags_of(db: Database, trace_id: str) -> list[str]:
    return [row[0] for row in db.execute("SELECT tag FROM trace_tags WHERE trace_id = ? ORDER BY tag", [trace_id])]


def span_labels(db: Database) -> list[str]:
    """Return every span label ever used, the most used first."""
    rows = db.execute("SELECT value FROM annotations WHERE kind = 'span' GROUP BY value ORDER BY count(*) DESC, value")
    return [row[0] for row in rows]


def progress(db: Database, query: TraceQuery, *, annotator: str) -> Progress:
    """Count the decisions among the traces of the query, and measure this annotator's pace."""
    chosen = selection(query)
    each = ", ".join(f"count(*) FILTER (WHERE t.decision = '{decision}')" for decision in DECISIONS)
    total, decided, *numbers = db.execute(
        f"SELECT count(*), count(t.decision), {each} FROM {chosen.sql}", chosen.parameters
    ).fetchone()
    clock = datetime.now(UTC)
    midnight = clock.strftime("%Y-%m-%d")
    hour_ago = (clock - timedelta(hours=1)).isoformat(timespec="microseconds")
    lately = db.execute(
        f"""SELECT t.seq, a.created_at FROM annotations a JOIN traces t ON t.id = a.trace_id
            WHERE a.kind = 'decision' AND a.batch IS NULL AND a.annotator = ? AND a.created_at >= ? AND {_ALIVE}
            ORDER BY a.created_at""",
        [scrubbed(annotator), min(midnight, hour_ago)],
    ).fetchall()
    here = chosen.among([row[0] for row in lately])
    asked = {row[0] for row in db.execute(f"SELECT {here.seq} FROM {here.sql}", here.parameters)}
    times = [str(time) for seq, time in lately if seq in asked]
    recent = [datetime.fromisoformat(time) for time in times if time >= hour_ago]
    pace = None
    if len(recent) >= 2 and (seconds := (recent[-1] - recent[0]).total_seconds()) > 0:
        pace = (len(recent) - 1) / seconds * 3600
    today = sum(time >= midnight for time in times)
    by_decision = {"none": total - decided} | dict(zip(DECISIONS, numbers, strict=True))
    return Progress(total, decided, today, pace, {kind: number for kind, number in by_decision.items() if number})


def derive(db: Database, trace_ids: Sequence[str]) -> None:
    """Update decision, rating and tags of these traces from their records."""
    for trace_id in trace_ids:
        decision: str | None = None
        rating: int | None = None
        tagged: dict[str, None] = {}
        for record in of_trace(db, trace_id):
            if record.kind == "decision":
                decision = record.value
            elif record.kind == "rating":
                rating = int(record.value)
            elif record.kind == "tag":
                tagged[record.value] = None
            elif record.kind == "untag":
                tagged.pop(record.value, None)
        db.conn.execute("UPDATE traces SET decision = ?, rating = ? WHERE id = ?", (decision, rating, trace_id))
        db.conn.execute("DELETE FROM trace_tags WHERE trace_id = ?", (trace_id,))
        db.conn.executemany("INSERT INTO trace_tags(trace_id, tag) VALUES (?, ?)", [(trace_id, tag) for tag in tagged])


def _insert(db: Database, records: Iterable[Annotation]) -> None:
    db.conn.executemany(
        f"INSERT INTO annotations({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (r.id, r.trace_id, r.kind, r.value, *(r.span or (None, None)), r.target, r.batch, r.annotator, r.created_at)
            for r in records
        ],
    )


def _annotation(row: Sequence[Any]) -> Annotation:
    identity, trace_id, kind, value, start, end, target, batch, annotator, created_at = row
    span = None if start is None else (start, end)
    return Annotation(identity, trace_id, kind, value, span, target, batch, annotator, created_at)
