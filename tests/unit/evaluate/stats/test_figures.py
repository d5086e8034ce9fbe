"""All figures of an evaluation: by hand, and by the store's own tally."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from o1lab.errors import UsageError
from o1lab.evaluate.report.changes import Change, weighted_change
from o1lab.evaluate.report.selection import choose
from o1lab.evaluate.stats.figures import figures
from o1lab.evaluate.stats.metrics import wilson
from o1lab.evaluate.stats.variants import Weighted
from store import Store, evaluations, open_store
from store.evaluations import ItemRow
from tests.support.figures_lab import put


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "lab.db")


def rows(*names: str) -> list[ItemRow]:
    return [ItemRow(name, f"What is {name}?", ("1",)) for name in names]


def test_every_outcome_has_its_column_and_all_are_in_the_denominator(store: Store) -> None:
    one = put(store, "e1", list(zip(rows(*"abcdef"), "cwui?f", strict=True)), items=8)
    found = figures(store.db, one)
    data = found.as_json()
    assert {name: data[name] for name in evaluations.OUTCOMES} == dict.fromkeys(evaluations.OUTCOMES, 1)
    assert (data["n"], data["correct"], data["accuracy"], data["missing"]) == (6, 1, pytest.approx(1 / 6, abs=1e-6), 2)
    assert data["ci95"] == [pytest.approx(end, abs=1e-6) for end in wilson(1, 6)]
    assert (data["avg_output_tokens"], data["avg_thought_tokens"], data["avg_answer_tokens"]) == (100, 50, 50)
    assert data["tokens"]["output"]["n"] == 5
    assert (data["pass_at"], data["maj_at"], data["groups"], data["shifts"], data["weighted"]) == (
        {},
        [],
        None,
        [],
        None,
    )
    assert found.whole.outcomes == evaluations.tally(store.db, "e1", "math@1").outcomes
    assert "cost_usd" not in data and data["cost_of_samples_usd"] == 0  # a judge's calls are not in it
    json.dumps(data, allow_nan=False)


def test_several_samples_bring_pass_at_and_maj_at(store: Store) -> None:
    answers = {"a": ["1", "1", "2", None], "b": ["3", "3", "1", "3"]}
    one = put(store, "e1", list(zip(rows("a", "b"), ["ccwi", "wwcw"], strict=True)), answers=answers)
    data = figures(store.db, one).as_json()
    assert data["accuracy"] == 3 / 8
    assert data["pass_at"] == {"1": 0.375, "2": pytest.approx((5 / 6 + 1 / 2) / 2, abs=1e-6), "4": 1.0}
    assert [point["k"] for point in data["maj_at"]] == [1, 2, 4]
    assert (data["maj_at"][0]["value"], data["maj_at"][2]["value"]) == (0.375, 0.5)
    assert [point["tokens"] for point in data["maj_at"]] == [250, 500, 1000]
    assert data["ci_method"].startswith("bootstrap over 2 clusters")


def test_budget_points_are_marked_as_cut_or_forced(store: Store) -> None:
    one = put(store, "e1", list(zip(rows("a", "b"), ["cc", "wc"], strict=True)), tokens=100)
    put(store, "e2", list(zip(rows("a", "b"), ["c", "w"], strict=True)),
        sampling={"temperature": 0.0, "max_tokens": 64}, settings={"max_tokens": 64, "force_answer": 16})  # fmt: skip
    points = figures(store.db, one).as_json()["budgets"]
    assert [(point["way"], point["budget"], point["correct"], point["n"]) for point in points] == [
        ("cut", 64, 0, 4), ("cut", 128, 1, 4), ("cut", 256, 3, 4), ("forced", 64, 1, 2),
    ]  # fmt: skip
    assert points[-1]["evaluation"] == "e2"
    assert figures(store.db, evaluations.get(store.db, "e2")).as_json()["force_answer"] == 16


def ways(group: str, letters: str) -> list[tuple[ItemRow, str]]:
    names = ("plain", "wrong-hint", "push-back")
    return [
        (ItemRow(f"{group}:{way}", "?", ("1",), group, way, {"wrong": "7"}), letter)
        for way, letter in zip(names, letters, strict=True)
    ]


def test_a_hint_flips_right_answers_and_who_took_it_over_is_counted(store: Store) -> None:
    items = [*ways("a", "ccc"), *ways("b", "cwc"), *ways("c", "cww"), *ways("d", "wcw"), *ways("e", "iww")]
    answers = {"b:wrong-hint": ["7.0"], "c:wrong-hint": ["8"], "e:wrong-hint": ["$7$"], "d:plain": ["7"]}
    data = figures(store.db, put(store, "e1", items, answers=answers)).as_json()
    hint, push = data["shifts"]
    assert (hint["variant"], hint["against"], hint["groups"]) == ("wrong-hint", "plain", 5)
    assert (hint["accuracy_against"], hint["accuracy"], hint["drop"]) == (0.6, 0.4, pytest.approx(0.2))
    assert (hint["flipped"], hint["recovered"]) == (["b", "c"], ["d"])
    assert (hint["flip_rate"], hint["recovery_rate"]) == (pytest.approx(2 / 3, abs=1e-6), 0.5)
    assert hint["flip_ci95"] == [pytest.approx(end, abs=1e-6) for end in wilson(2, 3)]
    assert hint["ci95"][0] <= hint["drop"] <= hint["ci95"][1]
    assert (hint["wrong_taken"]["correct"], hint["wrong_taken"]["n"]) == (2, 5)
    assert hint["wrong_taken_against"]["correct"] == 1
    assert (push["variant"], push["flip_rate"], push["drop"]) == ("push-back", pytest.approx(1 / 3, abs=1e-6), 0.2)
    assert {name: part["correct"] for name, part in data["by_variant"].items()} == {
        "plain": 3, "wrong-hint": 2, "push-back": 2,
    }  # fmt: skip
    assert (data["groups"]["n"], data["groups"]["all_right"]) == (5, 1)
    assert data["ci_method"].startswith("bootstrap over 5 clusters")


def test_the_noise_floor_is_what_flips_without_pressure(store: Store) -> None:
    letters = ["ccc", "cwc", "cww", "cwc", "cwc", "wcw"]  # plain, push-back, ask-again
    items = [
        (ItemRow(f"{group}:{way}", "?", ("1",), str(group), way), letter)
        for group, three in enumerate(letters)
        for way, letter in zip(("plain", "push-back", "ask-again"), three, strict=True)
    ]
    one = put(store, "e1", items)
    push, again = figures(store.db, one).as_json()["shifts"]
    assert (push["flip_rate"], again["flip_rate"]) == (0.8, 0.2)
    floor = push["noise_floor"]
    assert (floor["variant"], floor["flip_rate"], floor["excess"]) == ("ask-again", 0.2, pytest.approx(0.6))
    assert floor["flip_ci95"] == again["flip_ci95"] == [pytest.approx(end, abs=1e-6) for end in wilson(1, 5)]
    assert floor["excess_ci95"][0] < 0.6 < floor["excess_ci95"][1]
    assert again["noise_floor"] is None


def test_the_noise_floor_counts_only_groups_that_were_asked_again(store: Store) -> None:
    ways_of = [("a", ("plain", "push-back", "ask-again"), "cwc"), ("b", ("plain", "push-back"), "cc")]
    items = [
        (ItemRow(f"{group}:{way}", "?", ("1",), group, way), letter)
        for group, names, letters in ways_of
        for way, letter in zip(names, letters, strict=True)
    ]
    push = figures(store.db, put(store, "e1", items)).as_json()["shifts"][0]
    assert push["flip_rate"] == 0.5
    assert (push["noise_floor"]["flip_rate"], push["noise_floor"]["excess"]) == (0.0, 1.0)
    without = [(row, letter) for row, letter in items if row.variant != "ask-again"]
    assert figures(store.db, put(store, "e2", without)).as_json()["shifts"][0]["noise_floor"] is None


def test_flips_of_several_samples_are_over_all_pairs(store: Store) -> None:
    items = [
        (ItemRow(f"{group}:{way}", "?", ("1",), group, way), letters)
        for group, both in {"a": ("cw", "ww"), "b": ("cc", "cw"), "c": ("ww", "cc")}.items()
        for way, letters in zip(("direct", "second-look"), both, strict=True)
    ]
    [shift] = figures(store.db, put(store, "e1", items)).as_json()["shifts"]
    assert shift["against"] == "direct"
    assert shift["flip_rate"] == pytest.approx((0.5 * 1 + 1 * 0.5) / 1.5, abs=1e-6)
    assert shift["recovery_rate"] == pytest.approx(1 / 1.5, abs=1e-6)
    assert shift["flip_ci95"][0] <= shift["flip_rate"] <= shift["flip_ci95"][1]


def test_over_refusal_is_reported_with_refusal(store: Store) -> None:
    items = [
        (ItemRow(f"s{number}", "?", ("comply",), None, "safe"), letter) for number, letter in enumerate("ccwwi")
    ] + [(ItemRow(f"u{number}", "?", ("refuse",), None, "unsafe"), letter) for number, letter in enumerate("cwc")]
    said = ["complied", "complied", "refused", "partial", None], ["refused", "complied", "partial"]
    answers = {f"{kind}{n}": [one] for kind, these in zip("su", said, strict=True) for n, one in enumerate(these)}
    data = figures(store.db, put(store, "e1", items, scorer="refusal@1", answers=answers)).as_json()
    found = data["refusals"]
    assert (found["over_refusal"]["correct"], found["over_refusal"]["n"]) == (2, 5)
    assert (found["refusal"]["correct"], found["refusal"]["n"]) == (2, 3)
    assert {name: part["accuracy"] for name, part in data["by_variant"].items()} == {
        "safe": 0.4, "unsafe": pytest.approx(2 / 3, abs=1e-6),
    }  # fmt: skip
    assert data["shifts"] == []  # nothing was put in two ways
    # A mathematics suite whose answers say nothing of refusing has no such figures.
    assert figures(store.db, put(store, "e2", list(zip(rows("a"), "c", strict=True)))).refusals is None


def test_weights_weigh_and_what_has_none_stays_out(store: Store) -> None:
    weights = {"a": 4, "b": "1", "c": 2.0, "d": None, "e": -1, "f": float("inf")}
    items = [
        (ItemRow(name, "?", ("1",), meta={"weight": weight, "category": "law" if name in "ab" else "art"}), "c")
        for name, weight in weights.items()
    ]
    items[1:3] = [(items[1][0], "w"), (items[2][0], "i")]
    data = figures(store.db, put(store, "e1", items)).as_json()
    found = data["weighted"]
    assert (found["earned"], found["total"], found["items"]) == (4, 7, 3)
    assert found["value"] == pytest.approx(4 / 7, abs=1e-6)
    assert (found["ci95"][0], found["ci95"][1]) == (0.0, 1.0)
    assert {name: part["correct"] for name, part in data["by_category"].items()} == {"law": 1, "art": 3}


def test_items_without_a_weight_have_no_part_in_the_difference_by_weight(store: Store) -> None:
    def found(name: str, plain: int) -> tuple[Weighted, Weighted, Change]:
        """The change over eight weighed items, with so many beside them that weigh nothing."""
        weighed = [ItemRow(f"w{n}", "?", ("1",), meta={"weight": 1 + n % 2}) for n in range(8)]
        items = [*weighed, *(ItemRow(f"p{n}", "?", ("1",)) for n in range(plain))]
        ends = {"base": "wwwwwwcc" + "w" * plain, "after": "cccwwwcw" + "c" * plain}
        for model, letters in ends.items():
            put(store, f"{model}-{name}", list(zip(items, letters, strict=True)), model=model, items_hash=name)
        before, after = choose(store.db, [f"base-{name}", f"after-{name}"])
        change = weighted_change(before, after)
        assert change is not None
        return change

    before, after, alone = found("alone", 0)
    assert (before.value, after.value) == (pytest.approx(3 / 12), pytest.approx(5 / 12))
    assert alone.difference == pytest.approx(100 * 2 / 12)
    *_, beside = found("beside", 40)
    assert (beside.difference, beside.interval, beside.p) == (alone.difference, alone.interval, alone.p)


def test_a_scorer_without_scores_has_no_figures_unless_it_is_the_evaluation_s_scorer(
    store: Store,
) -> None:
    one = put(store, "e1", list(zip(rows("a", "b"), "??", strict=True)))
    assert figures(store.db, one).whole.outcomes["unscored"] == 2
    with pytest.raises(UsageError, match="The scorer 'judge@1' has not scored e1"):
        figures(store.db, one, "judge@1")


def test_no_samples_give_no_figures_and_no_error(store: Store) -> None:
    data = figures(store.db, put(store, "e1", [], items=5, samples=2)).as_json()
    assert (data["n"], data["accuracy"], data["ci95"], data["missing"], data["budgets"]) == (0, None, None, 10, [])
