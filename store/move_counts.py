"""Numbers of moves: of the samples of evaluations, counted once and kept, and of the chains of a teacher."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from store.corrections import KIND_OF_LETTER
from store.evaluations import Turn
from store.records import decode, now
from store.rows import insert
from store.schema.migrations import MOVE_KINDS
from store.sqlite import Database

Read = Literal["thought", "answer", "both"]


@dataclass(frozen=True, slots=True)
class SampleMoves:
    """The moves of one sample.

    Attributes:
        seq: The sample.
        read: Which texts were segmented: thoughts, or the answer of a turn without a thought.
        tokens: Number of their tokens; None if it is not known.
        counts: Number of moves of each kind, in the order of ``MOVE_KINDS``.
    """

    seq: int
    read: Read
    tokens: float | None
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class UncountedSample:
    """A sample whose moves were not counted yet, with what is needed for it."""

    seq: int
    turns: tuple[Turn, ...]
    output_tokens: int
    thought_tokens: int | None


@dataclass(frozen=True, slots=True)
class ChainMoves:
    """The stored moves of one trace.

    Attributes:
        problem: The id of its problem.
        verdict: correct, incorrect or unverifiable; None if it was not verified.
        tokens: Of the whole response; None if not known.
        thought: Length of the thought in code points; ``solution``: of the solution.
        text: The thought, or the solution if there is no thought, where ``tokens`` is not known; else None.
        counts: Number of moves of each kind of the thought, with people's corrections, or of the solution if there is
            no thought. Where a classifier labelled the moves, those of the rules count, which count samples as well,
            without corrections. None if they were not stored by the wanted version of the segmenter.
    """

    problem: str
    verdict: str | None
    complete: bool
    tokens: int | None
    thought: int
    solution: int
    text: str | None
    counts: tuple[int, ...] | None


def add(db: Database, segmenter: int, found: Iterable[SampleMoves]) -> None:
    """Store the moves of samples in one transaction; they replace those of another version of the segmenter."""
    same = {"segmenter": segmenter, "created_at": now()}
    rows = (
        {"seq": one.seq, "read": one.read, "tokens": one.tokens} | dict(zip(MOVE_KINDS, one.counts, strict=True)) | same
        for one in found
    )
    with db.atomic():
        insert(db, "sample_moves", rows, on_conflict="REPLACE")


def uncounted(
    db: Database, evaluation_id: str, segmenter: int, *, after: int = 0, limit: int = 200
) -> list[UncountedSample]:
    """Return samples with a response whose moves this version of the segmenter has not counted.

    Args:
        db: The lab's database.
        evaluation_id: The evaluation.
        segmenter: The version.
        after: Only samples with a greater seq.
        limit: Maximum number of samples.
    """
    rows = db.execute(
        "SELECT s.seq, x.turns, s.output_tokens, s.thought_tokens FROM samples s "
        "JOIN sample_texts x ON x.seq = s.seq LEFT JOIN sample_moves m ON m.seq = s.seq AND m.segmenter = ? "
        "WHERE s.evaluation_id = ? AND s.state != 'failed' AND m.seq IS NULL AND s.seq > ? ORDER BY s.seq LIMIT ?",
        [segmenter, evaluation_id, after, limit],
    )
    return [
        UncountedSample(seq, tuple(Turn(**turn) for turn in json.loads(turns)), output, thought)
        for seq, turns, output, thought in rows
    ]


def of_evaluation(db: Database, evaluation_id: str, segmenter: int) -> dict[tuple[str, int], SampleMoves]:
    """Return the stored moves of an evaluation's samples by (item, sample)."""
    rows = db.execute(
        f"SELECT s.item, s.sample, m.seq, m.read, m.tokens, {', '.join(f'm.{kind}' for kind in MOVE_KINDS)} "
        "FROM samples s JOIN sample_moves m ON m.seq = s.seq WHERE s.evaluation_id = ? AND m.segmenter = ?",
        [evaluation_id, segmenter],
    )
    return {
        (item, sample): SampleMoves(seq, read, tokens, tuple(counts))
        for item, sample, seq, read, tokens, *counts in rows
    }


def places(db: Database, evaluation_id: str) -> dict[int, tuple[str, int]]:
    """Return (item, sample) of each sample of an evaluation by its seq."""
    rows = db.execute("SELECT seq, item, sample FROM samples WHERE evaluation_id = ?", [evaluation_id])
    return {seq: (item, number) for seq, item, number in rows}


def teachers(db: Database, models: Sequence[str] = (), dataset: str | None = None) -> Mapping[str, int]:
    """Return the models whose chains are in datasets, with the number of chains, the most first.

    Args:
        db: The lab's database.
        models: Only these models, with all their chains of the lab.
        dataset: Only chains of this dataset.
    """
    condition, values = _chosen(models, dataset)
    sql = f"SELECT t.model, count(*) FROM traces t WHERE {condition} GROUP BY t.model ORDER BY 2 DESC, 1"
    return dict(db.execute(sql, values))


def of_teacher(
    db: Database, model: str, segmenter: int, *, dataset: str | None = None, everything: bool = False
) -> Iterator[ChainMoves]:
    """Yield the chains that a model wrote, in the order they were added.

    Args:
        db: The lab's database.
        model: The model.
        segmenter: The version of the segmenter whose moves are wanted.
        dataset: Only chains of this dataset.
        everything: All chains of the model, not only those in datasets.
    """
    condition, values = _chosen([model] if everything else [], dataset)
    rows = db.execute(
        "SELECT t.problem_id, t.verdict, t.complete, t.tokens, x.thought_start, x.thought_end, x.solution_start, "
        "x.solution_end, CASE WHEN t.tokens IS NULL THEN x.raw END, s.segmenter, s.moves, "
        "CASE s.kinds_by WHEN 'model' THEN s.rule_moves END, "
        f"{', '.join(f't.{kind}' for kind in MOVE_KINDS)} "
        "FROM traces t JOIN trace_texts x ON x.seq = t.seq LEFT JOIN trace_segments s ON s.seq = t.seq "
        f"WHERE t.model = ? AND {condition} ORDER BY t.seq",
        [model, *values],
    )
    for problem, verdict, complete, tokens, start, end, solved, to, raw, version, packed, by_rules, *counts in rows:
        thought, solution = end - start, to - solved
        span = slice(start, end) if thought else slice(solved, to)
        known = version == segmenter and None not in counts
        if by_rules is not None:
            found = _counted(by_rules)
        else:
            found = tuple(counts) if thought or not known else _counted(packed)
        yield ChainMoves(
            problem, verdict, bool(complete), tokens, thought, solution, None if raw is None else decode(raw)[span],
            found if known else None,
        )  # fmt: skip


def _counted(packed: str) -> tuple[int, ...]:
    """Count the moves that ``trace_segments`` has of an answer; the columns of a trace count those of thoughts."""
    kinds = [KIND_OF_LETTER[entry[0]] for entry in packed.split()]
    return tuple(kinds.count(kind) for kind in MOVE_KINDS)


def _chosen(models: Sequence[str], dataset: str | None) -> tuple[str, list[str]]:
    """Return the condition of chains in ``dataset`` (or in any) by ``models`` (or by any), and its parameters."""
    if dataset is not None:
        condition, values = "t.id IN (SELECT trace_id FROM dataset_traces WHERE name = ?)", [dataset]
    else:
        condition, values = "1" if models else "t.id IN (SELECT trace_id FROM dataset_traces)", []
    if models:
        condition += " AND t.model IN (SELECT value FROM json_each(?))"
        values.append(json.dumps(list(models)))
    return condition, values
