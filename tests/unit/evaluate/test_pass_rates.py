"""Pass rates: which evaluations and samples count, and the suite that asks problems."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from o1lab.config import init_lab
from o1lab.evaluate import pass_rates
from o1lab.evaluate.suites.loading import load
from o1lab.evaluate.suites.suite import find_suite
from o1lab.lens import scoring
from o1lab.paths import Lab
from o1lab.serve.identity import Identity
from o1lab.serve.registry import ModelRef
from store import Store, evaluations, open_store, problems, suitability
from store.evaluations import Evaluation, ItemRow, NewSample, NewScore, Turn
from store.records import NewProblem, problem_id

STUDENT = ModelRef("7a1b/100", "student", "a student", "checkpoint")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    identity = Identity("7a1b/100", "student", "checkpoint", "m", "sha256:w", "t")
    for module in (pass_rates, scoring):
        monkeypatch.setattr(module, "identify", lambda _lab, _ref: identity)
    return init_lab(tmp_path / "lab")


@pytest.fixture
def store(lab: Lab) -> Store:
    return open_store(lab.database)


def evaluation(
    store: Store, name: str, revision: str, rows: list[ItemRow], outcomes: str, *, cached: bool = False
) -> None:
    """Add an evaluation: an outcome for each sample, + - c(ut off) f(ailed) ?(unscored), all items in turn."""
    made = Evaluation(
        name, name, "s", 1, "h", "mathematics", "7a1b/100", "student", revision, {}, {}, len(rows), 2, "math@1",
        created_at=name,
    )  # fmt: skip
    evaluations.add(store.db, made, rows)
    states = {"c": "incomplete", "f": "failed"}
    with store.db.atomic():
        for at, outcome in enumerate(outcomes):
            row, number = rows[at % len(rows)], at // len(rows)
            sample = NewSample(
                row.item, number, states.get(outcome, "complete"), (Turn(row.question, "", "7"),),
                f"key {row.item} {number}", cached=cached,
            )  # fmt: skip
            [seq] = evaluations.add_samples(store.db, name, [sample])
            if outcome in "+-":
                evaluations.add_scores(
                    store.db, [NewScore(seq, "math@1", "correct" if outcome == "+" else "incorrect")]
                )


def test_answers_of_the_same_weights_to_the_statement_count(lab: Lab, store: Store) -> None:
    rows = [ItemRow("1", "What is 7 + 5?"), ItemRow("2", "What is  8 + 5?")]
    evaluation(store, "e1", "sha256:w", rows, "+-+c")
    evaluation(store, "e2", "sha256:w", rows, "ff")
    evaluation(store, "e3", "other weights", rows, "++")
    evaluation(store, "e4", "sha256:w", [ItemRow("1", "What is 7 + 5?", group="g", variant="push-back")], "-")
    found = pass_rates.count(lab, store, STUDENT)
    assert found == {problem_id("What is 7 + 5?"): (2, 2), problem_id("What is 8 + 5?"): (0, 2)}
    model = scoring.model_key(lab, STUDENT)
    stored = store.db.execute("SELECT problem_id, correct, samples FROM pass_rates WHERE model = ?", [model])
    assert {problem: (correct, samples) for problem, correct, samples in stored} == found


def test_a_reused_answer_counts_once(lab: Lab, store: Store) -> None:
    rows = [ItemRow("1", "What is 7 + 5?")]
    evaluation(store, "e1", "sha256:w", rows, "+")
    evaluation(store, "e2", "sha256:w", rows, "+-", cached=True)
    assert pass_rates.count(lab, store, STUDENT) == {problem_id("What is 7 + 5?"): (1, 2)}
    store.db.execute("DELETE FROM evaluation_items")
    assert pass_rates.count(lab, store, STUDENT) == {}, "counted again, not added up"
    assert suitability.of_traces(store.db, [], "m") == {}


def test_an_answer_without_a_score_counts_when_it_has_one(lab: Lab, store: Store) -> None:
    rows = [ItemRow("1", "What is 7 + 5?")]
    evaluation(store, "e1", "sha256:w", rows, "?+")
    problem = problem_id("What is 7 + 5?")
    assert pass_rates.count(lab, store, STUDENT) == {problem: (1, 1)}
    evaluation(store, "e2", "sha256:w", rows, "-", cached=True)
    assert pass_rates.count(lab, store, STUDENT) == {problem: (1, 2)}, "a later evaluation has judged it"


def test_the_suite_asks_the_problems_that_have_an_answer(lab: Lab, store: Store) -> None:
    made = [NewProblem("What is 7 + 5?", "s", answer="12"), NewProblem("Why?", "s")]
    with store.db.atomic():
        problems.add(store.db, made)
    path, without = pass_rates.write_suite(lab, store.db, [one.id for one in made])
    assert path is not None and without == 1
    [item] = load(lab, store, find_suite(lab, path.stem)).items
    assert (item.id, item.turns, item.gold) == (made[0].id, ("What is 7 + 5?",), ("12",))
    assert pass_rates.write_suite(lab, store.db, [made[0].id]) == (path, 0), "the same problems, the same suite"
    assert pass_rates.write_suite(lab, store.db, [made[1].id]) == (None, 1)
    assert json.loads((lab.suite_data / f"{path.stem}.jsonl").read_text())["gold"] == "12"
