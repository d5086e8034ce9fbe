"""The candidates for the rows of a dataset: one small record per trace, streamed in the order of a filter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from store import annotations as annotation_log
from store import decisions
from store.filters import TraceQuery
from store.records import decode, spans_of, visible_text
from store.rows import read
from store.sqlite import Database

ORIGINS = """WITH RECURSIVE origins(id) AS (SELECT t.id UNION
    SELECT o.parent_id FROM origins JOIN traces o ON o.id = origins.id WHERE o.parent_id IS NOT NULL)"""
"""``origins``: trace ``t`` and its ancestors, the traces that it was translated or edited from."""
EVALUATED = f"""(t.source GLOB 'eval/*' OR (t.parent_id IS NOT NULL AND EXISTS ({ORIGINS} SELECT 1 FROM origins
    JOIN traces o ON o.id = origins.id WHERE o.source GLOB 'eval/*')))"""
"""Whether trace ``t``, or one of its ancestors, is a labelled answer to an evaluation."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trace that could become a row of a dataset.

    Attributes:
        looping: Whether the thought loops; None until measured.
        verdict: The verifier's verdict; None until measured.
        reflective: Number of reflections, backtrackings and checks; None until measured.
        thought: Length of the thought in code points.
        solution: Length of the solution in code points.
        excluded_by: The rule that excludes its problem, or the problem of an ancestor.
        rejected_by_run: Whether the teacher run that made it rejected it.
        evaluated: Whether it, or one of its ancestors, answers an evaluation.
    """

    seq: int
    id: str
    problem_id: str
    decision: str | None
    complete: bool
    looping: bool | None
    verdict: str | None
    reflective: int | None
    thought: int
    solution: int
    excluded_by: str | None
    rejected_by_run: bool
    evaluated: bool = False


def candidates(db: Database, query: TraceQuery) -> Iterator[Candidate]:
    """Yield the traces of a filter in its order, without their texts."""
    condition, parameters = query.where()
    rows = db.execute(
        f"""SELECT t.seq, t.id, t.problem_id, t.decision, t.complete, t.looping, t.verdict,
                   t.reflect + t.backtrack + t.verify, x.thought_end - x.thought_start,
                   x.solution_end - x.solution_start, coalesce(p.excluded_by, CASE WHEN t.parent_id IS NOT NULL THEN (
                       {ORIGINS} SELECT q.excluded_by FROM origins JOIN traces o ON o.id = origins.id
                       JOIN problems q ON q.id = o.problem_id WHERE q.excluded_by IS NOT NULL LIMIT 1) END),
                   EXISTS (SELECT 1 FROM responses r WHERE r.trace_id = t.id AND r.state = 'rejected')
                   AND NOT EXISTS (SELECT 1 FROM responses r WHERE r.trace_id = t.id AND r.state = 'kept'),
                   {EVALUATED}
            FROM traces t JOIN trace_texts x ON x.seq = t.seq JOIN problems p ON p.id = t.problem_id
            WHERE {condition} ORDER BY {query.order}""",
        parameters,
    )
    for row in rows:
        yield read(Candidate, row)


def texts(db: Database, candidate: Candidate) -> tuple[str, str, str]:
    """Return the statement, thought and solution of one candidate."""
    statement, raw, a, b, c, d, outside = db.execute(
        """SELECT p.statement, x.raw, x.thought_start, x.thought_end, x.solution_start, x.solution_end, x.outside
           FROM trace_texts x, problems p WHERE x.seq = ? AND p.id = ?""",
        [candidate.seq, candidate.problem_id],
    ).fetchone()
    text = decode(raw)
    return statement, text[a:b], visible_text(text, (c, d), spans_of(outside))


def decided_at(db: Database, trace_id: str) -> str:
    """Return when the current decision was made, as text that sorts by time; empty without a decision."""
    return decisions.made_at(db, annotation_log.of_trace(db, trace_id))
