"""Promotes samples to traces, so that they can be annotated, read and exported like any other trace.

Such traces never get into training data: datasets leave out their source ``eval/ID`` with a reason, and a question that
is new to the problem pool is added as an excluded problem.
"""

from __future__ import annotations

from o1lab.errors import UsageError
from o1lab.evaluate.sample_traces import as_trace
from o1lab.ingest.measuring import as_record, measure_new
from store import Store, evaluations, exclusions, problems, ratings, traces
from store import annotations as annotation_log
from store.evaluations import Evaluation
from store.exclusions import Exclusion
from store.records import Annotation, Measured, NewProblem, NewTrace

RULE = "evaluation"
"""The rule that excludes problems added with a sample."""


def promote(store: Store, seq: int) -> str:
    """Store a sample as a measured trace with the score as its verdict, unless this has been done before.

    Runs in one transaction, that of the caller if there is one.

    Args:
        store: the lab's database.
        seq: the number of the sample.

    Returns:
        The id of the trace.

    Raises:
        NotFoundError: there is no such sample.
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
        NotFoundError: there is no such sample.
        UsageError: the sample has no answer.
    """
    with store.db.atomic():
        return annotation_log.annotate(store.db, promote(store, seq), kind, value, annotator=annotator, span=span)


def _measured(store: Store, evaluation: Evaluation, seq: int, trace: NewTrace) -> Measured:
    found = measure_new(trace)
    score = next((one for one in evaluations.scores_of(store.db, seq) if one.scorer == evaluation.scorer), None)
    verdict, reason, answer = "unverifiable", "no scorer has scored it", None
    if score is not None:
        verdict = score.outcome if score.outcome in ("correct", "incorrect") else "unverifiable"
        reason = f"{score.scorer}: {score.reason or score.outcome}"
        answer = score.answer
    return as_record(trace.id, found, verdict, reason, answer=answer)
