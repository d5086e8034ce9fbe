"""Teacher runs and the outcome of each of their responses. The responses themselves are in the journals of the runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from store.naming import resolved
from store.records import now
from store.rows import insert, read_all, values
from store.sqlite import Database

_CODE = "substr(reason, 1, instr(reason || ': ', ': ') - 1)"


@dataclass(frozen=True, slots=True)
class TeacherRun:
    """One teacher run; ``prompt`` is ``name@version``."""

    id: str
    dir: str
    method: str
    endpoint: str
    model: str
    prompt: str
    settings: dict[str, Any]
    created_at: str = field(default_factory=now)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one sample. ``item`` is the id of the problem, or of the trace that is rewritten."""

    item: str
    sample: int
    state: Literal["kept", "rejected", "failed"]
    reason: str = ""
    trace_id: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts and sums of a run's outcomes.

    Attributes:
        done: Samples that did not fail; verdicts are counted among them.
        rejected: Samples whose response was rejected by the run.
        failed: Samples that failed; they are asked again when the run resumes.
        input_tokens: Of the samples that did not fail; the journal has the total. The same for ``output_tokens``
            and ``cost_usd``.
    """

    done: int = 0
    correct: int = 0
    incorrect: int = 0
    unverifiable: int = 0
    rejected: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


def add(db: Database, run: TeacherRun) -> None:
    """Register a run; an existing one is left unchanged."""
    with db.atomic():
        insert(db, "teacher_runs", [run], on_conflict="IGNORE")


def get(db: Database, identity: str) -> TeacherRun:
    """Return the run with this id, or the only one whose id begins with it.

    Raises:
        NotFoundError: No run, or several runs, have such an id.
    """
    found = [run for run in all_runs(db) if run.id.startswith(identity)]
    return resolved(found, identity, "teacher run", "`o1lab distill ls` lists them.")


def all_runs(db: Database) -> list[TeacherRun]:
    """Return every run, the newest first."""
    return read_all(db, TeacherRun, "FROM teacher_runs ORDER BY created_at DESC")


def has_traces(db: Database, run_id: str) -> bool:
    """Whether traces of the lab came from this run."""
    return db.value("SELECT 1 FROM responses WHERE run_id = ? AND trace_id IS NOT NULL LIMIT 1", [run_id]) is not None


def remove(db: Database, run_id: str) -> None:
    """Delete a run and the outcomes of its samples; traces are not deleted."""
    with db.atomic():
        db.conn.execute("DELETE FROM responses WHERE run_id = ?", [run_id])
        db.conn.execute("DELETE FROM teacher_runs WHERE id = ?", [run_id])


def add_outcomes(db: Database, run_id: str, outcomes: Iterable[Outcome]) -> None:
    """Record outcomes inside the caller's transaction; a later outcome of a sample replaces a failed one."""
    same = {"run_id": run_id, "created_at": now()}
    insert(db, "responses", ({**same, **values(one)} for one in outcomes), on_conflict="REPLACE")


def ended(db: Database, run_id: str, items: Iterable[str]) -> set[tuple[str, int]]:
    """Return the (item, sample) pairs of these items that have an outcome other than failure."""
    rows = db.execute(
        "SELECT item, sample FROM responses WHERE run_id = ? AND state != 'failed' "
        "AND item IN (SELECT value FROM json_each(?))",
        [run_id, json.dumps(list(items))],
    )
    return set(rows)


def failed(db: Database, run_id: str) -> set[tuple[str, int]]:
    """Return the (item, sample) pairs of a run that failed."""
    return set(db.execute("SELECT item, sample FROM responses WHERE run_id = ? AND state = 'failed'", [run_id]))


def tally(db: Database, run_id: str) -> Tally:
    """Return the counts and sums of the run's outcomes so far."""
    row = db.execute(
        """SELECT count(*) FILTER (WHERE r.state != 'failed'),
                  count(*) FILTER (WHERE r.state != 'failed' AND t.verdict = 'correct'),
                  count(*) FILTER (WHERE r.state != 'failed' AND t.verdict = 'incorrect'),
                  count(*) FILTER (WHERE r.state != 'failed' AND t.verdict = 'unverifiable'),
                  count(*) FILTER (WHERE r.state = 'rejected'), count(*) FILTER (WHERE r.state = 'failed'),
                  coalesce(sum(r.input_tokens) FILTER (WHERE r.state != 'failed'), 0),
                  coalesce(sum(r.output_tokens) FILTER (WHERE r.state != 'failed'), 0),
                  coalesce(sum(r.cost_usd) FILTER (WHERE r.state != 'failed'), 0)
           FROM responses r LEFT JOIN traces t ON t.id = r.trace_id WHERE r.run_id = ?""",
        [run_id],
    ).fetchone()
    return Tally(*row)


def reasons(db: Database, run_id: str) -> Mapping[str, int]:
    """Count the reasons why samples were rejected or failed, the most frequent first.

    A reason is counted without its details, the part after the colon; :func:`details` has examples of them.
    """
    sql = f"""SELECT {_CODE}, count(*) FROM responses WHERE run_id = ? AND state != 'kept'
              GROUP BY 1 ORDER BY 2 DESC, 1"""
    return dict(db.execute(sql, [run_id]))


def details(db: Database, run_id: str) -> Mapping[str, str]:
    """Return an example with details for each of :func:`reasons` that has any."""
    sql = f"""SELECT {_CODE}, min(reason) FROM responses
              WHERE run_id = ? AND state != 'kept' AND reason != {_CODE} GROUP BY 1"""
    return dict(db.execute(sql, [run_id]))


def usual_output(db: Database, endpoint: str, prompt: str) -> tuple[int, float | None]:
    """Return (number of samples, mean output tokens per sample) of earlier runs of an endpoint with a prompt."""
    row = db.execute(
        "SELECT count(*), avg(r.output_tokens) FROM responses r JOIN teacher_runs t ON t.id = r.run_id "
        "WHERE t.endpoint = ? AND t.prompt = ? AND r.state != 'failed'",
        [endpoint, prompt],
    ).fetchone()
    return int(row[0]), row[1]
