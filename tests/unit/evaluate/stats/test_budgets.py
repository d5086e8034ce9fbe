"""Accuracy under a budget: cut, and with forced answers."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from o1lab.evaluate.stats import budgets
from o1lab.evaluate.stats.metrics import accuracy
from store import evaluations, open_store
from store.evaluations import Evaluation, ItemRow, NewSample, NewScore, ScoreOutcome
from tests.support.evaluation_results import result

SAMPLES = st.lists(
    st.tuples(st.sampled_from(["correct", "incorrect", "incomplete", "failed"]), st.integers(0, 5000)), min_size=1
)


def test_by_hand() -> None:
    results = [
        result("a", tokens=100),
        result("b", tokens=300),
        result("c", "incorrect", tokens=50),
        result("d", "failed", tokens=0),
    ]
    points = budgets.under_budget(results, [300, 100, 99])
    assert [(one.budget, one.rate.correct, one.rate.n, one.over, one.spent) for one in points] == [
        (99, 0, 4, 2, (99 + 99 + 50) / 3),
        (100, 1, 4, 1, 250 / 3),
        (300, 2, 4, 0, 150),
    ]
    assert points[1].as_json()["way"] == "cut"
    assert "evaluation" not in points[1].as_json()


@given(SAMPLES)
def test_more_budget_is_never_worse_and_the_last_is_all_of_it(samples: list[tuple[str, int]]) -> None:
    results = [result(str(n), outcome, tokens=tokens) for n, (outcome, tokens) in enumerate(samples)]
    points = budgets.under_budget(results)
    right = [one.rate.correct for one in points]
    assert right == sorted(right)
    assert all(one.rate.n == len(samples) for one in points)
    if points:
        assert points[-1].over == 0
        assert points[-1].rate.correct == accuracy(results).correct
        assert all(two.budget == 2 * one.budget for one, two in pairwise(points))


def test_budgets_are_powers_of_two_around_the_lengths() -> None:
    assert budgets.log_spaced([result("a", tokens=100), result("b", tokens=900)]) == [64, 128, 256, 512, 1024]
    assert budgets.log_spaced([result("a", tokens=64)]) == [64]
    assert len(budgets.log_spaced([result("a", tokens=1), result("b", tokens=10**6)])) == 12
    assert budgets.log_spaced([result("a", "failed", tokens=0)]) == []
    assert budgets.under_budget([]) == ()


def test_forced_answers_are_a_point_an_evaluation_and_only_of_what_was_asked_alike(tmp_path: Path) -> None:
    store = open_store(tmp_path / "lab.db")

    def evaluation(name: str, limit: int, force: int | None, *, there: int = 2, **changes: object) -> Evaluation:
        one = Evaluation(
            name, f"evals/{name}", "sums", 1, "h", "mathematics", "base", "base", "r",
            {"temperature": 0.0, "max_tokens": limit}, {"max_tokens": limit, "force_answer": force}, 2, 1, "m@1",
        )  # fmt: skip
        one = replace(one, **changes)  # type: ignore[arg-type]  # each case has its own
        evaluations.add(store.db, one, [ItemRow("a", "?"), ItemRow("b", "?")])
        with store.db.atomic():
            samples = [
                NewSample("a", 0, "complete", (), "k", output_tokens=limit // 2),
                NewSample("b", 0, "complete", (), "k", output_tokens=limit + 8),
            ]
            seqs = evaluations.add_samples(store.db, name, samples[:there])
            outcomes: tuple[ScoreOutcome, ...] = ("correct", "incorrect")
            evaluations.add_scores(
                store.db, [NewScore(seq, "m@1", outcome) for seq, outcome in zip(seqs, outcomes, strict=False)]
            )
        return one

    plain = evaluation("plain", 256, None)
    evaluation("short", 64, 16)
    evaluation("long", 128, 16)
    evaluation("other-model", 32, 16, model="student")
    evaluation("hot", 16, 16, sampling={"temperature": 1.0, "max_tokens": 16})
    evaluation("other-items", 8, 16, items_hash="x")
    evaluation("unfinished", 512, 16, there=1)
    evaluation("long-again", 128, 16, there=1)  # newer than the other, but not all of it is there
    points = budgets.forced(store.db, plain, "m@1")
    assert [(one.evaluation, one.budget, one.rate.correct, one.rate.n, one.over, one.spent) for one in points] == [
        ("short", 64, 1, 2, 1, (32 + 72) / 2),
        ("long", 128, 1, 2, 1, (64 + 136) / 2),
    ]
    assert points[0].as_json()["way"] == "forced"
    assert budgets.forced(store.db, plain, "m@2") == ()
