"""A sample that a person says something of becomes a trace: then it is annotated, read and exported as any other.

It never slips into training: its source is ``eval/ID``, which datasets leave out with a reason, and a question that the
lab's pool did not know comes in as an excluded problem.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from o1lab.chains.parse import join
from o1lab.ingest.measuring import as_record, measure_new
from store import Store, evaluations, exclusions, problems, traces
from store import annotations as annotation_log
from store.evaluations import Evaluation, ItemRow, NewSample
from store.exclusions import Exclusion
from store.records import Annotation, Measured, NewProblem, NewTrace

SOURCE = "eval/"
RULE = "evaluation"
"""The name under which the pool leaves out a problem that came in with a sample."""
_VERDICTS = {"correct": "correct", "incorrect": "incorrect"}
_OPENING = "<think>\n"


@dataclass(frozen=True, slots=True)
class SampleText:
    """One turn as the one raw text of a trace; thought and answer are its slices, to the character."""

    raw: str
    thought: tuple[int, int]
    solution: tuple[int, int]


def sample_text(thought: str, answer: str) -> SampleText:
    """What a model said in one turn as a trace tells it, so that a span of its thought is one of the trace's."""
    raw = join(thought, answer)
    start = len(raw) - len(answer)
    begin = len(_OPENING) if thought else 0
    return SampleText(raw, (begin, begin + len(thought)), (start, len(raw)))


def as_trace(evaluation: Evaluation, item: ItemRow, one: NewSample) -> NewTrace:
    """The trace that a sample becomes: its last turn, the one that is scored; what came before stands in its meta."""
    last = one.turns[-1]
    text = sample_text(last.thought, last.answer)
    before: list[dict[str, str]] = []
    for turn in one.turns[:-1]:
        before += [{"role": "user", "content": turn.user}, {"role": "assistant", "content": turn.answer}]
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
    )


def keep(store: Store, seq: int) -> str:
    """Make a trace of a sample, measured, with the evaluation's scorer's word as its verdict; the trace's id.

    The same sample again is the trace that is there. All of it is one transaction, the caller's if there is one.

    Raises:
        MissingError: there is no such sample.
        UsageError: nothing came of it, so there is nothing to say of it.
    """
    from o1lab.errors import UsageError

    db = store.db
    evaluation_id, one = evaluations.sample(db, seq)
    evaluation = evaluations.get(db, evaluation_id)
    item = evaluations.item(db, evaluation_id, one.item)
    if not one.turns or not (one.turns[-1].thought or one.turns[-1].answer):
        raise UsageError(f"Sample {one.sample} of '{one.item}' holds no answer.", "There is nothing to label.")
    trace = as_trace(evaluation, item, one)
    with db.atomic():
        if problems.get(db, trace.problem_id) is None:
            gold = item.gold[0] if item.gold else None
            problems.add(db, [NewProblem(item.question, evaluation.suite_label, one.item, gold)])
            reason = f"it is an item of the suite {evaluation.suite_label}, and came in with a labelled sample"
            exclusions.record(
                db, [trace.problem_id], [RULE], [Exclusion(trace.problem_id, RULE, 1, reason)]
            )  # so that no teacher is asked for it
        if traces.add(db, [(trace, item.question)]):
            traces.set_measures(db, [_measured(store, evaluation, seq, trace)])
        evaluations.set_trace(db, seq, trace.id)
    return trace.id


def label(
    store: Store, seq: int, kind: str, value: str, *, annotator: str, span: tuple[int, int] | None = None
) -> Annotation:
    """Say something of a sample: it becomes a trace, if it is none yet, and the annotation is its. One transaction.

    Raises:
        MissingError: there is no such sample.
        UsageError: nothing came of it.
    """
    with store.db.atomic():
        return annotation_log.annotate(store.db, keep(store, seq), kind, value, annotator=annotator, span=span)


def _measured(store: Store, evaluation: Evaluation, seq: int, trace: NewTrace) -> Measured:
    found = measure_new(trace)
    score = next((one for one in evaluations.scores_of(store.db, seq) if one.scorer == evaluation.scorer), None)
    verdict, reason, answer = "unverifiable", "no scorer has looked at it", None
    if score is not None:
        verdict = _VERDICTS.get(score.outcome, "unverifiable")
        reason = f"{score.scorer}: {score.reason or score.outcome}"
        answer = score.answer
    return as_record(trace.id, found, verdict, reason, answer=answer)
