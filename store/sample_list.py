"""A page of an evaluation's samples, found by indexes however many there are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from store.evaluations import JOINED, OUTCOME
from store.filters import SampleQuery
from store.sqlite import Database

EVERYTHING = SampleQuery()


@dataclass(frozen=True, slots=True)
class SampleRow:
    """A line of the list of samples."""

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
    """One page of the list.

    Args:
        db: the lab's database.
        evaluation_id: whose samples they are.
        scorer: the label of the scorer that decides on the outcomes.
        query: the filter and the order.
        limit: the number of rows at most.
        offset: the number of rows to skip.

    Returns:
        The rows, and the number of samples that the filter finds.
    """
    # Joined in the order that an index gives, or SQLite reads and sorts everything for any page.
    item_of = "i.evaluation_id = s.evaluation_id AND i.item = s.item"
    by_tokens = query.sort == "longest"
    joined = f"evaluation_items i CROSS JOIN samples s ON {item_of}"
    if by_tokens:
        joined = f"samples s CROSS JOIN evaluation_items i ON {item_of}"
    where = f"{'s' if by_tokens else 'i'}.evaluation_id = ?"
    values: list[str | float] = [evaluation_id]
    condition, parameters = query.where()
    if not query.text and not query.reads("i"):  # to count them, or the longest, the items are not needed
        counted, of = "samples s", "s.evaluation_id = ?"
        joined, where = (counted, of) if by_tokens else (joined, where)
    else:
        counted, of = joined, where
    values += parameters
    if query.reads("c"):
        score = "LEFT JOIN scores c ON c.seq = s.seq AND c.scorer = ?"
        joined, counted = f"{joined} {score}", f"{counted} {score}"
        values = [scorer, *values]
    total = db.execute(f"SELECT count(*) FROM {counted} WHERE {of} AND {condition}", values).fetchone()[0]
    limit = min(limit, total - offset)  # the last one found ends the search
    if limit <= 0:
        return [], int(total)
    found, order = f"FROM {joined} WHERE {where} AND {condition}", query.order
    # The page is found first, by what indexes hold, and only its rows are read.
    rows = db.execute(
        f"SELECT s.seq, s.evaluation_id, s.item, s.sample, {OUTCOME}, c.value, c.answer, "
        "CASE s.state WHEN 'complete' THEN coalesce(c.reason, '') ELSE s.reason END, i.question, i.gold, i.variant, "
        f"s.input_tokens, s.output_tokens, s.thought_tokens, s.cached, s.trace_id FROM {JOINED} "
        "JOIN evaluation_items i ON i.evaluation_id = s.evaluation_id AND i.item = s.item "
        f"WHERE s.seq IN (SELECT s.seq {found} ORDER BY {order} LIMIT ? OFFSET ?) ORDER BY {order}",
        [scorer, *values, limit, offset],
    )
    return [_sample_row(row) for row in rows], int(total)


def _sample_row(row: Sequence[Any]) -> SampleRow:
    *head, gold, variant, read, wrote, thought, kept, trace_id = row
    values = [*head, tuple(json.loads(gold)), variant, read, wrote, thought, bool(kept), trace_id]
    return SampleRow(*values)
