"""What the store keeps of evaluations: outcomes that exclude each other, scorers side by side, marks that are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from store import Store, evaluations, open_store, ratings, sample_list
from store.errors import NotFoundError
from store.evaluations import Evaluation, ItemRow, NewSample, NewScore, State, Turn
from store.filters import SampleQuery

ITEMS = [
    ItemRow("a", "What is 1 + 1?", ("2",), "g", "plain"),
    ItemRow("b", "Was ist 2 + 2?", ("4",)),
    ItemRow("c", "?"),
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(tmp_path / "lab.db")
    one = Evaluation("e1", "evals/e1", "sums", 1, "h", "mathematics", "base", "base", "r", {}, {}, 3, 1, "math@1")
    evaluations.add(store.db, one, ITEMS)
    return store


def sample(item: str, state: State = "complete", tokens: int = 10, thought: int | None = 4) -> NewSample:
    return NewSample(item, 0, state, (Turn("?", "hm", "two"),), f"key-{item}", "", 5, tokens, thought, cost_usd=0.5)


def fill(store: Store) -> list[int]:
    with store.db.atomic():
        made = evaluations.add_samples(
            store.db, "e1", [sample("a"), sample("b", "incomplete", 100, None), sample("c", "failed", 0)]
        )
        evaluations.add_scores(store.db, [NewScore(made[0], "math@1", "correct", 1.0, "2", "equal")])
    return made


def test_the_headline_that_a_suite_asks_for_is_kept(store: Store) -> None:
    graded = replace(evaluations.get(store.db, "e1"), id="e2", metric="mean_value")
    evaluations.add(store.db, graded, ITEMS)
    assert evaluations.get(store.db, "e2") == graded
    assert evaluations.get(store.db, "e1").metric == "accuracy"


def test_outcomes_exclude_each_other_and_failed_samples_count_in_no_average(store: Store) -> None:
    fill(store)
    tally = evaluations.tally(store.db, "e1", "math@1")
    assert {name: number for name, number in tally.outcomes.items() if number} == {
        "correct": 1, "incomplete": 1, "failed": 1,
    }  # fmt: skip
    assert (tally.total, tally.answered, tally.output_tokens, tally.cost_usd) == (3, 2, 110, 1.5)
    assert (tally.thought_known, tally.thought_tokens, tally.output_where_thought_known) == (1, 4, 10)
    assert [one.outcome for one in evaluations.results(store.db, "e1", "math@1")] == ["correct", "incomplete", "failed"]


def test_another_scorer_s_word_stands_beside_and_what_it_has_not_seen_is_unscored(store: Store) -> None:
    seqs = fill(store)
    assert sample_list.to_score(store.db, "e1", "math@2") == [seqs[0]]
    assert evaluations.tally(store.db, "e1", "math@2").outcomes["unscored"] == 1
    evaluations.add_scores(store.db, [NewScore(seqs[0], "math@2", "incorrect")])
    assert evaluations.tally(store.db, "e1", "math@1").outcomes["correct"] == 1
    assert evaluations.tally(store.db, "e1", "math@2").outcomes["incorrect"] == 1
    assert evaluations.scorers(store.db, "e1") == {"math@1": 1, "math@2": 1}


def test_a_failed_sample_that_is_asked_again_is_replaced_in_its_place(store: Store) -> None:
    seqs = fill(store)
    assert sample_list.ended(store.db, "e1") == {("a", 0), ("b", 0)}
    assert evaluations.add_samples(store.db, "e1", [sample("c")]) == [seqs[2]]
    assert sample_list.ended(store.db, "e1") == {("a", 0), ("b", 0), ("c", 0)}
    assert evaluations.sample(store.db, seqs[2])[1] == sample("c")
    assert sample_list.cached(store.db, ["key-a", "key-c", "none"]) == {"key-a": seqs[0], "key-c": seqs[2]}


def test_only_what_would_come_out_the_same_is_taken_again(store: Store) -> None:
    ends = {"a": "length", "b": "abort", "c": "content_filter"}
    with store.db.atomic():
        seqs = evaluations.add_samples(
            store.db, "e1", [replace(sample(item, "incomplete"), reason=reason) for item, reason in ends.items()]
        )
    keys = ["key-a", "key-b", "key-c"]
    assert sample_list.cached(store.db, keys) == {"key-a": seqs[0]}
    evaluations.add_samples(store.db, "e1", [sample("c")])
    assert sample_list.cached(store.db, keys) == {"key-a": seqs[0], "key-c": seqs[2]}


def test_the_list_is_filtered_by_outcome_words_and_variant(store: Store) -> None:
    fill(store)

    def found(text: str) -> list[str]:
        return [row.item for row in sample_list.page(store.db, "e1", "math@1", SampleQuery.parse(text))[0]]

    assert found("") == ["a", "b", "c"]
    assert found("outcome:incomplete,failed") == ["b", "c"]
    assert found("WAS IST") == found('"WAS IST"') == ["b"]
    assert found("variant:plain") == ["a"]
    assert found("-variant:plain") == ["b", "c"]
    assert found("sort:longest") == ["b", "a", "c"]
    assert found("sort:-longest") == ["c", "a", "b"]
    assert found("sort:-suite") == ["c", "b", "a"]
    assert found("sort:longest outcome:incomplete,correct item:a,b tokens>9") == ["b", "a"]
    assert found("tokens<50 outcome:correct") == ["a"]
    assert sample_list.page(store.db, "e1", "math@1", limit=1, offset=1)[1] == 3


def test_of_an_annotator_s_marks_the_latest_counts_and_none_takes_it_back(store: Store) -> None:
    first, second, _ = fill(store)
    for value in (10, 70):
        ratings.rate(store.db, first, value, annotator="ann")
    ratings.rate(store.db, first, 50, annotator="bob")
    ratings.rate(store.db, second, 5, annotator="ann")
    ratings.rate(store.db, second, None, annotator="ann")
    assert ratings.marks(store.db, ["e1"]) == [(first, "ann", 70.0), (first, "bob", 50.0)]
    with pytest.raises(ValueError, match="101"):
        ratings.rate(store.db, first, 101, annotator="ann")
    with pytest.raises(NotFoundError):
        ratings.rate(store.db, 10**6, 1, annotator="ann")


def test_an_evaluation_is_found_by_the_beginning_of_its_id(store: Store) -> None:
    assert evaluations.get(store.db, "e").suite_label == "sums@1"
    assert [one.item for one in evaluations.items(store.db, "e1")] == ["a", "b", "c"]
    assert evaluations.item(store.db, "e1", "a").gold == ("2",)
    for wrong in ("", "x", "%"):
        with pytest.raises(NotFoundError):
            evaluations.get(store.db, wrong)
