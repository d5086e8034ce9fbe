"""Convergence of the chains of an evaluation: which samples are cut, medians, shares, and what figures show."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1lab.evaluate.stats.convergence import chains_of, median, of_evaluation, summarise
from o1lab.evaluate.stats.figures import figures
from o1lab.lens.convergence import AnswerPrompt, Chain, Convergence, Point
from o1lab.lens.forcing import judged
from store import Store, continuations, evaluations, open_store
from store.continuations import ForcedAnswer
from store.evaluations import Evaluation, ItemRow, NewSample, Turn
from tests.support.figures_lab import put

THOUGHT = "I add them.\n\nIt is 11.\n\nWait, let me check that again: it is 12."


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "lab.db")


def evaluation(store: Store) -> Evaluation:
    """An evaluation of two questions: one sample with a thought, one without."""
    items = [ItemRow("a", "7 + 5?", ("12", "twelve")), ItemRow("b", "8 + 5?", ("13",))]
    one = put(store, "e1", [(row, "c") for row in items])
    turns = {"a": Turn("7 + 5?", THOUGHT, "\\boxed{12}"), "b": Turn("8 + 5?", "", "13")}
    with store.db.atomic():
        evaluations.add_samples(
            store.db,
            one.id,
            [
                NewSample(name, 0, "complete", (turn,), f"key {name}", output_tokens=9, meta={"system": "Think."})
                for name, turn in turns.items()
            ],
        )
    return one


def answer(chain: Chain, cut: int, text: str | None, model: str = "m") -> ForcedAnswer:
    how = AnswerPrompt.of(chain).how
    return ForcedAnswer(chain.key, model, how, cut, "base", 30 + cut, f"{text}}}", text)


def test_samples_with_a_thought_are_chains_with_all_that_was_asked(store: Store) -> None:
    [chain] = chains_of(store.db, evaluation(store))
    assert (chain.name, chain.thought, chain.golds) == ("a#0", THOUGHT, ("12", "twelve"))
    assert chain.messages == ({"role": "system", "content": "Think."}, {"role": "user", "content": "7 + 5?"})
    assert chain.cuts[0] == 0 and chain.cuts[-1] == len(THOUGHT) and len(chain.cuts) >= 3


def test_figures_show_convergence_once_all_places_have_an_answer(store: Store) -> None:
    one = evaluation(store)
    [chain] = chains_of(store.db, one)
    assert figures(store.db, one).as_json()["convergence"] == []
    texts = ["twelve", *["11"] * (len(chain.cuts) - 2), "12"]
    every = [answer(chain, cut, text) for cut, text in zip(chain.cuts, texts, strict=True)]
    continuations.add_answers(store.db, every[:-1])
    continuations.add_evaluation(store.db, one.id, "m")
    assert figures(store.db, one).convergence == ()
    continuations.add_answers(store.db, every[-1:])
    continuations.add_answers(store.db, [answer(chain, 0, "12", "other")])
    [found] = figures(store.db, one).convergence
    assert (found.model, found.chains, found.incomplete) == ("base", 1, 0)
    assert (found.right.correct, found.overwritten.correct, found.lost.correct) == (1, 1, 0)
    assert found.after.value == 0 and found.share.value == 0
    assert any("overwritten" in line and "1 of 1" in line for line in found.lines())


def test_an_answer_that_cannot_be_verified_is_neither_right_nor_wrong(store: Store) -> None:
    [chain] = chains_of(store.db, evaluation(store))
    texts = ["12", "1" * 5000, *["11"] * (len(chain.cuts) - 2)]
    continuations.add_answers(store.db, [answer(chain, cut, text) for cut, text in zip(chain.cuts, texts, strict=True)])
    [[found]] = judged(store.db, [chain])
    assert [one.right for one in found.points][:3] == [True, None, False] and found.overwritten == 1


def test_an_evaluation_with_forced_answers_can_be_deleted(store: Store) -> None:
    one = evaluation(store)
    continuations.add_evaluation(store.db, one.id, "m")
    evaluations.remove(store.db, one.id)
    assert continuations.models_of(store.db, one.id) == []


def test_variants_of_a_question_are_drawn_together(store: Store) -> None:
    items = [ItemRow(name, f"{name}: 7 + 5?", ("12",), group=name[0]) for name in ("a1", "a2", "b1", "b2")]
    one = put(store, "e1", [(row, "c") for row in items])
    with store.db.atomic():
        evaluations.add_samples(
            store.db,
            one.id,
            [
                NewSample(row.item, 0, "complete", (Turn(row.question, THOUGHT, "12"),), f"key {row.item}")
                for row in items
            ],
        )
    chains = chains_of(store.db, one)
    assert len(chains) == 4
    continuations.add_answers(store.db, [answer(chain, cut, "12") for chain in chains for cut in chain.cuts])
    continuations.add_evaluation(store.db, one.id, "m")
    [found] = of_evaluation(store.db, one)
    for interval in (found.after.interval, found.right.interval):
        assert interval is not None and "over 2 clusters" in interval.method


def chain_with(after: int, total: int = 100) -> Convergence:
    points = (Point(0, 0, "1", False), Point(5, total - after, "12", True), Point(9, total, "12", True))
    return Convergence("m", points, "gold")


def test_the_median_is_of_chains_and_its_interval_of_questions() -> None:
    found = summarise([chain_with(after) for after in (10, 20, 30, 40, 90)], "abcde", incomplete=2)
    assert found.after.value == 30 and found.share.value == pytest.approx(0.3)
    assert found.after.interval is not None and 10 <= found.after.interval.low <= 30 <= found.after.interval.high <= 90
    assert (found.chains, found.incomplete, found.right.value) == (5, 2, 1.0)
    assert summarise([], []).as_json()["tokens_after"] == {"median": None, "n": 0, "ci95": None, "ci_method": None}


def test_a_question_that_is_drawn_twice_counts_with_all_its_chains() -> None:
    assert median([1.0, 2.0, 3.0], "aaa").interval is None
    even = median([1.0, 1.0, 9.0, 9.0], "aabb")
    assert even.value == 5.0 and even.interval is not None
    assert (even.interval.low, even.interval.high) == (1.0, 9.0)
    assert median([4.0] * 50, range(50)).interval == median([4.0] * 50, range(50)).interval
    narrow = median([float(one % 10) for one in range(1000)], range(1000)).interval
    assert narrow is not None and narrow.high - narrow.low <= 2.0
