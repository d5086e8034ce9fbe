"""Datasets selected by figures of a student, with a random subset of the same size."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from o1lab.config import init_lab
from o1lab.distill.datasets import matched, selection
from o1lab.distill.datasets.building import DatasetPlan, create
from o1lab.distill.datasets.card import card
from o1lab.errors import UsageError
from o1lab.paths import Lab
from store import Store, datasets, open_store, suitability, traces
from store.filters import TraceQuery
from tests.support.lab_seed import make_lab
from tests.support.lens_lab import add_scores

ALL = TraceQuery()


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_lab(tmp_path / "lab", 40)


@pytest.fixture
def store(lab: Lab) -> Store:
    """Traces that a student has scored, except the first five."""
    store = open_store(lab.database)
    for row in traces.page(store.db, ALL, limit=100)[5:]:
        add_scores(store.db, row.id, "7a1b/100")
    suitability.choose(store.db, "hash of 7a1b/100", "7a1b/100")
    return store


def tokens(store: Store, name: str, phase: int = 2) -> int:
    ids = datasets.trace_ids(store.db, name)
    found = suitability.of_traces(store.db, ids, "hash of 7a1b/100")
    known = [found[one].tokens for one in ids]
    return sum(sum(one[2 - phase :]) for one in known if one is not None)


def test_a_selection_has_a_random_subset_of_as_many_rows_and_tokens(lab: Lab, store: Store) -> None:
    order = traces.ids(store.db, TraceQuery.parse("rsr>=0 complete:yes sort:rsr"))
    middle = suitability.of_chosen(store.db, order)[order[len(order) // 2]].rsr
    query = TraceQuery.parse(f"sort:rsr rsr<{middle:.9f} complete:yes")
    made = create(store, "suited", DatasetPlan(query, "all")).dataset
    other = datasets.get(store.db, "suited-random")
    assert other.rows == made.rows > 3 and other.hash != made.hash and other.phase == made.phase
    assert tokens(store, "suited-random") == pytest.approx(tokens(store, "suited"), rel=matched.TOLERANCE)
    assert made.selection["own_tokens"] == tokens(store, "suited")
    assert made.selection["random_tokens"] == other.selection["random_tokens"] == tokens(store, "suited-random")
    pool = selection.choose(store, TraceQuery.parse("rsr>=0 complete:yes"), keep="all").ids
    assert set(datasets.trace_ids(store.db, "suited-random")) < set(pool), "unscored traces are not in the pool"
    assert other.query == "complete:yes" and (other.selection["random_of"], other.selection["student"]) == (
        "suited",
        "7a1b/100",
    )
    for name, words in (("suited", "suited-random has as many random rows"), ("suited-random", "A random subset of")):
        text = "".join(card(lab, store, name))
        assert words in text.replace("\\", "") and "7a1b/100" in text, name


def test_the_first_rows_of_an_order_and_those_of_phase_1(store: Store) -> None:
    query = TraceQuery.parse("sort:-nll")

    def choose(one: TraceQuery) -> selection.Choice:
        return selection.choose(store, one, phase=1, keep="all", drop=())

    made = matched.save(store, "hard", query, choose, phase=1, most=6)
    assert datasets.trace_ids(store.db, "hard") == choose(query).ids[:6] and made.selection["most"] == 6
    assert datasets.drop_counts(store.db, "hard")["not among the first 6"] == len(choose(query).ids) - 6
    assert tokens(store, "hard-random", 1) == pytest.approx(tokens(store, "hard", 1), rel=matched.TOLERANCE)


def test_a_filter_without_figures_of_a_student_makes_one_dataset(store: Store) -> None:
    create(store, "plain", DatasetPlan(TraceQuery.parse("complete:yes"), "all"))
    assert [one.name for one in datasets.all_datasets(store.db)] == ["plain"]
    assert matched.sentences(datasets.get(store.db, "plain")) == []


def test_a_selection_that_leaves_nothing_out_says_why_it_has_no_subset(store: Store) -> None:
    made = create(store, "all", DatasetPlan(TraceQuery.parse("nll>=0"), "all")).dataset
    assert matched.sentences(made) == [
        "Selected by figures of the student 7a1b/100. It has no random subset: "
        "the student's figures leave out no trace."
    ]
    assert [one.name for one in datasets.all_datasets(store.db)] == ["all"]


def solved(store: Store, hard: Sequence[int], easy: Sequence[int]) -> None:
    """Let the student never or always solve problems. All traces of problem 0 and one of problem 1 have no scores."""
    numbers = store.db.execute("SELECT problem_id FROM traces GROUP BY problem_id ORDER BY min(seq)").fetchall()
    rates = {numbers[at][0]: (correct, 4) for some, correct in ((hard, 0), (easy, 4)) for at in some}
    suitability.set_pass_rates(store.db, "hash of 7a1b/100", rates)


@pytest.mark.parametrize(
    ("hard", "easy", "words"),
    [
        ((0, 1, 2), range(3, 10), "5 selected rows have no scores of the student's tokens"),
        ((1, 2), range(3, 10), "1 selected row has no scores of the student's tokens"),
        (range(2, 10), (0,), "the rows that were left out have no scores of the student's tokens"),
    ],
)
def test_rows_whose_tokens_are_not_counted_have_no_subset(
    store: Store, hard: Sequence[int], easy: Sequence[int], words: str
) -> None:
    solved(store, hard, easy)
    chosen = matched.save(store, "hard", TraceQuery.parse("pass-rate<0.5"), lambda one: everything(store, one), phase=2)
    [sentence] = matched.sentences(chosen)
    assert words in sentence and "run `o1lab suitability --model 7a1b/100` and select again." in sentence
    assert [one.name for one in datasets.all_datasets(store.db)] == ["hard"] and "own_tokens" not in chosen.selection


def test_rows_whose_tokens_are_not_counted_are_not_drawn(store: Store) -> None:
    solved(store, range(2, 10, 2), (0, *range(1, 10, 2)))
    unscored = {*traces.ids(store.db, ALL)} - {*traces.ids(store.db, TraceQuery.parse("nll>=0"))}
    matched.save(store, "hard", TraceQuery.parse("pass-rate<0.5"), lambda one: everything(store, one), phase=2)
    drawn = datasets.trace_ids(store.db, "hard-random")
    assert len(unscored) == 5 and len(drawn) == 16 and not unscored & {*drawn}
    assert tokens(store, "hard-random") == pytest.approx(tokens(store, "hard"), rel=matched.TOLERANCE)


def everything(store: Store, query: TraceQuery) -> selection.Choice:
    return selection.choose(store, query, keep="all", drop=())


def test_without_a_student_nothing_can_be_selected_by_it(tmp_path: Path) -> None:
    empty = open_store(init_lab(tmp_path / "empty").database)
    with pytest.raises(UsageError, match="No student is chosen"):
        create(empty, "none", DatasetPlan(TraceQuery.parse("nll<1"), "all"))
    empty.close()


@pytest.mark.parametrize("number", [3, 30, 150])
def test_rows_are_swapped_until_the_tokens_match(number: int) -> None:
    chance = random.Random(number)
    sizes = {str(at): int(chance.paretovariate(1.1) * 100) for at in range(400)}
    short = sorted(sizes, key=sizes.__getitem__)[20 : 20 + number]
    drawn, about = matched.draw(short, list(sizes), sizes)
    assert len(set(drawn)) == number and drawn == sorted(drawn, key=int)
    assert sum(sizes[one] for one in drawn) == about["random_tokens"]
    assert abs(about["random_tokens"] / about["own_tokens"] - 1) <= matched.TOLERANCE


def test_rows_that_nothing_matches_have_no_subset() -> None:
    sizes = {"a": 1000, "b": 10, "c": 10}
    assert matched.draw(["b", "c"], ["a", "b", "c"], sizes)[0] == ["b", "c"]
    drawn, about = matched.draw(["a"], ["b", "c"], sizes)
    assert drawn == [] and "differ by 99.0%" in about["without_random"]
