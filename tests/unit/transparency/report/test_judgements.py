"""The sections of a report on verdicts on steps, on behaviour, on languages and on adapted items."""

from __future__ import annotations

from dataclasses import replace

from o1lab.paths import Lab
from o1lab.transparency.lab_facts import collect
from o1lab.transparency.report import judgements
from store import Store, annotations, datasets, evaluations
from store.evaluations import ItemRow, NewSample, Turn
from tests.support import evaluate_lab
from tests.support.transparency_lab import accept_right, evaluate, finished

QUESTION = "How many apples are left on the table?"
ANSWER = "There are three apples left on the table."


def test_verdicts_on_the_chains_of_the_datasets_are_compared(lab: Lab, store: Store) -> None:
    accept_right(store)
    run = finished(lab, store)
    assert "No annotator or judge" in "".join(judgements.steps(collect(lab, store, run.id)))
    trained = list(datasets.trace_ids(store.db, "taken"))
    other = next(row[0] for row in store.db.execute("SELECT id FROM traces") if row[0] not in trained)
    for trace in (*trained[:2], other):
        for annotator, judge, step in (
            ("ann", None, "1"),
            ("m | <b>x</b>", "r1", "1" if trace == trained[0] else "none"),
        ):
            annotations.annotate(
                store.db, trace, "wrong_step", step, annotator=annotator, run_id=judge,
                span=None if step == "none" else (0, 5),
            )  # fmt: skip
    text = "".join(judgements.steps(collect(lab, store, run.id)))
    assert "2 training chains have a verdict" in text, text
    assert "| ann | 2 | 2 | 0 |" in text and "50.0% \\(9.4% to 90.5%\\)" in text, text
    assert "<b>" not in text and "Krippendorff" in text


def test_decisions_of_several_persons_on_the_training_chains_are_compared(lab: Lab, store: Store) -> None:
    accept_right(store)
    run = finished(lab, store)
    trained = list(datasets.trace_ids(store.db, "taken"))
    other = next(row[0] for row in store.db.execute("SELECT id FROM traces") if row[0] not in trained)
    for trace in (trained[0], other):
        annotations.annotate(store.db, trace, "decision", "reject", annotator="<b>ben</b>")
    text = "".join(judgements.decided(collect(lab, store, run.id)))
    assert "Decisions of 1 annotator counted under the policy majority" in text, text
    assert f"{len(trained):,} training chains have a decision or rating, 1 of them decisions of several" in text, text
    assert "1 are disputed and 0 adjudicated" in text and "<b>" not in text, text
    assert "Cohen's kappa" in text and "Krippendorff" in text, text


def test_the_behaviour_of_the_student_has_a_section_with_its_training_chains(lab: Lab, store: Store) -> None:
    accept_right(store)
    run = finished(lab, store)
    assert "was not evaluated" in "".join(judgements.behaviour(collect(lab, store, run.id)))
    evaluate(store, run)
    text = "".join(judgements.behaviour(collect(lab, store, run.id)))
    assert text.startswith("## Behaviour\n\n### Behaviour: moves per 1,000 tokens"), text
    assert "chains in taken" in text and f"| {run.id}/" in text and "too few models" in text, text


def test_languages_and_adapted_items_have_sections(lab: Lab, store: Store) -> None:
    accept_right(store)
    run = finished(lab, store)
    facts = collect(lab, store, run.id)
    assert "was not evaluated" in "".join(judgements.language(facts))
    evaluate(store, run)
    facts = collect(lab, store, run.id)
    assert "No item of these evaluations" in "".join(judgements.adapted(facts))
    one = replace(evaluate_lab.evaluation("e2", f"{run.id}/step-100", suite="apples"), items=2)
    evaluations.add(store.db, one, [ItemRow("a", QUESTION, meta={"edited_by": "ann"}), ItemRow("b", QUESTION)])
    with store.db.atomic():
        turn = (Turn(QUESTION, ANSWER, ANSWER),)
        evaluations.add_samples(store.db, "e2", [NewSample(name, 0, "complete", turn, name) for name in "ab"])
    facts = collect(lab, store, run.id)
    assert "| apples@1 | 2 | 1 | ann 1 |" in "".join(judgements.adapted(facts))
    text = "".join(judgements.language(facts))
    assert "apples@1" in text and "100.0" in text and "English" in text
