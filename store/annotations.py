"""Annotations: append-only records, and the state derived from them.

Records are never updated or deleted; an undo is a record too, and undoes only its annotator's own records. Decisions
and ratings of each person, tags, step verdicts and assignments of a trace are derived from its records in the order in
which they were written, whatever their time stamps, and stored for the lists. Merged records come after existing ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from store import corrections, decisions, labels, traces, wrong_steps
from store.annotation_sql import ALIVE, VALUE
from store.decisions import ADJUDICATION, ASSIGNMENTS, DECISIONS
from store.errors import NotFoundError
from store.filters import TraceQuery
from store.filters.traces import selection
from store.policy import OWN_DECISION
from store.records import Annotation, new_id, now, scrubbed
from store.rows import insert, values
from store.sqlite import Database

KINDS = ("decision", "rating", "tag", "untag", "note", "span", "wrong_step", "move", "edit", "undo", ADJUDICATION,
         *ASSIGNMENTS)  # fmt: skip
_COLUMNS = "id, trace_id, kind, value, span_start, span_end, target, batch, annotator, created_at, run_id"
_READ = _COLUMNS.replace("value", VALUE, 1)
_WORK = f"a.kind NOT IN {ASSIGNMENTS!r}"
"""An assignment is not work on a trace: an undo of the last annotation skips it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Number of decisions made and still to make, and the annotator's pace.

    Unless ``exact``, the numbers of traces are lower bounds. ``label`` may say whose decisions are counted.
    """

    total: int
    decided: int
    today: int
    per_hour: float | None  # from the decisions of the last hour; None with fewer than two
    by_decision: dict[str, int] = field(default_factory=dict)
    exact: bool = True
    label: str = ""


def annotate(
    db: Database,
    trace_id: str,
    kind: str,
    value: str,
    *,
    annotator: str,
    span: tuple[int, int] | None = None,
    run_id: str | None = None,
) -> Annotation:
    """Record one annotation; it is durable when this returns.

    Args:
        db: The lab's database.
        trace_id: The trace.
        kind: One of ``KINDS`` except ``undo``.
        value: The decision (of the person, or an adjudication), the rating as a digit, the tag, the note, the label of
            a span, the id of the edited trace, the number of the first wrong move (see :mod:`store.wrong_steps`), the
            kind of a move (see :mod:`store.corrections`), or the person that the trace is assigned to.
        annotator: The name of the person or judge.
        span: (start, end) of a span or move in the thought, in code points.
        run_id: The teacher run of a judge; None for a person.

    Raises:
        NotFoundError: There is no such trace.
    """
    if kind not in KINDS or kind == "undo":
        raise ValueError(kind)
    with db.atomic():
        traces.get(db, trace_id)
        before = decisions.adjudications_in(of_trace(db, trace_id)) if kind == ADJUDICATION else []
        record = Annotation(
            new_id(), trace_id, kind, _written(db, kind, value), span, " ".join(one.id for one in before) or None, None,
            scrubbed(annotator), now(), run_id,
        )  # fmt: skip
        insert(db, "annotations", [_stored(record)])
        derive(db, [trace_id])
    return record


def annotate_spans(
    db: Database, trace_id: str, kind: str, value: str, spans: Sequence[tuple[int, int]], *, annotator: str
) -> list[Annotation]:
    """Record the same annotation for several spans of a trace; all of them are undone at once.

    Raises:
        NotFoundError: There is no such trace.
    """
    batch, created_at = (new_id() if len(spans) > 1 else None), now()
    with db.atomic():
        traces.get(db, trace_id)
        value = _written(db, kind, value)
        records = [
            Annotation(new_id(), trace_id, kind, value, span, None, batch, scrubbed(annotator), created_at)
            for span in spans
        ]
        insert(db, "annotations", map(_stored, records))
        derive(db, [trace_id])
    return records


def _written(db: Database, kind: str, value: str) -> str:
    """Return the value as it is recorded: a label under its present name."""
    return labels.present(db, scrubbed(value)) if kind == "span" else scrubbed(value)


def decide_all(db: Database, query: TraceQuery, decision: str, *, annotator: str) -> tuple[str, int]:
    """Record one decision for all traces of the query.

    Returns:
        The id of the batch, for ``undo``, and the number of traces.
    """
    with db.atomic():
        chosen = traces.ids(db, query)
        return add_batch(db, "decision", [(one, decision) for one in chosen], annotator=annotator), len(chosen)


def add_batch(db: Database, kind: str, values: Sequence[tuple[str, str]], *, annotator: str) -> str:
    """Record annotations of one kind, as (trace id, value), that are undone at once; return the id of the batch."""
    batch, created_at = new_id(), now()
    with db.atomic():
        records = (
            Annotation(new_id(), one, kind, value, None, None, batch, annotator, created_at) for one, value in values
        )
        insert(db, "annotations", map(_stored, records))
        derive(db, list(dict.fromkeys(one for one, _ in values)))
    return batch


def undo(db: Database, *, annotator: str, trace_id: str | None = None, target: str | None = None) -> Annotation | None:
    """Undo an annotation or a batch.

    Args:
        db: The lab's database.
        annotator: The name of the person.
        trace_id: Without ``target``: undo the annotator's last annotation of this trace only.
        target: The id of the annotation or batch; None for the annotator's last one.

    Returns:
        The record of the undo; None if there is nothing to undo.

    Raises:
        NotFoundError: There is no annotation or batch ``target``.
    """
    with db.atomic():
        target = target or _last(db, annotator, trace_id)
        if target is None:
            return None
        touched = traces_of(db, target)
        if not touched:
            raise NotFoundError(f"There is no annotation '{target}'.")
        record = Annotation(new_id(), touched[0], "undo", "", None, target, None, scrubbed(annotator), now())
        insert(db, "annotations", [_stored(record)])
        derive(db, touched)
    return record


def _last(db: Database, annotator: str, trace_id: str | None) -> str | None:
    """Return the id of an annotator's last annotation that is not undone, or of its batch.

    With a trace, a batch that has annotations of other traces too is not returned.
    """
    what, parameters = "coalesce(a.batch, a.id)", [scrubbed(annotator)]
    condition = f"{ALIVE} AND {_WORK} AND a.annotator = ?"
    if trace_id is not None:
        other = "SELECT 1 FROM annotations b WHERE b.batch = a.batch AND b.trace_id != a.trace_id"
        what = f"coalesce(CASE WHEN NOT EXISTS ({other}) THEN a.batch END, a.id)"
        condition = f"{condition} AND a.trace_id = ?"
        parameters.append(trace_id)
    found: str | None = db.value(
        f"SELECT {what} FROM annotations a WHERE {condition} ORDER BY a.seq DESC LIMIT 1", parameters
    )
    return found


def of_trace(db: Database, trace_id: str) -> list[Annotation]:
    """Return a trace's records in order of creation, without undone ones."""
    rows = db.execute(f"SELECT {_READ} FROM annotations a WHERE a.trace_id = ? AND {ALIVE} ORDER BY a.seq", [trace_id])
    return [_annotation(row) for row in rows]


def get(db: Database, identity: str) -> Annotation | None:
    row = db.execute(f"SELECT {_READ} FROM annotations a WHERE a.id = ?", [identity]).fetchone()
    return _annotation(row) if row else None


def targets(db: Database, target: str) -> list[Annotation]:
    """Return an annotation (one) or the annotations of a batch, undone or not."""
    condition = "a.id = ? OR a.batch = ?"
    rows = db.execute(f"SELECT {_READ} FROM annotations a WHERE {condition} ORDER BY a.seq", [target, target])
    return [_annotation(row) for row in rows]


def traces_of(db: Database, target: str) -> list[str]:
    """Return the ids of the traces of an annotation (one) or a batch, undone or not."""
    return db.column("SELECT DISTINCT trace_id FROM annotations WHERE id = ? OR batch = ?", [target, target])


def everything(db: Database) -> Iterator[Annotation]:
    """Yield all records in order, undos included, for an export."""
    for row in db.execute(f"SELECT {_READ} FROM annotations a ORDER BY a.seq"):
        yield _annotation(row)


@dataclass(frozen=True, slots=True)
class Merged:
    """The result of a merge.

    Attributes:
        added: Number of new records.
        known: Number of records that were in the lab already.
        without_trace: Records whose trace is not in this lab; they are not added.
        disputed: Number of traces that are disputed now and were not before.
    """

    added: int
    known: int
    without_trace: tuple[Annotation, ...]
    disputed: int


def merge(db: Database, records: Iterable[Annotation]) -> Merged:
    """Import records of another lab. A person's decision never replaces that of another."""
    added = known = 0
    unmatched: list[Annotation] = []
    touched: set[str] = set()
    with db.atomic():
        before = set(decisions.disputed(db))
        for record in records:
            if db.execute("SELECT 1 FROM annotations WHERE id = ?", [record.id]).fetchone():
                known += 1
            elif db.execute("SELECT 1 FROM traces WHERE id = ?", [record.trace_id]).fetchone() is None:
                unmatched.append(record)
            else:
                insert(db, "annotations", [_stored(record)])
                added += 1
                touched.add(record.trace_id)
                if record.kind == "undo":
                    touched.update(db.column("SELECT trace_id FROM annotations WHERE batch = ?", [record.target]))
        derive(db, sorted(touched))
        after = set(decisions.disputed(db))
    return Merged(added, known, tuple(unmatched), len(after - before))


class Counts(NamedTuple):
    """The numbers of labelled spans, notes, tags and annotators of a trace."""

    labels: int = 0
    notes: int = 0
    tags: int = 0
    annotators: int = 0


def counts(db: Database, trace_ids: Sequence[str]) -> dict[str, Counts]:
    """Return the counts of those traces that have annotations."""
    chosen = "trace_id IN (SELECT value FROM json_each(?))"
    given = [json.dumps(trace_ids)]
    tags = dict(db.execute(f"SELECT trace_id, count(*) FROM trace_tags WHERE {chosen} GROUP BY trace_id", given))
    rows = db.execute(
        "SELECT a.trace_id, count(*) FILTER (WHERE a.kind = 'span'), count(*) FILTER (WHERE a.kind = 'note'), "
        f"count(DISTINCT a.annotator) FROM annotations a WHERE a.{chosen} AND {ALIVE} GROUP BY a.trace_id",
        given,
    )
    return {one: Counts(spans, notes, tags.get(one, 0), persons) for one, spans, notes, persons in rows}


def tags(db: Database) -> list[tuple[str, int]]:
    """Return (tag, number of traces) of every tag in use, the most used first."""
    return db.execute("SELECT tag, count(*) FROM trace_tags GROUP BY tag ORDER BY 2 DESC, 1").fetchall()


def tags_of(db: Database, trace_id: str) -> list[str]:
    return db.column("SELECT tag FROM trace_tags WHERE trace_id = ? ORDER BY tag", [trace_id])


def annotators(db: Database) -> list[str]:
    """Return the names of all annotators and judges; SQLite finds each in an index from the one before."""
    following = "SELECT min(annotator) FROM annotations WHERE annotator > w.name"
    walk = (
        "WITH RECURSIVE w(name) AS (SELECT min(annotator) FROM annotations UNION ALL "
        f"SELECT ({following}) FROM w WHERE w.name IS NOT NULL) SELECT name FROM w WHERE name IS NOT NULL"
    )
    return db.column(f"SELECT name FROM ({walk})")


def progress(
    db: Database, query: TraceQuery, *, annotator: str, at_most: int | None = None, own: bool = False
) -> Progress:
    """Count the decisions on the traces of the query, and measure this annotator's pace.

    Args:
        db: The lab's database.
        query: The filter.
        annotator: The name of the person.
        at_most: Maximum number of traces to count; with more traces, the numbers are lower bounds.
        own: Whether to count the current user's own decisions, whatever the policy.
    """
    chosen = selection(query)
    decision = OWN_DECISION if own else "t.decision"
    each = ", ".join(f"count(*) FILTER (WHERE c.decision = '{one}')" for one in DECISIONS)
    counted, parameters = f"SELECT {decision} AS decision FROM {chosen.sql}", chosen.parameters
    if at_most is not None:
        counted, parameters = f"{counted} LIMIT ?", [*parameters, at_most]
    total, decided, *numbers = db.execute(
        f"SELECT count(*), count(c.decision), {each} FROM ({counted}) c", parameters
    ).fetchone()
    clock = datetime.now(UTC)
    midnight = clock.strftime("%Y-%m-%d")
    hour_ago = (clock - timedelta(hours=1)).isoformat(timespec="microseconds")
    lately = db.execute(
        f"""SELECT t.seq, a.created_at FROM annotations a JOIN traces t ON t.id = a.trace_id
            WHERE a.kind = 'decision' AND a.batch IS NULL AND a.annotator = ? AND a.created_at >= ? AND {ALIVE}
            ORDER BY a.created_at""",
        [scrubbed(annotator), min(midnight, hour_ago)],
    ).fetchall()
    here = chosen.among([row[0] for row in lately])
    asked = set(db.column(f"SELECT {here.seq} FROM {here.sql}", here.parameters))
    times = [str(time) for seq, time in lately if seq in asked]
    recent = [datetime.fromisoformat(time) for time in times if time >= hour_ago]
    pace = None
    if len(recent) >= 2 and (seconds := (recent[-1] - recent[0]).total_seconds()) > 0:
        pace = (len(recent) - 1) / seconds * 3600
    today = sum(time >= midnight for time in times)
    by_decision = {"none": total - decided} | dict(zip(DECISIONS, numbers, strict=True))
    by_decision = {kind: number for kind, number in by_decision.items() if number}
    return Progress(total, decided, today, pace, by_decision, exact=total != at_most)


def derive(db: Database, trace_ids: Sequence[str]) -> None:
    """Update what is derived from the records of these traces."""
    for trace_id in trace_ids:
        records = of_trace(db, trace_id)
        seq = db.value("SELECT seq FROM traces WHERE id = ?", [trace_id])
        decisions.derive(db, seq, records)
        db.conn.execute("DELETE FROM assignments WHERE seq = ?", (seq,))
        insert(db, "assignments", ({"seq": seq, "annotator": name} for name in _left(records, *ASSIGNMENTS)))
        db.conn.execute("DELETE FROM trace_tags WHERE trace_id = ?", (trace_id,))
        insert(db, "trace_tags", ({"trace_id": trace_id, "tag": tag} for tag in _left(records, "tag", "untag")))
        wrong_steps.derive(db, trace_id, records)
    corrections.derive(db, trace_ids)


def _left(records: Iterable[Annotation], add: str, remove: str) -> dict[str, None]:
    """Return the values that were added and not removed later, by records of the kinds ``add`` and ``remove``."""
    left: dict[str, None] = {}
    for record in records:
        if record.kind == add:
            left[record.value] = None
        elif record.kind == remove:
            left.pop(record.value, None)
    return left


def _stored(record: Annotation) -> dict[str, Any]:
    """Return the columns of a record."""
    found = values(record)
    start, end = found.pop("span") or (None, None)
    return found | {"span_start": start, "span_end": end}


def _annotation(row: Sequence[Any]) -> Annotation:
    identity, trace_id, kind, value, start, end, target, batch, annotator, created_at, run_id = row
    span = None if start is None else (start, end)
    return Annotation(identity, trace_id, kind, value, span, target, batch, annotator, created_at, run_id)
