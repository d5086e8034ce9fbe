"""Problems and where they came from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from store.errors import MissingError
from store.filters import ProblemQuery
from store.filters.language import Sql
from store.records import NewProblem, Problem, now, scrubbed
from store.sqlite import Database

_COLUMNS = """p.id, p.statement, p.answer, p.solution, p.excluded_by,
    coalesce((SELECT source FROM problem_sources s WHERE s.problem_id = p.id ORDER BY s.source LIMIT 1), '') AS source,
    (SELECT licence FROM problem_sources s WHERE s.problem_id = p.id ORDER BY s.source LIMIT 1) AS licence,
    coalesce((SELECT key FROM problem_sources s WHERE s.problem_id = p.id ORDER BY s.source LIMIT 1), '') AS key"""
EVERYTHING = ProblemQuery()


class Origin(NamedTuple):
    """One row of a source that a problem came from."""

    source: str
    key: str
    licence: str | None
    meta: dict[str, Any]


def add(db: Database, problems: Iterable[NewProblem]) -> int:
    """Add problems inside the caller's transaction and return how many were new.

    A problem that is there gains the new source, and a gold answer or solution it lacked; it never loses one.
    """
    added, created_at = 0, now()
    for problem in problems:
        identity = problem.id
        new = db.conn.execute(
            "INSERT OR IGNORE INTO problems(id, statement, answer, solution, created_at) VALUES (?, ?, ?, ?, ?)",
            (
                identity,
                scrubbed(problem.statement),
                _text(problem.answer),
                _text(problem.solution),
                created_at,
            ),
        ).rowcount
        added += new
        if not new:
            _complete(db, problem)
        db.conn.execute(
            "INSERT OR IGNORE INTO problem_sources(problem_id, source, key, licence, meta) VALUES (?, ?, ?, ?, ?)",
            (
                identity,
                scrubbed(problem.source),
                scrubbed(problem.key),
                _text(problem.licence),
                scrubbed(json.dumps(dict(problem.meta))),
            ),
        )
    return added


def _complete(db: Database, problem: NewProblem) -> None:
    """Give a problem that is there what it lacked. With a gold answer its traces are to be verified again."""
    identity = problem.id
    if problem.solution is not None:
        db.conn.execute(
            "UPDATE problems SET solution = ? WHERE id = ? AND solution IS NULL", (_text(problem.solution), identity)
        )
    if problem.answer is not None and (
        db.conn.execute(
            "UPDATE problems SET answer = ? WHERE id = ? AND answer IS NULL", (_text(problem.answer), identity)
        ).rowcount
    ):
        db.conn.execute("UPDATE traces SET measured_by = NULL WHERE problem_id = ?", (identity,))


def get(db: Database, identity: str) -> Problem | None:
    row = db.execute(f"SELECT {_COLUMNS} FROM problems p WHERE p.id = ?", [identity]).fetchone()
    return Problem(*row) if row else None


def resolve(db: Database, identity: str) -> Problem:
    """The problem with this id, or with the only id that begins so.

    Raises:
        MissingError: there is none, or several begin so.
    """
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM problems p WHERE p.id >= ? AND p.id < ? ORDER BY p.id LIMIT 2",
        [identity, identity + "g"],  # ids are hexadecimal: g is beyond every digit
    ).fetchall()
    found = [Problem(*row) for row in rows]
    exact = [problem for problem in found if problem.id == identity] or found
    if len(exact) != 1 or not identity:
        raise MissingError(
            f"{'Several problems begin' if found else 'No problem begins'} with '{identity}'.",
            "`o1lab problems ls` lists them.",
        )
    return exact[0]


def several(db: Database, identities: Iterable[str]) -> list[Problem]:
    """The problems with these ids, as far as they are there, in order of their arrival."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM problems p WHERE p.id IN (SELECT value FROM json_each(?)) ORDER BY p.rowid",
        [json.dumps(list(identities))],
    )
    return [Problem(*row) for row in rows]


def find(db: Database, statement: str) -> Problem | None:
    """The problem with this statement, white space and Unicode form aside."""
    return get(db, NewProblem(statement, "").id)


def by_key(db: Database, source: str, key: str) -> Problem | None:
    """The problem that ``source`` knows as ``key``; the one that came first, if there are several."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM problems p WHERE p.rowid = (SELECT min(o.rowid) FROM problem_sources s "
        "JOIN problems o ON o.id = s.problem_id WHERE s.source = ? AND s.key = ?)",
        [source, key],
    ).fetchone()
    return Problem(*row) if row else None


def page(
    db: Database,
    query: ProblemQuery = EVERYTHING,
    *,
    source: str | None = None,
    limit: int = 100,
    offset: int = 0,
) -> list[Problem]:
    """Some problems of a filter, in the order in which they were added.

    Args:
        db: the lab's database.
        query: the filter.
        source: only problems of the source with exactly this name.
        limit: the number of problems at most.
        offset: the number of problems to skip.
    """
    condition, parameters = _where(query, source)
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM problems p WHERE {condition} ORDER BY p.rowid LIMIT ? OFFSET ?",
        [*parameters, limit, offset],
    )
    return [Problem(*row) for row in rows]


def count(db: Database, query: ProblemQuery = EVERYTHING, *, source: str | None = None) -> int:
    """The number of problems of a filter, or of those of them that one source has."""
    condition, parameters = _where(query, source)
    return int(db.execute(f"SELECT count(*) FROM problems p WHERE {condition}", parameters).fetchone()[0])


def select(db: Database, query: ProblemQuery, *, limit: int | None = None, batch: int = 500) -> Iterator[Problem]:
    """The problems of a filter in the order in which they were added, read in batches: memory stays flat.

    The caller may write meanwhile: each batch is a statement of its own.
    """
    condition, parameters = query.where()
    after, left = 0, -1 if limit is None else limit
    while left:
        size = batch if left < 0 else min(batch, left)
        rows = db.execute(
            f"SELECT p.rowid, {_COLUMNS} FROM problems p WHERE ({condition}) AND p.rowid > ? ORDER BY p.rowid LIMIT ?",
            [*parameters, after, size],
        ).fetchall()
        yield from (Problem(*row[1:]) for row in rows)
        if len(rows) < size:
            return
        after = rows[-1][0]
        left -= len(rows) if left > 0 else 0


def of_sources(db: Database, names: Iterable[str]) -> list[tuple[str, str, str]]:
    """(id of a problem, source, key there) for each problem of these sources, a row each; case does not matter."""
    rows = db.execute(
        "SELECT s.problem_id, min(s.source), s.key FROM problem_sources s JOIN problems p ON p.id = s.problem_id "
        "WHERE lower(s.source) IN (SELECT lower(value) FROM json_each(?)) GROUP BY s.problem_id ORDER BY p.rowid",
        [json.dumps(list(names))],
    )
    return [(str(identity), str(source), str(key)) for identity, source, key in rows]


def origins(db: Database, identity: str) -> list[Origin]:
    """Where a problem came from: each row of each source."""
    rows = db.execute(
        "SELECT source, key, licence, meta FROM problem_sources WHERE problem_id = ? ORDER BY source, key", [identity]
    )
    return [Origin(source, key, licence, json.loads(meta)) for source, key, licence, meta in rows]


def sources(db: Database) -> list[tuple[str, int]]:
    """(source, how many problems it has), by name."""
    rows = db.execute("SELECT source, count(DISTINCT problem_id) FROM problem_sources GROUP BY source ORDER BY source")
    return [(str(source), int(count)) for source, count in rows]


def _where(query: ProblemQuery, source: str | None) -> Sql:
    condition, parameters = query.where()
    if source is not None:
        condition += " AND p.id IN (SELECT problem_id FROM problem_sources WHERE source = ?)"
        parameters.append(source)
    return condition, parameters


def _text(value: str | None) -> str | None:
    return None if value is None else scrubbed(value)
