"""Two models on the same items: McNemar and sign flips against scipy and counting, and what may not be compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o1lab.errors import UsageError
from o1lab.evaluate.stats import paired
from store import Store, evaluations, open_store
from store.evaluations import Evaluation, ItemRow, NewSample, NewScore
from tests.support.evaluation_results import marked, result

LETTERS = st.lists(
    st.tuples(st.text("cwi", min_size=3, max_size=3), st.text("cwf", min_size=2, max_size=2)), min_size=1
)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_exact_binomial(only_a: int, only_b: int) -> None:
    from scipy.stats import binomtest  # scipy takes a second to import

    expected = binomtest(only_a, only_a + only_b, 0.5).pvalue if only_a + only_b else 1.0
    assert paired.mcnemar(only_a, only_b) == pytest.approx(expected, abs=1e-12)
    assert paired.mcnemar(only_a, only_b) == paired.mcnemar(only_b, only_a)


def test_mcnemar_by_hand() -> None:
    assert paired.mcnemar(0, 5) == 2 / 32
    assert paired.mcnemar(1, 7) == 2 * (1 + 8) / 256
    assert paired.mcnemar(0, 0) == paired.mcnemar(3, 3) == 1.0
    assert paired.mcnemar(0, 5000) == 0.0


def test_sign_flips_are_scipy_s() -> None:
    from scipy.stats import permutation_test

    sums = [0.5, -0.25, 1.0, 1.0, 0.0, 0.25, -0.5, 0.75]
    theirs = permutation_test(
        (sums,), lambda one: abs(sum(one)), permutation_type="samples", alternative="greater", n_resamples=10**6
    )
    found = paired.sign_flips(sums)
    assert found.p == pytest.approx(theirs.pvalue)
    assert found.method == "all signs of 7 clusters that differ"
    assert paired.sign_flips([0.0, 0.0]).p == 1.0


def test_many_signs_are_drawn_and_agree_with_mcnemar_where_both_ask_the_same() -> None:
    drawn = paired.sign_flips([1.0] * 30 + [-1.0] * 15 + [0.0] * 50)
    assert drawn.p == pytest.approx(paired.mcnemar(15, 30), abs=0.004)
    assert drawn.method == "20,000 drawn signs of 45 clusters that differ, seed 42"
    few = paired.sign_flips([1.0] * 7 + [-1.0])
    assert few.p == pytest.approx(paired.mcnemar(1, 7))


def test_who_is_right_where_the_other_is_not() -> None:
    a = marked({"1": "c", "2": "c", "3": "w", "4": "i", "5": "f", "6": "c"})
    b = marked({"1": "c", "2": "w", "3": "c", "4": "c", "5": "u", "6": "u"})
    found = paired.compare(a, b)
    assert (found.both, found.only_a, found.only_b, found.neither) == (("1",), ("2", "6"), ("3", "4"), ("5",))
    assert (found.a.correct, found.b.correct, found.a.n) == (3, 3, 6)
    assert (found.difference, found.mcnemar_p) == (0, 1)
    assert found.by_variant == {}


def test_of_several_samples_more_than_half_is_right() -> None:
    found = paired.compare(marked({"1": "cw", "2": "ccw"}), marked({"1": "cc", "2": "cww"}))
    assert (found.only_a, found.only_b) == (("2",), ("1",))
    assert found.difference == pytest.approx((1 / 2 - 1 / 3) / 2)


@given(LETTERS)
@settings(max_examples=50)
def test_exchanging_the_two_exchanges_everything(pairs: list[tuple[str, str]]) -> None:
    a, b = (marked({str(n): pair[side] for n, pair in enumerate(pairs)}) for side in (0, 1))
    one, other = paired.compare(a, b), paired.compare(b, a)
    assert (one.only_a, one.only_b, one.both, one.neither) == (other.only_b, other.only_a, other.both, other.neither)
    assert one.difference == pytest.approx(-other.difference)
    assert one.chance == other.chance
    assert sum(map(len, (one.only_a, one.only_b, one.both, one.neither))) == one.items == len(pairs)
    if one.interval is not None:
        assert -1 <= one.interval.low <= one.interval.high <= 1


def test_pairing_narrows_the_interval_and_equal_pairs_have_none() -> None:
    a = marked({str(n): "c" if n % 2 else "w" for n in range(100)})
    b = marked({str(n): "c" if n % 2 or n < 10 else "w" for n in range(100)})
    found = paired.compare(a, b)
    assert found.interval is not None
    assert found.difference == pytest.approx(0.05)
    assert found.interval.low == pytest.approx(0.01, abs=0.01)  # 5 of 100: unpaired it would reach from -0.09
    assert found.interval.high == pytest.approx(0.10, abs=0.011)
    assert paired.compare(a, a).interval is None


def test_variants_stand_apart() -> None:
    a = [result("1:p", group="1", variant="plain"), result("1:h", "incorrect", group="1", variant="hint")]
    b = [result("1:p", group="1", variant="plain"), result("1:h", group="1", variant="hint")]
    found = paired.compare(a, b)
    assert {name: one.only_b for name, one in found.by_variant.items()} == {"plain": (), "hint": ("1:h",)}
    assert found.difference == 0.5


def test_items_of_one_only_are_refused_unless_asked_for() -> None:
    a, b = marked({"1": "c", "2": "w"}), marked({"2": "c", "3": "c"})
    with pytest.raises(UsageError, match="2 items are complete in only one of the two; 1 are complete in both"):
        paired.compare(a, b)
    assert paired.compare(a, b, common=True).only_b == ("2",)
    with pytest.raises(UsageError, match="share no item"):
        paired.compare(a, marked({"9": "c"}), common=True)


ONE = Evaluation(
    "e1", "evals/e1", "sums", 1, "h", "mathematics", "base", "base", "r", {"max_tokens": 64}, {}, 3, 1, "m@1"
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(tmp_path / "lab.db")
    fill(store, ONE, ["a", "b", "c"])
    return store


def fill(store: Store, one: Evaluation, items: list[str], question: str = "?") -> Evaluation:
    evaluations.add(store.db, one, [ItemRow(item, question) for item in items])
    with store.db.atomic():
        seqs = evaluations.add_samples(
            store.db, one.id, [NewSample(item, 0, "complete", (), "k", output_tokens=10) for item in items]
        )
        evaluations.add_scores(store.db, [NewScore(seq, one.scorer, "correct") for seq in seqs])
    return one


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"suite": "others"}, "e1 used the suite sums, e2 used others"),
        ({"suite_version": 2}, "sums@1, e2 used sums@2"),
        ({"items_hash": "x"}, r"The items differ: e1 has 3 \(hash h\), e2 has 3 \(hash x\)"),
        ({"scorer": "m@2"}, "e1 was scored by m@1, e2 by m@2"),
    ],
)
def test_what_is_not_the_same_is_not_compared(store: Store, changes: dict[str, object], said: str) -> None:
    two = fill(store, replace(ONE, id="e2", **changes), ["a", "b", "c"])  # type: ignore[arg-type]  # each case has its own
    with pytest.raises(UsageError, match=said):
        paired.compare_evaluations(store.db, ONE, two)


def test_a_scorer_without_scores_is_named_with_those_that_have_some(store: Store) -> None:
    two = fill(store, replace(ONE, id="e2"), ["a", "b", "c"])
    with pytest.raises(UsageError, match=r"The scorer 'z' has not scored e1. Available: m@1"):
        paired.compare_evaluations(store.db, ONE, two, scorer="z")


def test_an_item_that_lacks_samples_is_missing(store: Store) -> None:
    """One of four samples of each item is not the model's share of right ones."""
    two = fill(store, replace(ONE, id="e2", samples=2), ["a", "b", "c"])
    with pytest.raises(UsageError, match="No item of e2 has all its samples"):
        paired.compare_evaluations(store.db, ONE, two, common=True)
    with store.db.atomic():
        evaluations.add_samples(store.db, "e2", [NewSample("b", 1, "incomplete", (), "k")])
    with pytest.raises(UsageError, match="2 items are complete in only one of the two; 1 are complete in both"):
        paired.compare_evaluations(store.db, ONE, two)
    found = paired.compare_evaluations(store.db, ONE, two, common=True)
    assert (found.paired.items, found.paired.difference, found.left_out) == (1, -0.5, 2)


def test_what_both_have_is_compared_when_asked_and_counted(store: Store) -> None:
    two = fill(store, replace(ONE, id="e2", items_hash="x", items=2, sampling={"max_tokens": 128}), ["b", "d"])
    with pytest.raises(UsageError, match="The items differ"):
        paired.compare_evaluations(store.db, ONE, two)
    found = paired.compare_evaluations(store.db, ONE, two, common=True)
    assert (found.paired.items, found.left_out, found.other) == (1, 3, ("max_tokens 64 / 128",))
    three = fill(store, replace(ONE, id="e3", items_hash="y"), ["a", "b", "c"], question="something else")
    with pytest.raises(UsageError, match="3 items have the same id in both evaluations but differ, such as 'a'"):
        paired.compare_evaluations(store.db, ONE, three, common=True)
