"""A sample as a trace: its last turn as raw text, and what was asked as its context."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from o1lab.chains.parse import join
from store.evaluations import Evaluation, ItemRow, NewSample
from store.records import NewProblem, NewTrace

SOURCE = "eval/"
_OPENING = "<think>\n"


@dataclass(frozen=True, slots=True)
class SampleText:
    """The raw text of a turn as stored in a trace; ``thought`` and ``solution`` are the (start, end) of its parts."""

    raw: str
    thought: tuple[int, int]
    solution: tuple[int, int]


def sample_text(thought: str, answer: str) -> SampleText:
    """Return a turn as the raw text of a trace, so that spans of its thought apply to the trace."""
    raw = join(thought, answer)
    start = len(raw) - len(answer)
    begin = len(_OPENING) if thought else 0
    return SampleText(raw, (begin, begin + len(thought)), (start, len(raw)))


def left_out(one: NewSample) -> str:
    """Return what the trace of a sample does not contain, as a sentence; empty if it contains everything."""
    thoughts = [str(number) for number, turn in enumerate(one.turns[:-1], 1) if turn.thought]
    if not thoughts:
        return ""
    turns = f"turn {thoughts[0]}" if len(thoughts) == 1 else f"turns {', '.join(thoughts)}"
    return f"The trace does not contain the thought of {turns}, which only the evaluation keeps."


def as_trace(evaluation: Evaluation, item: ItemRow, one: NewSample) -> NewTrace:
    """Return a sample as a trace: its last turn, which is the scored one. What was asked is its context, unless that is
    the question alone."""
    last = one.turns[-1]
    text = sample_text(last.thought, last.answer)
    before: list[dict[str, str]] = []
    for turn in one.turns[:-1]:
        before += [{"role": "user", "content": turn.user}, {"role": "assistant", "content": turn.answer}]
    system = str(one.meta.get("system") or "")
    asked = [{"role": "system", "content": system}] if system else []
    asked += [*before, {"role": "user", "content": last.user}]
    meta: dict[str, Any] = {
        "evaluation": evaluation.id,
        "suite": evaluation.suite_label,
        "item": one.item,
        "sample": one.sample,
        "variant": item.variant,
        "revision": evaluation.revision,
        "sampling": evaluation.sampling,
        "state": one.state,
        "asked": last.user,
        "before": before,
    }
    if gone := left_out(one):
        meta["left_out"] = gone
    return NewTrace(
        NewProblem(item.question, "").id,
        evaluation.model,
        text.raw,
        text.thought,
        text.solution,
        one.state == "complete",
        "r1" if last.thought else "plain",
        f"{SOURCE}{evaluation.id}",
        key=f"{one.item}#{one.sample}" if one.sample else one.item,
        synthesis="solver" if evaluation.role == "teacher" and evaluation.model == "solver" else "unknown",
        tokens=one.output_tokens or None,
        meta=meta,
        context=() if asked == [{"role": "user", "content": item.question}] else tuple(asked),
    )
