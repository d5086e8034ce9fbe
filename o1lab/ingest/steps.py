"""Verdicts on the steps of a trace against its moves: numbers, spans, sentences and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from o1lab.chains.segmentation.moves import Move
from o1lab.errors import UsageError
from o1lab.text import one_line
from store.wrong_steps import NONE, WITHDRAWN, StepVerdict


def read_step(value: str, moves: Sequence[Move]) -> tuple[str, tuple[int, int] | None]:
    """Return value and span of an annotation ``wrong_step``.

    Args:
        value: the number of a move, ``none`` or ``clear``.
        moves: the moves of the trace.

    Raises:
        UsageError: it is none of these, or there is no such move.
    """
    word = value.strip().lower()
    if word == NONE:
        return NONE, None
    if word in ("clear", WITHDRAWN):
        return WITHDRAWN, None
    if not (word.isascii() and word.isdigit() and 1 <= int(word[:10]) <= len(moves)):
        raise UsageError(
            f"'{one_line(value, 40)}' is not a move of this trace, which has {len(moves):,}.",
            "Give a number from 1 as in `o1lab traces show`, `none` if no move is wrong, or `clear`.",
        )
    move = moves[int(word) - 1]
    return str(int(word)), (move.start, move.end)


def numbered(verdicts: Iterable[StepVerdict], moves: Sequence[Move]) -> list[StepVerdict]:
    """Return the verdicts with the numbers and spans of ``moves``, which may be newer than the verdicts."""
    return [_numbered(verdict, moves) for verdict in verdicts]


def _numbered(verdict: StepVerdict, moves: Sequence[Move]) -> StepVerdict:
    if not verdict.step or verdict.span is None:
        return verdict
    start = verdict.span[0]
    for number, move in enumerate(moves, 1):
        if move.start <= start < move.end:
            return replace(verdict, step=number, span=(move.start, move.end))
    return verdict


def who(verdict: StepVerdict) -> str:
    """Return the name of an annotator, which says of a judge that it is one."""
    return f"judge {one_line(verdict.annotator, 80)}" if verdict.by_judge else one_line(verdict.annotator, 80)


def sentence(verdict: StepVerdict) -> str:
    """Return a verdict as a line of text."""
    return f"✗ first wrong step: {who(verdict)}" if verdict.step else f"✓ no wrong step: {who(verdict)}"


def as_item(verdict: StepVerdict) -> dict[str, Any]:
    """Return a verdict as JSON; ``step`` is null if no move is wrong."""
    return {
        "annotator": verdict.annotator,
        "judge": verdict.by_judge,
        "run": verdict.run_id,
        "step": verdict.step or None,
        "span": None if verdict.span is None else list(verdict.span),
    }
