"""Corrected kinds of moves: annotations of the kind ``move``.

The value is the kind that a person gives to the move of the span, or ``withdrawn``. The latest one counts, and the
numbers of moves of a trace follow it. The stored moves stay as the segmenter found them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from store.annotation_sql import ALIVE, alive
from store.records import Annotation
from store.schema.migrations import MOVE_KINDS
from store.sqlite import Database

WITHDRAWN = "withdrawn"
IN_FORCE = (
    f"a.value != '{WITHDRAWN}' AND NOT EXISTS (SELECT 1 FROM annotations w WHERE w.kind = 'move' "
    "AND w.trace_id = a.trace_id AND w.annotator = a.annotator AND w.span_start = a.span_start "
    f"AND w.span_end = a.span_end AND w.seq > a.seq AND w.value = '{WITHDRAWN}' AND {alive('w')})"
)
"""The SQL of whether a record of this kind is not withdrawn."""
KIND_OF_LETTER = dict(zip("UPCRBVF", MOVE_KINDS, strict=True))
"""The letters of ``trace_segments``."""
Span = tuple[int, int]


def is_value(value: str) -> bool:
    """Whether ``value`` is valid for an annotation of this kind."""
    return value in (*MOVE_KINDS, WITHDRAWN)


def latest(records: Iterable[Annotation]) -> dict[Span, Annotation]:
    """Return the record that counts for each corrected move, from the records of one trace that are not undone."""
    found: dict[Span, dict[str, Annotation]] = {}
    for record in records:
        if record.kind == "move" and record.span is not None:
            of_span = found.setdefault(record.span, {})
            of_span.pop(record.annotator, None)
            if record.value != WITHDRAWN:
                of_span[record.annotator] = record
    return {span: [*of_span.values()][-1] for span, of_span in found.items() if of_span}


def spans(db: Database, trace_ids: Sequence[str]) -> dict[str, tuple[Span, ...]]:
    """Return the corrected spans of these traces, for those that have any."""
    rows = db.execute(
        "SELECT DISTINCT a.trace_id, a.span_start, a.span_end FROM annotations a "
        f"WHERE a.kind = 'move' AND a.trace_id IN (SELECT value FROM json_each(?)) AND {IN_FORCE} AND {ALIVE} "
        "ORDER BY a.trace_id, a.span_start",
        [json.dumps(trace_ids)],
    )
    found: dict[str, tuple[Span, ...]] = {}
    for trace_id, start, end in rows:
        found[trace_id] = (*found.get(trace_id, ()), (start, end))
    return found


def corrected_traces(db: Database) -> list[str]:
    """Return the ids of the traces with corrected moves, in the order they were added."""
    return db.column(
        "SELECT t.id FROM traces t WHERE t.id IN (SELECT a.trace_id FROM annotations a "
        f"WHERE a.kind = 'move' AND {IN_FORCE} AND {ALIVE}) ORDER BY t.seq"
    )


def derive(db: Database, trace_ids: Sequence[str]) -> None:
    """Count again the moves of traces that were ever corrected, inside the caller's transaction."""
    touched = db.column(
        "SELECT DISTINCT trace_id FROM annotations "
        "WHERE kind = 'move' AND trace_id IN (SELECT value FROM json_each(?))",
        [json.dumps(trace_ids)],
    )
    for trace_id in touched:
        rows = db.execute(
            "SELECT a.span_start, a.span_end, a.value, a.annotator FROM annotations a "
            f"WHERE a.trace_id = ? AND a.kind = 'move' AND {ALIVE} ORDER BY a.seq",
            [trace_id],
        )
        records = [
            Annotation("", trace_id, "move", value, (start, end), None, None, annotator, "")
            for start, end, value, annotator in rows
        ]
        _count(db, trace_id, {span: record.value for span, record in latest(records).items()})


def _count(db: Database, trace_id: str, kinds: Mapping[Span, str]) -> None:
    moves = db.value("SELECT s.moves FROM traces t JOIN trace_segments s ON s.seq = t.seq WHERE t.id = ?", [trace_id])
    if moves is None:
        return  # not measured yet
    counts = dict.fromkeys(MOVE_KINDS, 0)
    start = 0
    for entry in moves.split():
        end = int(entry[1:])
        counts[kinds.get((start, end), KIND_OF_LETTER[entry[0]])] += 1
        start = end
    columns = ", ".join(f"{kind} = ?" for kind in MOVE_KINDS)
    db.conn.execute(f"UPDATE traces SET {columns} WHERE id = ?", (*counts.values(), trace_id))
