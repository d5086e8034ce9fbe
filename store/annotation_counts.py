"""What annotators and judges wrote on traces, counted for the lists."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from store.annotation_sql import ALIVE
from store.sqlite import Database


class Counts(NamedTuple):
    """The numbers of labelled spans, notes and tags of a trace, and of those who annotated it."""

    labels: int = 0
    notes: int = 0
    tags: int = 0
    annotators: int = 0


def of_traces(db: Database, trace_ids: Sequence[str]) -> dict[str, Counts]:
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


def of_trace(db: Database, trace_id: str) -> Counts:
    """Return the counts of one trace."""
    return of_traces(db, [trace_id]).get(trace_id, Counts())
