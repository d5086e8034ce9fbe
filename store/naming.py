"""Finding the rows of a lab by what a user typed: ids, the beginnings of ids, the keys of problems; and completion.

A whole id or key always names its row. A beginning names a row if it is the only one with this beginning; otherwise the
error lists the candidates.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

from store.errors import NotFoundError
from store.sqlite import Database

ENOUGH = 11
"""Rows with the same beginning to read: ten are named as candidates, and one more shows that there are others."""
BEGINNING = f"id >= ? AND id < ? ORDER BY id LIMIT {ENOUGH}"
"""SQL for hexadecimal ids with a beginning, see :func:`bounds`."""
_COMPLETIONS = 100
_LOCK_WAIT_S = 0.2


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


Identified = TypeVar("Identified", bound=_HasId)


def bounds(prefix: str) -> tuple[str, str]:
    """Return the values of ``BEGINNING``: in hexadecimal ids, g sorts after every digit."""
    return prefix, prefix + "g"


def resolved(rows: Sequence[Identified], prefix: str, noun: str, hint: str) -> Identified:
    """Choose the row that a user named by its id or the beginning of it.

    Args:
        rows: Rows whose ids begin with ``prefix``; at most ``ENOUGH`` are needed.
        prefix: What the user typed.
        noun: What the rows are, for the message: "trace".
        hint: Where the user finds the ids.

    Raises:
        NotFoundError: No row, or several rows, have such an id; those are named.
    """
    found = [row for row in rows if row.id == prefix] or rows
    if not found or not prefix:
        raise NotFoundError(f"No {noun} begins with '{prefix}'.", hint)
    if len(found) > 1:
        raise NotFoundError(f"Several {noun}s begin with '{prefix}'.", f"{candidates(row.id for row in found)} {hint}")
    return found[0]


def without_model(key: str, model: str) -> str:
    """Return a trace's key without the model's name, with which the keys of many files begin."""
    return key.removeprefix(model).lstrip("_-:/ ") or key


def candidates(names: Iterable[str]) -> str:
    """Return a sentence that lists what a user may have meant, the first ten of them."""
    first = list(islice(names, ENOUGH))
    return f"Candidates: {', '.join(first[: ENOUGH - 1])}{' and more' if len(first) == ENOUGH else ''}."


def problems_called(db: Database, key: str) -> list[str]:
    """Return the ids of the problems with this key in any source, or, for ``SOURCE:KEY``, in that source."""
    query = "SELECT problem_id FROM problem_sources WHERE key = ?"
    named = set(db.column(query, [key])) if key else set()
    for at in (at for at, character in enumerate(key) if character == ":"):
        named.update(db.column(f"{query} AND source = ?", [key[at + 1 :], key[:at]]))
    return sorted(named)


def called(
    db: Database,
    table: str,
    columns: str,
    make: Callable[[Sequence[Any]], Identified],
    *,
    name: str,
    noun: str,
    hint: str,
    others: Callable[[str], Sequence[Identified]] = lambda name: (),
    about: Callable[[Identified], str] | None = None,
) -> Identified:
    """Return the row with an id, else the only one of the problems with a key, else the only one whose id begins so.

    Args:
        db: The database.
        table: The table and its alias; it has the columns ``id`` and ``problem_id``.
        columns: The columns to read.
        make: Makes the row.
        name: What the user typed.
        noun: What the rows are, for the message: "trace".
        hint: Where the user finds the ids.
        others: Returns at most ``ENOUGH`` rows that match the name in another way; called only if no row matches by id.
        about: Describes a candidate, with its id; the message then has a line for each candidate.

    Raises:
        NotFoundError: No row, or several rows, match; those are listed. A row with this key is preferred to one whose
            id only begins with it.
    """
    begun = [make(row) for row in db.execute(f"SELECT {columns} FROM {table} WHERE {BEGINNING}", bounds(name))]
    if any(row.id == name for row in begun):
        return resolved(begun, name, noun, hint)
    of_problems = f"problem_id IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT {ENOUGH}"
    problems = [json.dumps(problems_called(db, name))]
    keyed = [make(row) for row in db.execute(f"SELECT {columns} FROM {table} WHERE {of_problems}", problems)]
    if name and not (keyed or begun):
        keyed = list(others(name))
    both = {row.id: row for row in (*keyed, *begun)}
    if keyed and len(both) > 1:
        several = f"Several {noun}s belong to a problem called '{name}', or have an id that begins so"
        if about is None:
            raise NotFoundError(f"{several}.", f"{candidates(sorted(both))} {hint}")
        lines = [about(row) for row in list(both.values())[: ENOUGH - 1]]
        more = f"\nand more. {hint}" if len(both) >= ENOUGH else ""
        raise NotFoundError(f"{several}.", "\n".join(["Candidates: give the id of one.", *lines]) + more)
    return resolved(keyed or begun, keyed[0].id if keyed else name, noun, hint)


def item_called(db: Database, evaluation_id: str, typed: str) -> str:
    """Return the id of the item of an evaluation that a user named in full or by its beginning.

    Raises:
        NotFoundError: No item, or several items, have such an id; those are named.
    """
    rows = db.column(
        "SELECT item FROM evaluation_items WHERE evaluation_id = ? AND substr(item, 1, ?) = ? "
        "ORDER BY item <> ?, item LIMIT ?",
        [evaluation_id, len(typed), typed, typed, ENOUGH],
    )
    found = rows if typed else []
    if len(found) == 1 or typed in found:
        return str(found[0])
    hint = f"`o1lab eval samples {evaluation_id}` lists them."
    if found:
        raise NotFoundError(f"Several items begin with '{typed}'.", f"{candidates(found)} {hint}")
    raise NotFoundError(f"Evaluation {evaluation_id} has no item '{typed}'.", hint)


_LISTS = {
    "trace": "SELECT id, model || ' ' || coalesce(verdict, '') FROM traces WHERE id >= :from AND id < :to ORDER BY id",
    "tree": "SELECT id, source || ' ' || key FROM trees WHERE id >= :from AND id < :to ORDER BY id",
    "problem": "SELECT id, substr(statement, 1, 80) FROM problems WHERE id >= :from AND id < :to ORDER BY id",
    "key": "SELECT DISTINCT key, source FROM problem_sources WHERE key <> '' AND key >= :from AND key < :to "
    "ORDER BY key",
    "label": "SELECT name, colour FROM labels WHERE name >= :from AND name < :to ORDER BY digit IS NULL, digit",
    "prompt set": "SELECT name, 'prompt set' FROM prompt_sets WHERE name >= :from AND name < :to ORDER BY name",
    "source": "SELECT source, count(*) || ' problems' FROM problem_sources WHERE source >= :from AND source < :to "
    "GROUP BY source ORDER BY source",
    "dataset": "SELECT name, rows || ' rows' FROM datasets WHERE name >= :from AND name < :to ORDER BY created_at DESC",
    "item": "SELECT item, substr(question, 1, 80) FROM evaluation_items WHERE evaluation_id LIKE :of || '%' "
    "AND item >= :from AND item < :to ORDER BY item",
}


def beginning_with(path: Path, what: str, prefix: str, *, of: str = "") -> list[tuple[str, str]]:
    """Return names that begin with ``prefix``, each with a few words on what it names, for completion in a shell.

    Nothing is written: a database that needs a migration stays as it is.

    Args:
        path: The lab's database.
        what: trace, tree, problem, key (of a problem), dataset or item.
        prefix: What the user has typed.
        of: For items, the beginning of the id of their evaluation.

    Raises:
        sqlite3.Error: The database cannot be read.
    """
    address = f"{path.absolute().as_uri()}?mode=ro"
    values = {"from": prefix, "to": prefix + "\U0010ffff", "of": of}
    with closing(sqlite3.connect(address, uri=True, timeout=_LOCK_WAIT_S)) as connection:
        connection.text_factory = lambda data: data.decode(errors="replace")
        return [
            (str(name), str(about))
            for name, about in connection.execute(f"{_LISTS[what]} LIMIT {_COMPLETIONS}", values)
        ]
