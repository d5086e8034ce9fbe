"""Queries on the samples of an evaluation: pages of the list, finished samples, the cache, samples to score."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from store.evaluations import JOINED, OUTCOME, Turn
from store.filters import SampleQuery
from store.rows import read
from store.sqlite import Database

EVERYTHING = SampleQuery()


@dataclass(frozen=True, slots=True)
class SampleRow:
    """A row of the list of samples."""

    seq: int
    evaluation_id: str
    item: str
    sample: int
    outcome: str
    value: float | None
    answer: str | None
    reason: str
    question: str
    gold: tuple[str, ...]
    variant: str | None
    input_tokens: int
    output_tokens: int
    thought_tokens: int | None
    cached: bool
    trace_id: str | None


def page(
    db: Database,
    evaluation_id: str,
    scorer: str,
    query: SampleQuery = EVERYTHING,
    *,
    limit: int = 100,
    offset: int = 0,
) -> tuple[list[SampleRow], int]:
    """Return one page of the list. The time for it does not depend on the number of samples.

    Args:
        db: The lab's database.
        evaluation_id: The evaluation.
        scorer: Label of the scorer that decides the outcomes.
        query: The filter and the order.
        limit: Maximum number of rows.
        offset: Number of rows to skip.

    Returns:
        The rows, and the number of samples that match the filter.
    """
    # Tables are joined in the order of an index; otherwise SQLite reads and sorts all rows for each page.
    item_of = "i.evaluation_id = s.evaluation_id AND i.item = s.item"
    by_tokens = query.sort == "longest"
    joined = f"evaluation_items i CROSS JOIN samples s ON {item_of}"
    if by_tokens:
        joined = f"samples s CROSS JOIN evaluation_items i ON {item_of}"
    where = f"{'s' if by_tokens else 'i'}.evaluation_id = ?"
    values: list[str | float] = [evaluation_id]
    condition, parameters = query.where()
    if not query.text and not query.reads("i"):  # counting does not need the items, nor does the order by length
        counted, of = "samples s", "s.evaluation_id = ?"
        joined, where = (counted, of) if by_tokens else (joined, where)
    else:
        counted, of = joined, where
    values += parameters
    if query.reads("c"):
        score = "LEFT JOIN scores c ON c.seq = s.seq AND c.scorer = ?"
        joined, counted = f"{joined} {score}", f"{counted} {score}"
        values = [scorer, *values]
    total = int(db.value(f"SELECT count(*) FROM {counted} WHERE {of} AND {condition}", values))
    limit = min(limit, total - offset)  # so that the search ends at the last match
    if limit <= 0:
        return [], total
    found, order = f"FROM {joined} WHERE {where} AND {condition}", query.order
    # The inner query finds the page in indexes; only its rows are then read.
    rows = db.execute(
        f"SELECT s.seq, s.evaluation_id, s.item, s.sample, {OUTCOME}, c.value, c.answer, "
        "CASE s.state WHEN 'complete' THEN coalesce(c.reason, '') ELSE s.reason END, i.question, i.gold, i.variant, "
        f"s.input_tokens, s.output_tokens, s.thought_tokens, s.cached, s.trace_id FROM {JOINED} "
        "JOIN evaluation_items i ON i.evaluation_id = s.evaluation_id AND i.item = s.item "
        f"WHERE s.seq IN (SELECT s.seq {found} ORDER BY {order} LIMIT ? OFFSET ?) ORDER BY {order}",
        [scorer, *values, limit, offset],
    )
    return [read(SampleRow, row) for row in rows], total


def ended(db: Database, evaluation_id: str) -> set[tuple[str, int]]:
    """Return the (item, sample) pairs with a sample that did not fail."""
    return set(
        db.execute("SELECT item, sample FROM samples WHERE evaluation_id = ? AND state != 'failed'", [evaluation_id])
    )


def cached(db: Database, keys: Sequence[str]) -> dict[str, int]:
    """Find samples that can be reused: complete ones, and those cut off at the maximum length.

    Samples that a server aborted or filtered are not reused, since another attempt may succeed.

    Returns:
        The seq of a sample for each of these cache keys that has one.
    """
    return dict(
        db.execute(
            "SELECT cache_key, min(seq) FROM samples WHERE (state = 'complete' "
            "OR state = 'incomplete' AND reason IN ('length', 'max_tokens', 'model_length')) "
            "AND cache_key IN (SELECT value FROM json_each(?)) GROUP BY cache_key",
            [json.dumps(list(keys))],
        )
    )


def to_score(db: Database, evaluation_id: str, scorer: str) -> list[int]:
    """Return the seqs of complete samples without a score of this scorer."""
    return db.column(
        f"SELECT s.seq FROM {JOINED} WHERE s.evaluation_id = ? AND s.state = 'complete' AND c.seq IS NULL "
        "ORDER BY s.seq",
        [scorer, evaluation_id],
    )


def places(db: Database, evaluation_id: str, scorer: str, outcome: str) -> list[tuple[int, str, int]]:
    """Return (seq, item, sample) of every sample with this outcome under one scorer."""
    return db.execute(
        f"SELECT s.seq, s.item, s.sample FROM {JOINED} WHERE s.evaluation_id = ? AND {OUTCOME} = ? ORDER BY s.seq",
        [scorer, evaluation_id, outcome],
    ).fetchall()


def texts(db: Database, evaluation_id: str) -> Iterator[tuple[str, list[Turn]]]:
    """Yield the item and the turns of every sample that did not fail."""
    rows = db.execute(
        "SELECT s.item, x.turns FROM samples s JOIN sample_texts x ON x.seq = s.seq "
        "WHERE s.evaluation_id = ? AND s.state != 'failed' ORDER BY s.seq",
        [evaluation_id],
    )
    for name, turns in rows:
        yield str(name), [Turn(**turn) for turn in json.loads(turns)]


def count_cut_at(db: Database, evaluation_id: str, tokens: int) -> int:
    """Count the stored samples that would differ with a limit of ``tokens``: the longer ones and those cut off."""
    query = (
        "SELECT count(*) FROM samples WHERE evaluation_id = ? AND state != 'failed' AND (state = 'incomplete' OR "
        "output_tokens > ?)"
    )
    return int(db.value(query, [evaluation_id, tokens]))


def seqs(db: Database, evaluation_id: str) -> list[int]:
    """Return the seqs of all samples, in order of items and samples."""
    return db.column(
        "SELECT s.seq FROM samples s JOIN evaluation_items i ON i.evaluation_id = s.evaluation_id AND i.item = s.item "
        "WHERE s.evaluation_id = ? ORDER BY i.position, s.sample",
        [evaluation_id],
    )
