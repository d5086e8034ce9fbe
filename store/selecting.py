"""What choosing a dataset's rows looks at: one small record a trace, streamed in the order of a filter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from store import annotations as annotation_log
from store.filters import TraceQuery
from store.records import decode
from store.sqlite import Database

ORIGINS = """WITH RECURSIVE origins(id) AS (SELECT t.id UNION
    SELECT o.parent_id FROM origins JOIN traces o ON o.id = origins.id WHERE o.parent_id IS NOT NULL)"""
"""``origins``: a trace ``t`` and all it was made from (translated, edited): what is said of their problems is of it."""
EVALUATED = f"""(t.source GLOB 'eval/*' OR (t.parent_id IS NOT NULL AND EXISTS ({ORIGINS} SELECT 1 FROM origins
    JOIN traces o ON o.id = origins.id WHERE o.source GLOB 'eval/*')))"""
"""Whether a trace ``t``, or one it was made from, is an answer to an evaluation that a person labelled."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trace that could be a row. ``thought`` and ``solution`` are lengths in code points.

    ``looping``, ``verdict`` and ``reflective`` (its reflections, backtrackings and checks) are None until measured.
    ``excluded_by``: the rule that excludes its problem, or that of a trace it was made from. ``rejected_by_run``: the
    teacher run that made it marked it as not good enough. ``evaluated``: it, or one it was made from, answers an
    evaluation.
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
    """The traces of a filter in its order; their texts are not read."""
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
        (
            seq, trace_id, problem, decision, complete, looping, verdict, reflective, thought, solution, excluded, run,
            evaluated,
        ) = row  # fmt: skip
        yield Candidate(
            seq, trace_id, problem, decision, bool(complete), None if looping is None else bool(looping), verdict,
            reflective, thought, solution, excluded, bool(run), bool(evaluated),
        )  # fmt: skip


def texts(db: Database, candidate: Candidate) -> tuple[str, str, str]:
    """Statement, thought and solution of one candidate."""
    statement, raw, a, b, c, d = db.execute(
        """SELECT p.statement, x.raw, x.thought_start, x.thought_end, x.solution_start, x.solution_end
           FROM trace_texts x, problems p WHERE x.seq = ? AND p.id = ?""",
        [candidate.seq, candidate.problem_id],
    ).fetchone()
    text = decode(raw)
    return statement, text[a:b], text[c:d]


def decided_at(db: Database, trace_id: str) -> str:
    """When the decision that stands was made, as text that sorts by time; empty without one."""
    decisions = [record.created_at for record in annotation_log.of_trace(db, trace_id) if record.kind == "decision"]
    return decisions[-1] if decisions else ""
