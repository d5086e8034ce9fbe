"""Datasets: immutable, content-hashed snapshots of chosen traces."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from store import decisions, traces
from store.errors import NameTakenError, NotFoundError, NothingChosenError, WrongKindError
from store.filters import TraceQuery
from store.naming import candidates
from store.records import (
    Context,
    Dataset,
    DatasetKind,
    context_of,
    decode,
    now,
    require_name,
    spans_of,
    visible_text,
)
from store.rows import insert, read_all
from store.selecting import EVALUATED
from store.sqlite import Database
from store.writers import WRITERS, Writer, inside, writers_of

PHASES = (1, 2)
NO_SOLUTION = "no solution"
"""Why a trace is dropped from a phase-1 dataset: its row would be empty."""
EVALUATION = "an answer to an evaluation"
"""Why a trace is dropped by default: it would leak evaluation answers into training."""
_SHORTEST_HASH = 4
_KINDS = {"sft": "single answers", "pairs": "pairs of a better and a worse answer"}
_MAKE = {"sft": "`o1lab dataset create` makes one.", "pairs": "`o1lab dataset pairs` makes one."}


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """One training example: in phase 1 the solution alone, in phase 2 the thought and then the solution.

    Attributes:
        licence: Licence of the response.
        problem_licence: Licences of the problem's sources, separated by commas.
        prompt: The prompt (``name@version``) of the teacher run that made the trace; None for other traces.
        context: The conversation that was asked, if it is not the statement alone, as in ``NewTrace``.
        cut_off: Whether the thought has no end: the response stopped inside it.
        complete: Whether the response was not cut off, as in ``NewTrace``.
        format: The format of the think marks in the raw text.
        joined: Whether the solution contains text from before, between or after the marks.
        without_thought: Whether the trace has a thought that phase 1 leaves out.
        writers: Who wrote what of ``thought`` and ``solution``, by these names, if several models wrote the response;
            without the solution if it has text from outside the marks.
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
    context: Context = ()
    cut_off: bool = False
    complete: bool = True
    format: str = "plain"
    joined: bool = False
    without_thought: bool = False
    writers: Mapping[str, tuple[Writer, ...]] = field(default_factory=dict)


def create(db: Database, name: str, query: TraceQuery, *, phase: int = 2) -> Dataset:
    """Create a dataset of the traces of the query. Answers to evaluations are dropped and recorded as such.

    Creating the same content under the same name again is not an error.

    Raises:
        NameTakenError: A dataset of this name has other content.
        NothingChosenError: The dataset would be empty.
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
    """Create a dataset of these traces. Creating the same content under the same name again is not an error.

    The hash covers the content of the rows only.

    Args:
        db: The lab's database.
        name: Name of the dataset.
        trace_ids: The traces, in the order of the rows.
        phase: 1 or 2. In phase 1, traces without a solution are dropped.
        query: The filter that the traces were chosen from.
        selection: How they were chosen.
        drops: The reason for each trace that was considered and dropped.

    Raises:
        UsageError: The name is a path, blank, or not printable.
        NameTakenError: A dataset of this name has other content.
        NothingChosenError: The dataset would be empty.
    """
    if phase not in PHASES:
        raise ValueError(phase)
    require_name(name)
    with db.atomic():
        without = _without_solution(db, trace_ids) if phase == 1 else set()
        chosen = [trace_id for trace_id in trace_ids if trace_id not in without]
        left_out = {**(drops or {}), **dict.fromkeys(sorted(without), NO_SOLUTION)}
        if not chosen:
            raise _nothing(left_out)
        digest, counted = _hash(db, chosen, phase), tokens(db, chosen)
        made = Dataset(name, digest, phase, query, len(chosen), counted, now(), selection or {}, decided(db))
        keep(db, made, [(trace_id, None) for trace_id in chosen], left_out)
    return get(db, name)


def keep(db: Database, made: Dataset, chosen: Sequence[tuple[str, str | None]], left_out: Mapping[str, str]) -> None:
    """Store a dataset with its rows, (trace id, id of the rejected trace), unless it is stored already.

    Raises:
        NameTakenError: A dataset of this name has other content.
    """
    existing = db.value("SELECT hash FROM datasets WHERE name = ?", [made.name])
    if existing not in (None, made.hash):
        raise NameTakenError(
            f"A dataset '{made.name}' exists with other content.", "Choose another name: datasets never change."
        )
    if existing is None:
        insert(db, "datasets", [made])
        rows = (
            {"name": made.name, "position": position, "trace_id": trace_id, "rejected_id": rejected_id}
            for position, (trace_id, rejected_id) in enumerate(chosen)
        )
        insert(db, "dataset_rows", rows)
        drops = ({"name": made.name, "trace_id": one, "reason": reason} for one, reason in left_out.items())
        insert(db, "dataset_drops", drops)


def get(db: Database, name_or_hash: str, *, kind: DatasetKind | None = None) -> Dataset:
    """Return the dataset with this name, or with this hash or a prefix of it (4 characters or more).

    Raises:
        NotFoundError: There is no such dataset, or several; the candidates are named.
        WrongKindError: It is not of the ``kind`` that is needed.
    """
    hint = "`o1lab dataset ls` lists them."
    found = read_all(db, Dataset, "FROM datasets WHERE name = ?", [name_or_hash])
    if not found and len(name_or_hash) >= _SHORTEST_HASH and name_or_hash.isalnum():
        found = read_all(db, Dataset, "FROM datasets WHERE hash GLOB ?", [name_or_hash + "*"])
    if len({one.hash for one in found}) > 1:
        listed = candidates(f"{one.name} ({one.hash})" for one in found)
        raise NotFoundError(f"Several hashes of datasets begin with '{name_or_hash}'.", f"{listed} {hint}")
    if not found:
        # A training run must not take another dataset than was meant, so the beginning of a name is not enough.
        near = [one.name for one in all_datasets(db) if name_or_hash and one.name.startswith(name_or_hash)]
        raise NotFoundError(f"There is no dataset '{name_or_hash}'.", f"{candidates(near)} {hint}" if near else hint)
    if kind not in (None, found[0].kind):
        raise WrongKindError(
            f"The rows of {found[0].name} are {_KINDS[found[0].kind]}, and this needs {_KINDS[kind or 'sft']}.",
            f"Name a dataset of kind {kind}: {_MAKE[kind or 'sft']}",
        )
    return found[0]


def all_datasets(db: Database) -> list[Dataset]:
    """Return every dataset, the newest first."""
    return read_all(db, Dataset, "FROM datasets ORDER BY created_at DESC")


def trace_ids(db: Database, name: str, *, limit: int = -1, offset: int = 0) -> list[str]:
    """Return the ids of the dataset's traces in order; ``name`` is not a hash. -1: no limit."""
    return db.column(
        "SELECT trace_id FROM dataset_rows WHERE name = ? ORDER BY position LIMIT ? OFFSET ?", [name, limit, offset]
    )


def rows(db: Database, name: str, *, limit: int = -1, offset: int = 0) -> Iterator[DatasetRow]:
    """Yield the dataset's rows in order, for pairs the better answers; a ``limit`` of -1 means all.

    Raises:
        NotFoundError: There is no such dataset.
    """
    dataset = get(db, name)
    yield from rows_of(db, trace_ids(db, dataset.name, limit=limit, offset=offset), dataset.phase)


def drop_counts(db: Database, name: str) -> dict[str, int]:
    """Count the dropped traces by reason, the most frequent first."""
    return dict(
        db.execute(
            "SELECT reason, count(*) FROM dataset_drops WHERE name = ? GROUP BY reason ORDER BY 2 DESC, 1", [name]
        )
    )


def drops(db: Database, name: str, *, limit: int = -1, offset: int = 0) -> list[tuple[str, str]]:
    """Return (trace id, reason) of the dropped traces, by reason; a ``limit`` of -1 means all."""
    return db.execute(
        "SELECT trace_id, reason FROM dataset_drops WHERE name = ? ORDER BY reason, trace_id LIMIT ? OFFSET ?",
        [name, limit, offset],
    ).fetchall()


def _nothing(left_out: Mapping[str, str]) -> NothingChosenError:
    if not left_out:
        return NothingChosenError("The filter matches no trace.", "Accept some traces first, or change the filter.")
    reasons = ", ".join(sorted(set(left_out.values())))
    return NothingChosenError(
        f"All {len(left_out):,} traces of the filter were dropped: {reasons}.",
        "Change the filter, or the rules that drop traces.",
    )


def _without_solution(db: Database, chosen: Sequence[str]) -> set[str]:
    found = db.column(
        "SELECT t.id FROM traces t JOIN trace_texts x ON x.seq = t.seq "
        "WHERE x.solution_start >= x.solution_end AND t.id IN (SELECT value FROM json_each(?))",
        [json.dumps(list(chosen))],
    )
    return set(found)


def _evaluated(db: Database, chosen: Sequence[str]) -> set[str]:
    found = db.column(
        f"SELECT t.id FROM traces t WHERE t.id IN (SELECT value FROM json_each(?)) AND {EVALUATED}",
        [json.dumps(list(chosen))],
    )
    return set(found)


def _hash(db: Database, chosen: Sequence[str], phase: int) -> str:
    digest = hashlib.sha256(f"phase {phase}\n".encode())
    for row in rows_of(db, chosen, phase):
        content = [row.statement, row.thought, row.solution, *([row.context] if row.context else [])]
        digest.update(json.dumps(content).encode() + b"\n")
    return digest.hexdigest()[:16]


def tokens(db: Database, chosen: Sequence[str]) -> int | None:
    """Return the total number of tokens, those of a repeated trace each time; None unless every trace has a count."""
    counted, total = db.execute(
        "SELECT count(t.tokens), sum(t.tokens) FROM json_each(?) one JOIN traces t ON t.id = one.value",
        [json.dumps(list(chosen))],
    ).fetchone()
    return total if counted == len(chosen) else None


def decided(db: Database) -> dict[str, Any]:
    """Return whose decisions count, as in :class:`Dataset`."""
    view = decisions.view_of(db)
    return {"policy": view.policy, "annotators": len(decisions.annotators(db)), "annotator": view.me}


def rows_of(db: Database, chosen: Sequence[str], phase: int) -> Iterator[DatasetRow]:
    """Yield the rows that these traces make."""
    for trace_id in chosen:
        row = db.execute(
            """SELECT p.statement, x.raw, x.thought_start, x.thought_end, x.solution_start, x.solution_end,
                      p.answer, t.model, t.source, t.licence, t.synthesis, p.id,
                      (SELECT group_concat(licence, ', ') FROM (
                           SELECT DISTINCT coalesce(s.licence, 'unknown') AS licence
                           FROM problem_sources s WHERE s.problem_id = p.id ORDER BY 1)),
                      t.verdict, t.tokens, t.parent_id,
                      (SELECT u.prompt FROM responses r JOIN teacher_runs u ON u.id = r.run_id
                       WHERE r.trace_id = t.id ORDER BY r.created_at LIMIT 1), x.context, x.outside, t.complete,
                      t.format, json_extract(x.meta, ?)
               FROM traces t JOIN trace_texts x ON x.seq = t.seq JOIN problems p ON p.id = t.problem_id
               WHERE t.id = ?""",
            [f"$.{WRITERS}", trace_id],
        ).fetchone()
        *_, context, outside, complete, form, stored = row
        raw = decode(row[1])
        thought = raw[row[2] : row[3]] if phase == 2 else ""
        solution = visible_text(raw, (row[4], row[5]), spans_of(outside))
        cut_off = bool(thought) and not raw[row[3] :].strip()
        made = DatasetRow(trace_id, row[0], thought, solution, *row[6:-5])
        writers = writers_of({WRITERS: json.loads(stored)}, len(raw)) if isinstance(stored, str) else ()
        spans = {
            "thought": (row[2], row[3]) if phase == 2 else (0, 0),
            "solution": (0, 0) if outside else (row[4], row[5]),
        }
        yield replace(
            made, context=context_of(context), cut_off=cut_off, complete=bool(complete), format=form,
            joined=bool(outside), without_thought=phase == 1 and row[2] < row[3],
            writers={part: found for part, span in spans.items() if (found := tuple(inside(writers, span)))},
        )  # fmt: skip
