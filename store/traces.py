"""Traces: adding, paging, reading, measuring."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any, cast

from store import corrections, decisions, search
from store.errors import NotFoundError
from store.filters import TraceQuery
from store.filters.clauses import like
from store.filters.traces import OF_STUDENT, Selection, selection
from store.naming import ENOUGH, called, without_model
from store.policy import NOT_SEEN
from store.records import (
    OWN_MOVES,
    Measured,
    NewTrace,
    TraceRow,
    TraceText,
    Unmeasured,
    context_of,
    decode,
    encode,
    now,
    scrubbed,
    spans_of,
)
from store.rows import insert, insertion, parameters
from store.schema.migrations import MOVE_KINDS
from store.sqlite import Database

_NAMES = tuple(field.name for field in fields(TraceRow) if field.name != "moves")
_WHERE = "`o1lab traces ls` lists them."
_LISTED = ", ".join(f"t.{name}" for name in (*_NAMES, *MOVE_KINDS))


def add(
    db: Database, traces: Iterable[tuple[NewTrace, str]], *, indexing: Callable[[], None] = lambda: None
) -> list[str]:
    """Add traces and index their texts, inside the caller's transaction.

    A trace that exists already (same problem, model, raw text and context) is left unchanged.

    Args:
        db: The lab's database.
        traces: Pairs of a trace and the statement of its problem.
        indexing: Called before the texts are indexed. That takes most of the time, in one statement during which other
            threads can run Python.

    Returns:
        The ids of the new traces.
    """
    created_at = now()
    added: list[str] = []
    plain: list[int] = []
    other: list[tuple[int, str, str, str]] = []
    for trace, statement in traces:
        row = {
            "id": trace.id, "problem_id": trace.problem_id, "model": trace.model, "source": trace.source,
            "key": trace.key, "licence": trace.licence, "synthesis": trace.synthesis, "format": trace.format,
            "parent_id": trace.parent_id, "complete": trace.complete, "chars": len(trace.raw), "tokens": trace.tokens,
            "created_at": created_at,
        }  # fmt: skip
        cursor = db.conn.execute(insertion("traces", tuple(row), "IGNORE"), parameters(row))
        if not cursor.rowcount:
            continue
        added.append(trace.id)
        seq = cast(int, cursor.lastrowid)  # None only before any insert
        (start, end), (solved, to), raw = trace.thought, trace.solution, encode(trace.raw)
        texts = {
            "seq": seq, "thought_start": start, "thought_end": end, "solution_start": solved, "solution_end": to,
            "meta": trace.meta, "raw": raw, "context": trace.context or None, "outside": trace.outside or None,
        }  # fmt: skip
        insert(db, "trace_texts", [texts])
        if trace.outside or not (search.is_plain(raw) and search.is_plain(encode(statement))):
            other.append((seq, statement, trace.raw[slice(*trace.thought)], trace.answer))
        else:
            plain.append(seq)
    indexing()
    search.index(db.conn, plain, other)
    return added


AT_ONCE = 50_000
"""Up to this many traces are counted while a person waits for the list; the exact number of more follows later."""
_MANY = 20_000
"""From this many matches on, walking the index of an order finds the first of them faster than sorting does."""
_NEAR = 20_000
"""Up to this many rows from the start are walked over."""


def page(db: Database, query: TraceQuery, *, limit: int = 100, offset: int = 0) -> list[TraceRow]:
    """Return one page of the list."""
    span = _span(db, query, limit, offset)
    if span is not None:
        sql = f"SELECT {_LISTED} FROM traces t WHERE t.seq BETWEEN ? AND ? ORDER BY {query.order}"
        return [_row(row) for row in db.execute(sql, span)]
    chosen = selection(query, in_order=True, only_seq=query.sort == "added")
    if offset < _NEAR:
        chosen = _in_order(db, query, chosen)
    # The inner query finds the page in an index; only its rows are then read.
    found = f"SELECT {chosen.seq} FROM {chosen.sql} ORDER BY {chosen.order} LIMIT ? OFFSET ?"
    sql = f"SELECT {_LISTED} FROM traces t WHERE t.seq IN ({found}) ORDER BY {query.order}"
    return [_row(row) for row in db.execute(sql, [*chosen.parameters, limit, offset])]


def _span(db: Database, query: TraceQuery, limit: int, offset: int) -> tuple[int, int] | None:
    """Return the first and the last seq of a page of all traces in the order they were added, if no seq is missing."""
    ends = _unbroken(db, query) if offset else None
    if ends is None:
        return None
    first, last = ends
    return (
        (last - offset - limit + 1, last - offset) if query.descending else (first + offset, first + offset + limit - 1)
    )


def _unbroken(db: Database, query: TraceQuery) -> tuple[int, int] | None:
    """Return the first and the last seq if the query is all traces as they were added and no seq is missing."""
    if query.sort != "added" or query.conditions or query.text.strip() or query.ids is not None:
        return None
    first, last, number = db.execute(
        "SELECT (SELECT min(seq) FROM traces), (SELECT max(seq) FROM traces), (SELECT count(*) FROM traces)"
    ).fetchone()
    return (first, last) if number and last - first + 1 == number else None


def _in_order(db: Database, query: TraceQuery, chosen: Selection) -> Selection:
    """Return the selection in the way that finds its first rows fastest."""
    if query.sort in ("added", *OF_STUDENT) or query.text.strip() or _is_own(db, query) or not _is_many(db, chosen):
        return chosen
    return chosen.walking(query)


def _is_own(db: Database, query: TraceQuery) -> bool:
    """Whether the order is by a person's own decisions, which the index of the order does not hold."""
    return query.sort in ("decision", "rating") and decisions.policy_of(db) == "own"


def _is_many(db: Database, chosen: Selection) -> bool:
    limited = f"SELECT count(*) FROM (SELECT 1 FROM {chosen.sql} LIMIT {_MANY})"
    return bool(db.value(limited, chosen.parameters) == _MANY)


def select(db: Database, query: TraceQuery, *, limit: int | None = None, batch: int = 200) -> Iterator[TraceRow]:
    """Yield the traces of a query in its order, reading one batch at a time so that memory use stays constant.

    The caller may write in the meantime: each batch is a separate statement that starts after the previous one.
    """
    source, parameters, seq, order = selection(query, in_order=True)
    beyond, left = "1", -1 if limit is None else limit
    values: list[Any] = []
    while left:
        size = batch if left < 0 else min(batch, left)
        rows = db.execute(
            f"SELECT {query.by}, t.seq, {_LISTED} FROM {source} AND {beyond} ORDER BY {order} LIMIT ?",
            [*parameters, *values, size],
        ).fetchall()
        yield from (_row(row[2:]) for row in rows)
        if len(rows) < size:
            return
        beyond, values = _beyond(query, rows[-1][:2], seq, after=True)
        left -= len(rows) if left > 0 else 0


def count(db: Database, query: TraceQuery, *, at_most: int | None = None) -> int:
    """Count the traces of the query. With ``at_most``, stop there: a result of that size is a lower bound."""
    source, parameters, *_ = selection(query, only_seq=True)
    counted = f"SELECT count(*) FROM {source}"
    if at_most is not None:
        counted, parameters = f"SELECT count(*) FROM (SELECT 1 FROM {source} LIMIT ?)", [*parameters, at_most]
    return int(db.value(counted, parameters))


def counts(db: Database, query: TraceQuery, column: str) -> dict[str, int]:
    """Count the traces of the query by decision, verdict, model, source or synthesis; NULL counts as ''."""
    if column not in ("decision", "verdict", "model", "source", "synthesis"):
        raise ValueError(column)
    source, parameters, *_ = selection(query)
    rows = db.execute(f"SELECT t.{column}, count(*) FROM {source} GROUP BY t.{column}", parameters)
    return {"" if value is None else str(value): int(number) for value, number in rows}


def values(db: Database, column: str) -> list[str]:
    """Return the different values of model, source or synthesis, in order.

    Each is found in an index from the one before: counting all of a million traces takes 150 ms.
    """
    if column == "synthesis":  # the index is over source and synthesis
        return sorted({one for source in values(db, "source") for one in _walked(db, column, "source = ?", [source])})
    return list(_walked(db, column, "1", []))


def _walked(db: Database, column: str, condition: str, parameters: Sequence[str]) -> Iterator[str]:
    last, comparison = "", ">="
    while row := db.execute(
        f"SELECT {column} FROM traces WHERE {condition} AND {column} {comparison} ? ORDER BY {column} LIMIT 1",
        [*parameters, last],
    ).fetchone():
        yield str(row[0])
        last, comparison = row[0], ">"


def ids(db: Database, query: TraceQuery) -> list[str]:
    """Return the ids of all traces of the query, in its order."""
    source, parameters, _, order = selection(query, in_order=True)
    return db.column(f"SELECT t.id FROM {source} ORDER BY {order}", parameters)


def random_ids(db: Database, query: TraceQuery, number: int) -> list[str]:
    """Return the ids of ``number`` random traces of the query."""
    source, parameters, *_ = selection(query)
    return db.column(f"SELECT t.id FROM {source} ORDER BY random() LIMIT ?", [*parameters, number])


def get(db: Database, identity: str) -> TraceRow:
    """Return the trace with this id, or the only one whose id begins with it, or the only one of a problem.

    Raises:
        NotFoundError: No trace, or several traces, have such a name; those are named.
    """

    def others(name: str) -> list[TraceRow]:
        found = db.execute("SELECT t.seq, t.key, t.model FROM traces t WHERE t.key LIKE ? ESCAPE '\\'", [like(name)])
        seqs = [seq for seq, key, model in found if without_model(key, model) == name][:ENOUGH]
        chosen = f"SELECT {_LISTED} FROM traces t WHERE t.seq IN (SELECT value FROM json_each(?)) ORDER BY t.seq"
        return [_row(row) for row in db.execute(chosen, [json.dumps(seqs)])]

    return called(db, "traces t", _LISTED, _row, name=identity, noun="trace", hint=_WHERE, others=others, about=_about)


def _about(row: TraceRow) -> str:
    decision = "disputed" if row.disputed else row.decision or "no decision"
    return f"{row.id}  {row.model}  {row.verdict or 'not verified'}  {decision}"


def text(db: Database, identity: str) -> TraceText:
    """Return the texts of a trace.

    Raises:
        NotFoundError: There is no such trace.
    """
    row = db.execute(f"SELECT {_TEXTS} WHERE t.id = ?", [identity]).fetchone()
    if row is None:
        raise NotFoundError(f"There is no trace '{identity}'.", "`o1lab traces ls` lists them.")
    return _text(row)


_TEXTS = """t.seq, t.id, x.raw, x.thought_start, x.thought_end, x.solution_start, x.solution_end,
            p.statement, p.answer, x.meta, t.complete, s.moves, s.segmenter, x.context,
            x.outside, s.labeller, s.kinds_by
            FROM traces t JOIN trace_texts x ON x.seq = t.seq JOIN problems p ON p.id = t.problem_id
            LEFT JOIN trace_segments s ON s.seq = t.seq"""


def _text(row: Sequence[Any]) -> TraceText:
    return TraceText(
        row[1], decode(row[2]), (row[3], row[4]), (row[5], row[6]), row[7], row[8], json.loads(row[9]),
        bool(row[10]), row[11], row[12] or 0, context_of(row[13]), spans_of(row[14]),
        row[15], row[16] or "rules",
    )  # fmt: skip


_PENDING = "(t.measured_by IS NULL OR (t.measured_by LIKE 'moves %' AND t.measured_by != ?))"
"""Traces without measures, or measured by another version than ``?``. Measures given by hand are kept."""


def position(db: Database, query: TraceQuery, identity: str) -> int | None:
    """Return the number of traces of the query before this one; None if the query does not find it."""
    found = _sort_key(db, query, identity)
    if found is None:
        return None
    if (ends := _unbroken(db, query)) is not None:
        return ends[1] - found[1] if query.descending else found[1] - ends[0]
    source, parameters, seq, _ = selection(query, in_order=True, only_seq=query.sort == "added")
    before, values = _beyond(query, found, seq, after=False)
    return int(db.value(f"SELECT count(*) FROM {source} AND {before}", [*parameters, *values]))


OF_PERSONS = ("mine", "agreement", "assigned")
"""Fields of a filter that choose traces by what annotators decided, or for one of them."""


def next_undecided(db: Database, query: TraceQuery, identity: str, *, any_other: bool = False) -> str | None:
    """Return the id of the next trace to decide on, in the query's order; after the last, continue at the top.

    The current user has not decided on it, whatever others decided and under every policy. With ``any_other``, any
    trace of the query is next.
    """
    todo = "1" if any_other else NOT_SEEN
    key = _sort_key(db, query, identity)
    undone = selection(query, in_order=True)
    undone = _in_order(db, query, undone._replace(sql=f"{undone.sql} AND {todo}"))
    found, order, parameters = f"SELECT t.id FROM {undone.sql} AND t.id != ?", undone.order, undone.parameters
    following: str | None = None
    if key is not None:
        beyond, values = _beyond(query, key, undone.seq, after=True)
        following = db.value(f"{found} AND {beyond} ORDER BY {order} LIMIT 1", [*parameters, identity, *values])
    return following or db.value(f"{found} ORDER BY {order} LIMIT 1", [*parameters, identity])


def unmeasured(db: Database, version: str, *, after: int = 0, limit: int = 200) -> list[Unmeasured]:
    """Return traces without measures of ``version``, in the order they were added, those after seq ``after``."""
    rows = db.execute(
        f"""SELECT t.seq, t.id, x.raw, x.thought_start, x.thought_end, x.solution_start, x.solution_end, t.complete,
                   p.answer, CASE t.synthesis WHEN 'human' THEN json_extract(x.meta, '$.{OWN_MOVES}') END
            FROM traces t JOIN trace_texts x ON x.seq = t.seq JOIN problems p ON p.id = t.problem_id
            WHERE {_PENDING} AND t.seq > ? ORDER BY t.seq LIMIT ?""",
        [version, after, limit],
    )
    return [
        Unmeasured(seq, identity, raw, (start, end), (solved, to), bool(complete), gold, own)
        for seq, identity, raw, start, end, solved, to, complete, gold, own in rows
    ]


def count_unmeasured(db: Database, version: str) -> int:
    return int(db.value(f"SELECT count(*) FROM traces t WHERE {_PENDING}", [version]))


def count_never_measured(db: Database) -> int:
    """Count traces without measures, with an index."""
    return int(db.value("SELECT count(*) FROM traces WHERE measured_by IS NULL"))


def set_measures(db: Database, measures: Sequence[Measured]) -> None:
    """Save measures in one transaction."""
    columns = ", ".join(f"{kind} = ?" for kind in MOVE_KINDS)
    with db.atomic():
        db.conn.executemany(
            "UPDATE traces SET looping = ?, answer = ?, verdict = ?, verdict_reason = ?, measured_by = ?, "
            f"tokens = coalesce(?, tokens), {columns} WHERE id = ?",
            [
                (
                    m.looping, None if m.answer is None else scrubbed(m.answer), m.verdict, scrubbed(m.verdict_reason),
                    m.measured_by, m.tokens, *(m.moves.get(kind, 0) for kind in MOVE_KINDS), m.trace_id,
                )
                for m in measures
            ],
        )  # fmt: skip
        db.conn.executemany(
            "INSERT OR REPLACE INTO trace_segments (seq, segmenter, moves) SELECT seq, ?, ? FROM traces WHERE id = ?",
            [(m.segmenter, m.segments, m.trace_id) for m in measures if m.segments is not None],
        )
        corrections.derive(db, [m.trace_id for m in measures])


def of_problem(db: Database, problem: str) -> list[TraceRow]:
    """Return all traces of one problem."""
    rows = db.execute(f"SELECT {_LISTED} FROM traces t WHERE t.problem_id = ? ORDER BY t.seq", [problem])
    return [_row(row) for row in rows]


def _sort_key(db: Database, query: TraceQuery, identity: str) -> tuple[Any, int] | None:
    source, parameters, seq, _ = selection(query)
    row = db.execute(
        f"SELECT {query.by}, t.seq FROM {source} AND {seq} = (SELECT seq FROM traces WHERE id = ?)",
        [*parameters, identity],
    ).fetchone()
    return (row[0], row[1]) if row else None


def _beyond(query: TraceQuery, key: Sequence[Any], seq: str, *, after: bool) -> tuple[str, list[Any]]:
    comparison = ">" if after != query.descending else "<"
    if query.sort == "added":
        return f"{seq} {comparison} ?", [key[1]]
    by = query.by
    # The first condition is implied by the second; SQLite needs it to use the index of this order.
    return f"{by} {comparison}= ? AND ({by}, {seq}) {comparison} (?, ?)", [key[0], *key]


def _row(row: Sequence[Any]) -> TraceRow:
    values = dict(zip(_NAMES, row[: len(_NAMES)], strict=True))
    moves = row[len(_NAMES) :]
    values["complete"], values["disputed"] = bool(values["complete"]), bool(values["disputed"])
    values["looping"] = None if values["looping"] is None else bool(values["looping"])
    measured = None if moves[0] is None else dict(zip(MOVE_KINDS, moves, strict=True))
    return TraceRow(**values, moves=measured)
