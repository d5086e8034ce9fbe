"""Promotes samples to traces, so that they can be annotated, read and exported like any other trace.

Such traces never get into training data: datasets leave out their source ``eval/ID`` with a reason, and a question that
is new to the problem pool is added as an excluded problem.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from o1lab.chains.parse import join
from o1lab.errors import UsageError
from o1lab.ingest.measuring import as_record, measure_new
from store import Store, evaluations, exclusions, problems, ratings, traces
from store import annotations as annotation_log
from store.evaluations import Evaluation, ItemRow, NewSample
from store.exclusions import Exclusion
from store.records import Annotation, Measured, NewProblem, NewTrace

SOURCE = "eval/"
RULE = "evaluation"
"""The rule that excludes problems added with a sample."""
_VERDICTS = {"correct": "correct", "incorrect": "incorrect"}
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


def promote(store: Store, seq: int) -> str:
    """Store a sample as a measured trace with the score as its verdict, unless this has been done before.

    Runs in one transaction, that of the caller if there is one.

    Args:
        store: the lab's database.
        seq: the number of the sample.

    Returns:
        The id of the trace.

    Raises:
        MissingError: there is no such sample.
        UsageError: the sample has no answer.
    """
    db = store.db
    evaluation_id, one = evaluations.sample(db, seq)
    evaluation = evaluations.get(db, evaluation_id)
    item = evaluations.item(db, evaluation_id, one.item)
    if not one.turns or not (one.turns[-1].thought or one.turns[-1].answer):
        raise UsageError(f"Sample {one.sample} of '{one.item}' has no answer.", "There is nothing to label.")
    trace = as_trace(evaluation, item, one)
    with db.atomic():
        if problems.get(db, trace.problem_id) is None:
            gold = item.gold[0] if item.gold else None
            problems.add(db, [NewProblem(item.question, evaluation.suite_label, one.item, gold)])
            reason = f"it is an item of the suite {evaluation.suite_label}, and came in with a labelled sample"
            # Excluded, so that no teacher is asked for it.
            exclusions.record(db, [trace.problem_id], [RULE], [Exclusion(trace.problem_id, RULE, 1, reason)])
        if traces.add(db, [(trace, item.question)]):
            traces.set_measures(db, [_measured(store, evaluation, seq, trace)])
        ratings.set_trace(db, seq, trace.id)
    return trace.id


def label(
    store: Store, seq: int, kind: str, value: str, *, annotator: str, span: tuple[int, int] | None = None
) -> Annotation:
    """Annotate a sample, promoting it to a trace first if needed, in one transaction.

    Args:
        store: the lab's database.
        seq: the number of the sample.
        kind: the kind of annotation.
        value: its value.
        annotator: who annotates.
        span: (start, end) in the raw text of the trace, or None for the whole trace.

    Raises:
        MissingError: there is no such sample.
        UsageError: the sample has no answer.
    """
    with store.db.atomic():
        return annotation_log.annotate(store.db, promote(store, seq), kind, value, annotator=annotator, span=span)


def _measured(store: Store, evaluation: Evaluation, seq: int, trace: NewTrace) -> Measured:
    found = measure_new(trace)
    score = next((one for one in evaluations.scores_of(store.db, seq) if one.scorer == evaluation.scorer), None)
    verdict, reason, answer = "unverifiable", "no scorer has looked at it", None
    if score is not None:
        verdict = _VERDICTS.get(score.outcome, "unverifiable")
        reason = f"{score.scorer}: {score.reason or score.outcome}"
        answer = score.answer
    return as_record(trace.id, found, verdict, reason, answer=answer)
