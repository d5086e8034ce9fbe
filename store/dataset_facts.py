"""Counts for a dataset's card: sources, licences, models, teacher runs, verdicts, exclusions."""

from __future__ import annotations

import json
from collections.abc import Sequence

from store.selecting import ORIGINS
from store.sqlite import Database

_COLUMNS = {
    "model": "t.model",
    "synthesis": "t.synthesis",
    "verdict": "coalesce(t.verdict, '')",
    "decision": "coalesce(t.decision, '')",
    "measured_by": "coalesce(t.measured_by, '')",
}
# The trace of each row, and its ancestors.
_MADE_FROM = """WITH RECURSIVE made_from(position, id) AS (
    SELECT position, trace_id FROM dataset_traces WHERE name = :name UNION
    SELECT m.position, t.parent_id FROM made_from m JOIN traces t ON t.id = m.id WHERE t.parent_id IS NOT NULL)"""
_ROWS = "dataset_traces d JOIN traces t ON t.id = d.trace_id"


def counts(db: Database, name: str, column: str) -> dict[str, int]:
    """Count rows by model, synthesis, verdict, decision or measured_by, the most frequent first; NULL counts as ''."""
    sql = f"SELECT {_COLUMNS[column]}, count(*) FROM {_ROWS} WHERE d.name = ? GROUP BY 1 ORDER BY 2 DESC, 1"
    return dict(db.execute(sql, [name]))


def makers(db: Database, name: str) -> list[tuple[str, str, str, str | None, int]]:
    """Return (model, synthesis, source, licence, number of rows) of the responses."""
    return db.execute(
        f"SELECT t.model, t.synthesis, t.source, t.licence, count(*) FROM {_ROWS} WHERE d.name = ? "
        "GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC, 1, 2, 3, 4",
        [name],
    ).fetchall()


def problem_sources(db: Database, name: str) -> list[tuple[str, str | None, int]]:
    """Return (source, licence, number of rows) of the problems; one with several sources counts for each."""
    return db.execute(
        f"SELECT s.source, s.licence, count(DISTINCT d.position) FROM {_ROWS} "
        "JOIN problem_sources s ON s.problem_id = t.problem_id WHERE d.name = ? GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2",
        [name],
    ).fetchall()


def licences(db: Database, name: str) -> dict[str, int]:
    """Count rows by licence, of the problem or of the response; 'unknown' where none is given."""
    sql = f"""SELECT licence, count(DISTINCT position) FROM (
                  SELECT d.position AS position, coalesce(t.licence, 'unknown') AS licence
                  FROM {_ROWS} WHERE d.name = :name
                  UNION
                  SELECT d.position, coalesce(s.licence, 'unknown') FROM {_ROWS}
                  JOIN problem_sources s ON s.problem_id = t.problem_id WHERE d.name = :name
              ) GROUP BY licence ORDER BY 2 DESC, 1"""
    return dict(db.execute(sql, {"name": name}))


def licences_of_source(db: Database, source: str) -> list[str | None]:
    """Return the licences of the problems and traces of a source, None where none is given."""
    return db.column(
        "SELECT licence FROM traces WHERE source = ?1 UNION SELECT licence FROM problem_sources WHERE source = ?1",
        [source],
    )


def with_ancestors(db: Database, name: str) -> list[str]:
    """Return the traces of the rows and those that they were made from, which come first."""
    return db.column(
        f"{_MADE_FROM} SELECT t.id FROM traces t WHERE t.id IN (SELECT id FROM made_from) ORDER BY t.seq",
        {"name": name},
    )


def runs(db: Database, name: str) -> dict[str, int]:
    """Count rows by the teacher run that made them or one of their ancestors."""
    sql = f"""{_MADE_FROM} SELECT r.run_id, count(DISTINCT m.position) FROM made_from m
              JOIN responses r ON r.trace_id = m.id GROUP BY 1 ORDER BY 2 DESC, 1"""
    return dict(db.execute(sql, {"name": name}))


def without_run(db: Database, name: str) -> int:
    """Count rows whose trace, or one of its ancestors, was not made by a teacher run."""
    sql = f"""{_MADE_FROM} SELECT count(DISTINCT m.position) FROM made_from m
              WHERE NOT EXISTS (SELECT 1 FROM responses r WHERE r.trace_id = m.id)"""
    return int(db.value(sql, {"name": name}))


def parents(db: Database, name: str) -> dict[str, int]:
    """Count rows that were edited or translated from another trace, by the model of that trace."""
    sql = f"""SELECT p.model, count(*) FROM {_ROWS} JOIN traces p ON p.id = t.parent_id WHERE d.name = ?
              GROUP BY 1 ORDER BY 2 DESC, 1"""
    return dict(db.execute(sql, [name]))


def excluded(db: Database, name: str) -> dict[str, int]:
    """Count rows whose problem, or that of an ancestor, is now excluded from the pool, by rule."""
    sql = f"""SELECT rule, count(*) FROM (
                  SELECT ({ORIGINS} SELECT q.excluded_by FROM origins JOIN traces o ON o.id = origins.id
                          JOIN problems q ON q.id = o.problem_id WHERE q.excluded_by IS NOT NULL LIMIT 1) AS rule
                  FROM {_ROWS} WHERE d.name = ?)
              WHERE rule IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1"""
    return dict(db.execute(sql, [name]))


def of_sources(db: Database, name: str, sources: Sequence[str]) -> dict[str, int]:
    """Count rows whose problem, or that of an ancestor, is from one of these sources."""
    sql = f"""SELECT source, count(*) FROM (
                  SELECT DISTINCT d.position, s.source AS source FROM {_ROWS}
                  JOIN problem_sources s ON s.source IN (SELECT value FROM json_each(?)) AND s.problem_id IN (
                      {ORIGINS} SELECT o.problem_id FROM origins JOIN traces o ON o.id = origins.id)
                  WHERE d.name = ?)
              GROUP BY 1 ORDER BY 2 DESC, 1"""
    return dict(db.execute(sql, [json.dumps(list(sources)), name]))


def rulings(db: Database) -> dict[str, int]:
    """Count problems of the pool by a person's latest ruling: keep, exclude."""
    return dict(
        db.execute(
            "SELECT ruling, count(*) FROM rulings r WHERE ruling != 'none' "
            "AND seq = (SELECT max(seq) FROM rulings l WHERE l.problem_id = r.problem_id) GROUP BY 1 ORDER BY 1"
        )
    )


def twins(db: Database, rule: str) -> dict[str, int]:
    """Count the findings of ``rule`` in the pool by the source of the problem that each resembles."""
    sql = """SELECT s.source, count(DISTINCT e.problem_id) FROM exclusions e
             JOIN problem_sources s ON s.problem_id = e.twin WHERE e.rule = ? GROUP BY 1 ORDER BY 2 DESC, 1"""
    return dict(db.execute(sql, [rule]))


def hits(db: Database, name: str, rule: str) -> int:
    """Count rows whose problem, or that of an ancestor, has a finding of ``rule``, overruled or not."""
    sql = f"""SELECT count(*) FROM {_ROWS} WHERE d.name = ? AND EXISTS (
                  SELECT 1 FROM exclusions e WHERE e.rule = ? AND e.problem_id IN (
                      {ORIGINS} SELECT o.problem_id FROM origins JOIN traces o ON o.id = origins.id))"""
    return int(db.value(sql, [name, rule]))
