"""Problems and their sources."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from store.errors import NotFoundError
from store.filters import ProblemQuery
from store.filters.language import Sql
from store.naming import BEGINNING, bounds, candidates, problems_called, resolved
from store.records import NewProblem, Problem, now, scrubbed
from store.rows import insert, read_all, values
from store.sqlite import Database

_COLUMNS = """p.id, p.statement, p.answer, p.solution, p.excluded_by,
    coalesce((SELECT source FROM problem_sources s WHERE s.problem_id = p.id ORDER BY s.source LIMIT 1), '') AS source,
    (SELECT licence FROM problem_sources s WHERE s.problem_id = p.id ORDER BY s.source LIMIT 1) AS licence,
    coalesce((SELECT key FROM problem_sources s WHERE s.problem_id = p.id ORDER BY s.source LIMIT 1), '') AS key"""
EVERYTHING = ProblemQuery()
_WHERE = "`o1lab problems ls` lists them."


class Origin(NamedTuple):
    """The row of a source that a problem was imported from."""

    source: str
    key: str
    licence: str | None
    meta: Mapping[str, Any]


def add(db: Database, problems: Iterable[NewProblem]) -> list[str]:
    """Add problems inside the caller's transaction and return the ids of the new ones.

    A problem that exists already gets the additional source, and a gold answer or solution if it had none.
    """
    created_at = now()
    added: list[str] = []
    done: set[tuple[str | None, ...]] = set()
    for problem in problems:
        same = (problem.id, problem.source, problem.key, problem.answer, problem.solution)
        if same in done:  # each response in a file repeats its problem
            continue
        done.add(same)
        row = {
            "id": problem.id, "statement": problem.statement, "answer": problem.answer, "solution": problem.solution,
            "created_at": created_at,
        }  # fmt: skip
        if insert(db, "problems", [row], on_conflict="IGNORE"):
            added.append(problem.id)
        else:
            _complete(db, problem)
        origin = Origin(problem.source, problem.key, problem.licence, problem.meta)
        insert(db, "problem_sources", [{"problem_id": problem.id, **values(origin)}], on_conflict="IGNORE")
    return added


def _complete(db: Database, problem: NewProblem) -> None:
    """Fill in the answer and solution of an existing problem. A new answer makes its traces unmeasured again."""
    changed = {}
    for column, text in (("solution", problem.solution), ("answer", problem.answer)):
        if text is not None:
            query = f"UPDATE problems SET {column} = ? WHERE id = ? AND {column} IS NULL"
            changed[column] = db.conn.execute(query, (scrubbed(text), problem.id)).rowcount
    if changed.get("answer"):
        db.conn.execute("UPDATE traces SET measured_by = NULL WHERE problem_id = ?", (problem.id,))


def get(db: Database, identity: str) -> Problem | None:
    row = db.execute(f"SELECT {_COLUMNS} FROM problems p WHERE p.id = ?", [identity]).fetchone()
    return Problem(*row) if row else None


def resolve(db: Database, identity: str) -> Problem:
    """Return the problem with this id or key, or the only one whose id begins with it.

    Raises:
        NotFoundError: No problem, or several problems, have such an id or key; those are named.
    """
    rows = [
        Problem(*row) for row in db.execute(f"SELECT {_COLUMNS} FROM problems p WHERE {BEGINNING}", bounds(identity))
    ]
    if any(row.id == identity for row in rows):
        return resolved(rows, identity, "problem", _WHERE)
    keyed = set(problems_called(db, identity))
    begins = {rows[0].id} if len(rows) == 1 else set()
    if len(keyed | begins) > 1:
        listed = candidates(sorted(keyed | begins))
        raise NotFoundError(
            f"Several problems have the key '{identity}', or an id that begins so.", f"{listed} {_WHERE}"
        )
    if keyed:
        rows = several(db, keyed)
    elif not rows:
        raise NotFoundError(f"No problem has the key '{identity}', or an id that begins with it.", _WHERE)
    return rows[0] if len(rows) == 1 else resolved(rows, identity, "problem", _WHERE)


def several(db: Database, identities: Iterable[str]) -> list[Problem]:
    """Return those problems with these ids that exist, in the order in which they were added."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM problems p WHERE p.id IN (SELECT value FROM json_each(?)) ORDER BY p.rowid",
        [json.dumps(list(identities))],
    )
    return [Problem(*row) for row in rows]


def find(db: Database, statement: str) -> Problem | None:
    """Return the problem with this statement; white space and Unicode form do not matter."""
    return get(db, NewProblem(statement, "").id)


def by_key(db: Database, source: str, key: str) -> Problem | None:
    """Return the problem with this key in ``source``; the first one added if there are several."""
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
    """Return one page of the problems of a filter, in the order in which they were added.

    Args:
        db: The lab's database.
        query: The filter.
        source: Only problems of the source with exactly this name.
        limit: Maximum number of problems.
        offset: Number of problems to skip.
    """
    condition, parameters = _where(query, source)
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM problems p WHERE {condition} ORDER BY p.rowid LIMIT ? OFFSET ?",
        [*parameters, limit, offset],
    )
    return [Problem(*row) for row in rows]


def count(db: Database, query: ProblemQuery = EVERYTHING, *, source: str | None = None) -> int:
    """Count the problems of a filter, or only those of one source."""
    condition, parameters = _where(query, source)
    return int(db.value(f"SELECT count(*) FROM problems p WHERE {condition}", parameters))


def select(db: Database, query: ProblemQuery, *, limit: int | None = None, batch: int = 500) -> Iterator[Problem]:
    """Yield the problems of a filter in the order in which they were added, reading one batch at a time.

    The caller may write in the meantime: each batch is a separate statement.
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
    """Return (problem id, source, key) once for each problem of these sources; case does not matter."""
    return db.execute(
        "SELECT s.problem_id, min(s.source), s.key FROM problem_sources s JOIN problems p ON p.id = s.problem_id "
        "WHERE lower(s.source) IN (SELECT lower(value) FROM json_each(?)) GROUP BY s.problem_id ORDER BY p.rowid",
        [json.dumps(list(names))],
    ).fetchall()


def origins(db: Database, identity: str) -> list[Origin]:
    """Return each row of each source that a problem was imported from."""
    return read_all(db, Origin, "FROM problem_sources WHERE problem_id = ? ORDER BY source, key", [identity])


def sources(db: Database) -> list[tuple[str, int]]:
    """Return (source, number of problems), by name."""
    return db.execute(
        "SELECT source, count(DISTINCT problem_id) FROM problem_sources GROUP BY source ORDER BY source"
    ).fetchall()


def _where(query: ProblemQuery, source: str | None) -> Sql:
    condition, parameters = query.where()
    if source is not None:
        condition += " AND p.id IN (SELECT problem_id FROM problem_sources WHERE source = ?)"
        parameters.append(source)
    return condition, parameters
