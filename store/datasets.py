"""Datasets: immutable, content-hashed snapshots of chosen traces."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from store import traces
from store.errors import MissingError, NameTakenError, NothingChosenError
from store.filters import TraceQuery
from store.records import Dataset, decode, now
from store.selecting import EVALUATED
from store.sqlite import Database

PHASES = (1, 2)
NO_SOLUTION = "no solution"
"""Why a trace is left out of a phase-1 dataset: there would be nothing to learn in its row."""
EVALUATION = "an answer to an evaluation"
"""Why a trace is left out of every dataset that does not ask for such: a student would learn what it is examined in."""
_COLUMNS = "name, hash, phase, query, rows, tokens, created_at, selection"


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """What one row teaches: in phase 1 the solution alone, in phase 2 the thought and then the solution.

    ``licence`` is that of the response, ``problem_licence`` those of the problem's sources, with commas. ``prompt`` is
    the version (``name@version``) that a teacher run asked with; null for traces that came in otherwise.
    """

    trace_id: str
    statement: str
    thought: str
    solution: str
    gold: str | None
    model: str
    source: str
    licence: str | None
    synthesis: str
    problem_id: str = ""
    problem_licence: str | None = None
    verdict: str | None = None
    tokens: int | None = None
    parent_id: str | None = None
    prompt: str | None = None


def create(db: Database, name: str, query: TraceQuery, *, phase: int = 2) -> Dataset:
    """Snapshot the traces of the query under a name, answers to evaluations left out and listed among its drops.

    The same name for the same content is no error.

    Raises:
        NameTakenError: the name stands for other content.
        NothingChosenError: the query chooses nothing.
    """
    with db.atomic():
        found = traces.ids(db, query)
        evaluated = _evaluated(db, found)
        chosen = [trace_id for trace_id in found if trace_id not in evaluated]
        drops = {trace_id: EVALUATION for trace_id in found if trace_id in evaluated}
        return snapshot(db, name, chosen, phase=phase, query=query.source, drops=drops)


def snapshot(
    db: Database,
    name: str,
    trace_ids: Sequence[str],
    *,
    phase: int = 2,
    query: str = "",
    selection: Mapping[str, Any] | None = None,
    drops: Mapping[str, str] | None = None,
) -> Dataset:
    """Keep these traces, in this order, under a name. The same name for the same content is no error.

    ``selection`` says how they were chosen, ``drops`` which traces were looked at and left out, each with its reason.
    Neither is part of the hash, which is of the rows' content. In phase 1 a trace without a solution is left out too.

    Raises:
        NameTakenError: the name stands for other content.
        NothingChosenError: nothing is chosen.
    """
    if phase not in PHASES:
        raise ValueError(phase)
    with db.atomic():
        without = _without_solution(db, trace_ids) if phase == 1 else set()
        chosen = [trace_id for trace_id in trace_ids if trace_id not in without]
        left_out = {**(drops or {}), **dict.fromkeys(sorted(without), NO_SOLUTION)}
        if not chosen:
            raise _nothing(left_out)
        digest, tokens = _hash(db, chosen, phase), _tokens(db, chosen)
        made = Dataset(name, digest, phase, query, len(chosen), tokens, now(), selection or {})
        existing = db.execute("SELECT hash FROM datasets WHERE name = ?", [name]).fetchone()
        if existing and existing[0] != made.hash:
            raise NameTakenError(
                f"A dataset '{name}' exists and holds something else.",
                "Choose another name: datasets never change.",
            )
        if not existing:
            _insert(db, made, chosen, left_out)
    return get(db, name)


def get(db: Database, name_or_hash: str) -> Dataset:
    """The dataset of this name, or of this hash or a beginning of it.

    Raises:
        MissingError: there is none.
    """
    row = db.execute(f"SELECT {_COLUMNS} FROM datasets WHERE name = ?", [name_or_hash]).fetchone() or (
        db.execute(f"SELECT {_COLUMNS} FROM datasets WHERE hash GLOB ? LIMIT 1", [name_or_hash + "*"]).fetchone()
        if len(name_or_hash) >= 4 and name_or_hash.isalnum()
        else None
    )
    if row is None:
        raise MissingError(f"There is no dataset '{name_or_hash}'.", "`o1lab dataset ls` lists them.")
    return _dataset(row)


def all_datasets(db: Database) -> list[Dataset]:
    """Every dataset, the newest first."""
    return [_dataset(row) for row in db.execute(f"SELECT {_COLUMNS} FROM datasets ORDER BY created_at DESC")]


def trace_ids(db: Database, name: str, *, limit: int = -1, offset: int = 0) -> list[str]:
    """The dataset's traces in order, all unless ``limit`` says how many; ``name`` is its very name."""
    rows = db.execute(
        "SELECT trace_id FROM dataset_rows WHERE name = ? ORDER BY position LIMIT ? OFFSET ?", [name, limit, offset]
    )
    return [row[0] for row in rows]


def rows(db: Database, name: str, *, limit: int = -1, offset: int = 0) -> Iterator[DatasetRow]:
    """The dataset's rows in order, one at a time; all unless ``limit`` says how many.

    Raises:
        MissingError: there is no such dataset.
    """
    dataset = get(db, name)
    yield from _rows(db, trace_ids(db, dataset.name, limit=limit, offset=offset), dataset.phase)


def drop_counts(db: Database, name: str) -> dict[str, int]:
    """How many traces were looked at and left out, by reason, the most frequent first."""
    found = db.execute(
        "SELECT reason, count(*) FROM dataset_drops WHERE name = ? GROUP BY reason ORDER BY 2 DESC, 1", [name]
    )
    return {str(reason): int(number) for reason, number in found}


def drops(db: Database, name: str, *, limit: int = -1, offset: int = 0) -> list[tuple[str, str]]:
    """(trace, why it was left out), by reason; all of them unless ``limit`` says how many."""
    found = db.execute(
        "SELECT trace_id, reason FROM dataset_drops WHERE name = ? ORDER BY reason, trace_id LIMIT ? OFFSET ?",
        [name, limit, offset],
    )
    return [(str(trace_id), str(reason)) for trace_id, reason in found]


def _nothing(left_out: Mapping[str, str]) -> NothingChosenError:
    if not left_out:
        return NothingChosenError("The filter chooses no trace.", "Accept some traces first, or change the filter.")
    reasons = ", ".join(sorted(set(left_out.values())))
    return NothingChosenError(
        f"None of the {len(left_out):,} traces of the filter is left: {reasons}.",
        "Change the filter, or the rules that leave traces out.",
    )


def _without_solution(db: Database, chosen: Sequence[str]) -> set[str]:
    found = db.execute(
        "SELECT t.id FROM traces t JOIN trace_texts x ON x.seq = t.seq "
        "WHERE x.solution_start >= x.solution_end AND t.id IN (SELECT value FROM json_each(?))",
        [json.dumps(list(chosen))],
    )
    return {str(row[0]) for row in found}


def _evaluated(db: Database, chosen: Sequence[str]) -> set[str]:
    found = db.execute(
        f"SELECT t.id FROM traces t WHERE t.id IN (SELECT value FROM json_each(?)) AND {EVALUATED}",
        [json.dumps(list(chosen))],
    )
    return {str(row[0]) for row in found}


def _hash(db: Database, chosen: Sequence[str], phase: int) -> str:
    digest = hashlib.sha256(f"phase {phase}\n".encode())
    for row in _rows(db, chosen, phase):
        digest.update(json.dumps([row.statement, row.thought, row.solution]).encode() + b"\n")
    return digest.hexdigest()[:16]


def _tokens(db: Database, chosen: Sequence[str]) -> int | None:
    """Their tokens in all, if those of every one are known."""
    counted, total = db.execute(
        "SELECT count(tokens), sum(tokens) FROM traces WHERE id IN (SELECT value FROM json_each(?))",
        [json.dumps(list(chosen))],
    ).fetchone()
    return total if counted == len(chosen) else None


def _insert(db: Database, made: Dataset, chosen: Sequence[str], left_out: Mapping[str, str]) -> None:
    db.conn.execute(
        f"INSERT INTO datasets({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            made.name, made.hash, made.phase, made.query, made.rows, made.tokens, made.created_at,
            json.dumps(dict(made.selection)),
        ),
    )  # fmt: skip
    db.conn.executemany(
        "INSERT INTO dataset_rows(name, position, trace_id) VALUES (?, ?, ?)",
        ((made.name, position, trace_id) for position, trace_id in enumerate(chosen)),
    )
    db.conn.executemany(
        "INSERT INTO dataset_drops(name, trace_id, reason) VALUES (?, ?, ?)",
        ((made.name, trace_id, reason) for trace_id, reason in left_out.items()),
    )


def _dataset(row: Sequence[Any]) -> Dataset:
    name, digest, phase, query, number, tokens, created_at, selection = row
    return Dataset(name, digest, phase, query, number, tokens, created_at, json.loads(selection))


def _rows(db: Database, chosen: Sequence[str], phase: int) -> Iterator[DatasetRow]:
    for trace_id in chosen:
        row = db.execute(
            """SELECT p.statement, x.raw, x.thought_start, x.thought_end, x.solution_start, x.solution_end,
                      p.answer, t.model, t.source, t.licence, t.synthesis, p.id,
                      (SELECT group_concat(licence, ', ') FROM (
                           SELECT DISTINCT coalesce(s.licence, 'unknown') AS licence
                           FROM problem_sources s WHERE s.problem_id = p.id ORDER BY 1)),
                      t.verdict, t.tokens, t.parent_id,
                      (SELECT u.prompt FROM responses r JOIN teacher_runs u ON u.id = r.run_id
                       WHERE r.trace_id = t.id ORDER BY r.created_at LIMIT 1)
               FROM traces t JOIN trace_texts x ON x.seq = t.seq JOIN problems p ON p.id = t.problem_id
               WHERE t.id = ?""",
            [trace_id],
        ).fetchone()
        raw = decode(row[1])
        thought = raw[row[2] : row[3]] if phase == 2 else ""
        yield DatasetRow(trace_id, row[0], thought, raw[row[4] : row[5]], *row[6:])
