"""What an export of a dataset leaves out or writes in another way than the lab has it, as reasons to count.

Rows that are exported as they are have no reason, so that a report without entries means that nothing was changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from o1lab.chains.marks import PLAIN, UNMARKED
from store.datasets import DatasetRow

_OUR_MARKS = "r1"
"""The format whose marks an export writes."""
_MARK = re.compile(r"</?think>", re.IGNORECASE)
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def changes_of(row: DatasetRow, form: str) -> Iterator[str]:
    """Yield what an export in this format changes in a row.

    Args:
        row: the row.
        form: one of ``o1lab.ingest.exporting.FORMATS``.
    """
    joined = form in ("messages", "sharegpt", "alpaca")
    if row.without_thought:
        yield "the thought is left out, as the dataset is of phase 1"
    if row.cut_off:
        yield "the thought was cut off, and no end is written for it"
    elif not row.complete:
        yield "the response was cut off and is written as it is"
    if row.joined:
        yield "text before, between or after the marks is written as part of the solution"
    if joined and row.thought and row.format == UNMARKED:
        yield "the thought has no marks; it is written in <think> and </think>"
    elif joined and row.thought and row.format not in (PLAIN, _OUR_MARKS):
        yield f"the think marks of {row.format} are written as <think> and </think>"
    if joined and _MARK.search(row.thought):
        yield "the thought itself contains a think mark, so other tools may end it there"
    if joined and row.gold:
        yield f"the gold answer has no place in {form}; jsonl and parquet have it"
    if form == "alpaca":
        yield from _alpaca(row)
    if form == "parquet" and any(_SURROGATE.search(text) for text in (row.statement, row.thought, row.solution)):
        yield "characters that UTF-8 cannot hold (lone surrogates) are written as question marks"


def is_history(roles: list[str]) -> bool:
    """Whether turns before the last question fit the pairs of Alpaca's ``history``."""
    return roles == ["user", "assistant"] * (len(roles) // 2)


def _alpaca(row: DatasetRow) -> Iterator[str]:
    roles = [turn["role"] for turn in row.context]
    others = [role for role in roles if role != "system"]
    if not is_history(others[:-1]):
        yield "turns of several roles are written as one instruction with their names"
    if "system" in roles[1:]:
        yield "system messages in or after the conversation are written in the column system"
