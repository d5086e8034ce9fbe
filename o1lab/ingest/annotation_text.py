"""Annotations in words, for the screens and the command line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from o1lab.chains.segmentation.moves import Move
from o1lab.text import one_line
from store.records import Annotation, TraceRow
from store.wrong_steps import NONE, WITHDRAWN

PAST_TENSE = {"accept": "accepted", "reject": "rejected", "skip": "skipped"}
_QUOTED = 60
"""Characters of a quotation from the text."""


def clock(created_at: str) -> str:
    """Format a time stamp in local time, without the date if it is today."""
    then = datetime.fromisoformat(created_at).astimezone()
    today = datetime.now(UTC).astimezone().date()
    return f"{then:%H:%M:%S}" if then.date() == today else f"{then:%Y-%m-%d %H:%M}"


def what(record: Annotation, number: int = 1) -> str:
    """Describe an annotation, the first of ``number`` equal ones, in a few words."""
    span = f"{record.span[0]}-{record.span[1]}" if record.span else ""
    moves = "the move" if number == 1 else f"{number} moves"
    return _described(record, span, moves, 40)


def in_full(record: Annotation, moves: Sequence[Move], text: str) -> str:
    """Describe an annotation with its whole value and, if it is of a part of the text, the moves and their words.

    Args:
        record: The annotation.
        moves: The moves of the text.
        text: What the spans are offsets into: the thought, or the solution of a response without one.
    """
    if record.span is None:
        return _described(record, "", "the move", 2000)
    start, end = record.span
    within = [number for number, move in enumerate(moves, 1) if move.start < end and start < move.end]
    place = f"move {within[0]} " if len(within) == 1 else f"moves {within[0]} to {within[-1]} " if within else ""
    quoted = f"{place}“{one_line(text[start:end].strip(), _QUOTED)}”"
    return _described(record, quoted, quoted, 2000)


def _described(record: Annotation, span: str, moves: str, longest: int) -> str:
    value = one_line(record.value, longest)
    if record.kind == "decision":
        return PAST_TENSE.get(record.value, value)
    if record.kind == "wrong_step":
        words = {NONE: "no wrong step", WITHDRAWN: "verdict on the steps withdrawn"}
        place = span if span.startswith("move") else f"move {value}"
        return words.get(record.value, f"first wrong step: {place}")
    if record.kind == "span" and span:
        return f"{span}: {value}" if span.startswith("move") else f"span {span} {value}"
    if record.kind == "move":
        return f"correction of {moves} withdrawn" if record.value == WITHDRAWN else f"{moves}: {value}"
    return {
        "rating": f"rated {value}",
        "tag": f"tagged #{value}",
        "untag": f"untagged #{value}",
        "note": f"noted “{value}”",
        "edit": f"edited into {value[:8]}",
        "adjudication": f"adjudicated: {PAST_TENSE.get(record.value, value)}",
        "assign": f"assigned to {value}",
        "unassign": f"no longer assigned to {value}",
        "undo": "undone",
    }.get(record.kind, f"{record.kind} {value}")


def adjudication_note(policy: str, before: TraceRow) -> str:
    """Return what a person who adjudicates should know, given the trace as it was before; empty if nothing."""
    if policy == "own":
        return "it does not count: the policy is own"
    return "" if before.disputed else "the trace was not disputed"
