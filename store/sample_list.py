"""A page of an evaluation's samples, found by indexes however many there are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from store.evaluations import JOINED, OUTCOME
from store.sqlite import Database


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
    *,
    outcomes: Sequence[str] = (),
    words: str = "",
    variant: str | None = None,
    longest_first: bool = False,
    limit: int = 100,
    offset: int = 0,
) -> tuple[list[SampleRow], int]:
    """(a page of samples, how many fit), in the suite's order or by output tokens, the most first.

    Args:
        outcomes: only these; all where empty.
        words: only items whose question holds these words, as they are written, or the item of this name.
    """
    # Joined in the order that an index gives, or SQLite reads and sorts everything for any page.
    item_of = "i.evaluation_id = s.evaluation_id AND i.item = s.item"
    joined = f"evaluation_items i CROSS JOIN samples s ON {item_of}"
    if longest_first:
        joined = f"samples s CROSS JOIN evaluation_items i ON {item_of}"
    where, values = [f"{'s' if longest_first else 'i'}.evaluation_id = ?"], [evaluation_id]
    if words:
        where.append("(instr(lower(i.question), lower(?)) OR i.item = ?)")
        values += [words, words]
    if variant is not None:
        where.append("i.variant = ?")
        values.append(variant)
    if not words and variant is None:  # to count them, or the longest, the items are not needed
        counted, of = "samples s", ["s.evaluation_id = ?"]
        joined, where = (counted, of) if longest_first else (joined, where)
    else:
        counted, of = joined, where
    if outcomes:
        score = "LEFT JOIN scores c ON c.seq = s.seq AND c.scorer = ?"
        one_of = f"{OUTCOME} IN (SELECT value FROM json_each(?))"
        joined, counted, where, of = f"{joined} {score}", f"{counted} {score}", [*where, one_of], [*of, one_of]
        values = [scorer, *values, json.dumps(list(outcomes))]
    total = db.execute(f"SELECT count(*) FROM {counted} WHERE {' AND '.join(of)}", values).fetchone()[0]
    limit = min(limit, total - offset)  # the last one found ends the search
    if limit <= 0:
        return [], int(total)
    found = f"FROM {joined} WHERE {' AND '.join(where)}"
    order = "s.output_tokens DESC, s.seq" if longest_first else "i.position, s.sample"
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
