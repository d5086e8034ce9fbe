"""Agreement coefficients against worked examples: published ones, and some done by hand."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o1lab.evaluate.stats.agreement import Stratum, cohen_kappa, krippendorff_alpha, stratified_kappa

# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section C: four observers, twelve units.
_OBSERVERS = {
    "a": [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    "b": [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    "c": [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    "d": [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
}
_PUBLISHED = {
    who: {f"u{at:02}": float(value) for at, value in enumerate(given) if value is not None}
    for who, given in _OBSERVERS.items()
}


def _of_table(table: list[list[int]]) -> tuple[list[int], list[int]]:
    pairs = [(row, column) for row, line in enumerate(table) for column, n in enumerate(line) for _ in range(n)]
    return [one for one, _ in pairs], [other for _, other in pairs]


@pytest.mark.parametrize(
    ("table", "kappa"),
    [
        # Wikipedia's "Cohen's kappa": 50 grant proposals, p_o 0.7, p_e 0.5; then the pair of tables with p_o 0.6.
        ([[20, 5], [10, 15]], 0.4),
        ([[45, 15], [25, 15]], 0.1304),
        ([[25, 35], [5, 35]], 0.2593),
        ([[5, 0], [0, 5]], 1.0),
        ([[0, 5], [5, 0]], -1.0),
    ],
)
def test_kappa_of_published_and_hand_computed_tables(table: list[list[int]], kappa: float) -> None:
    found = cohen_kappa(*_of_table(table))
    assert found.value == pytest.approx(kappa, abs=5e-5)
    assert found.ci95 is not None
    assert found.ci95[0] <= found.value <= found.ci95[1]


def test_kappa_of_three_categories_by_hand() -> None:
    # p_o = (10 + 8 + 6) / 36 = 2/3; p_e = (14·13 + 12·13 + 10·10) / 36² = 438/1296.
    found = cohen_kappa(*_of_table([[10, 2, 2], [2, 8, 2], [1, 3, 6]]))
    assert found.value == pytest.approx((2 / 3 - 438 / 1296) / (1 - 438 / 1296))
    assert (found.units, found.raters) == (36, 2)
    assert found.observed == pytest.approx(2 / 3)


def test_an_undefined_kappa_has_a_reason() -> None:
    assert cohen_kappa([], []).why_not
    one_word = cohen_kappa(["safe"] * 9, ["safe"] * 9)
    assert one_word.value is None
    assert one_word.observed == 1
    assert "one category" in one_word.why_not
    with pytest.raises(ValueError, match="zip"):
        cohen_kappa(["a"], [])


def test_the_same_ratings_give_the_same_interval() -> None:
    rng = random.Random(3)
    ones = [rng.choice("ab") for _ in range(60)]
    others = [one if rng.random() < 0.8 else "a" for one in ones]
    assert cohen_kappa(ones, others) == cohen_kappa(ones, others)


def test_an_interval_is_narrower_with_more_units() -> None:
    def width(times: int) -> float:
        low, high = cohen_kappa(*_of_table([[20 * times, 5 * times], [10 * times, 15 * times]])).ci95 or (0, 0)
        return high - low

    # Fleiss, Cohen and Everitt's standard error falls with the root of n.
    assert width(16) == pytest.approx(width(1) / 4, rel=0.15)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=40))
def test_kappa_knows_no_order_and_no_names(pairs: list[tuple[str, str]]) -> None:
    ones, others = [one for one, _ in pairs], [other for _, other in pairs]
    names = {"a": "z", "b": 7, "c": None}
    found = cohen_kappa(ones, others, resamples=60).value
    swapped = cohen_kappa([names[one] for one in others], [names[one] for one in ones], resamples=60).value
    assert (found is None) is (swapped is None)
    if found is not None and swapped is not None:
        assert found == pytest.approx(swapped)
        assert -1 <= found <= 1


@pytest.mark.parametrize(
    ("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)]
)
def test_alpha_of_krippendorffs_own_example(level: str, alpha: float) -> None:
    found = krippendorff_alpha(_PUBLISHED, level=level, resamples=200)  # type: ignore[arg-type]  # one of the levels
    assert found.value == pytest.approx(alpha, abs=5e-4)
    assert (found.units, found.raters) == (11, 4)  # the twelfth unit was rated once
    assert found.ci95 is not None
    assert found.ci95[0] < found.value <= found.ci95[1]


def test_alpha_of_marks_by_hand() -> None:
    # Two raters, three answers: (80, 80), (60, 70), (20, 10). Squared distances within units: 0, 100, 100;
    # D_o is their sum, each pair counted twice, over n = 6. D_e: all ordered pairs of the six marks, over n(n - 1).
    marks = [(80, 80), (60, 70), (20, 10)]
    flat = [mark for pair in marks for mark in pair]
    within = sum(2 * (one - other) ** 2 for one, other in marks) / len(flat)
    among = sum((one - other) ** 2 for one in flat for other in flat) / (len(flat) * (len(flat) - 1))
    ratings = {who: {str(at): float(pair[who == "b"]) for at, pair in enumerate(marks)} for who in "ab"}
    assert krippendorff_alpha(ratings, resamples=60).value == pytest.approx(1 - within / among)


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=2, max_size=12),
    st.integers(-50, 50),
    st.sampled_from([0.5, 2, 10]),
)
def test_alpha_of_intervals_knows_no_zero_and_no_unit(pairs: list[tuple[int, int]], shift: int, scale: float) -> None:
    def of(change: bool) -> float | None:
        mark = (lambda value: value * scale + shift) if change else float
        ratings = {who: {str(at): mark(pair[who == "b"]) for at, pair in enumerate(pairs)} for who in "ab"}
        return krippendorff_alpha(ratings, resamples=0).value

    plain, changed = of(False), of(True)
    assert (plain is None) is (changed is None)
    if plain is not None and changed is not None:
        assert plain == pytest.approx(changed)


def test_an_undefined_alpha_has_a_reason() -> None:
    alone = krippendorff_alpha({"ann": {"1": 80, "2": 20}, "bob": {"3": 50}, "cy": {}})
    assert (alone.value, alone.units, alone.raters) == (None, 0, 2)
    assert "two ratings" in alone.why_not
    same = krippendorff_alpha({"ann": {"1": 50, "2": 50}, "bob": {"1": 50, "2": 50}})
    assert same.value is None
    assert "the same" in same.why_not
    one = krippendorff_alpha({"ann": {"1": 80}, "bob": {"1": 20}})
    assert one.value is not None
    assert math.isfinite(one.value)
    assert one.ci95 is None
    assert one.as_json()["ci95"] is None


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("ab")), min_size=4, max_size=40))
def test_kappa_of_strata_that_were_rated_whole_is_cohens(pairs: list[tuple[str, str]]) -> None:
    by_one: dict[str, list[str]] = {}
    for one, other in pairs:
        by_one.setdefault(one, []).append(other)
    strata = [Stratum(one, len(others), others) for one, others in by_one.items()]
    found, plain = stratified_kappa(strata, resamples=60), cohen_kappa(*zip(*pairs, strict=True), resamples=0)
    assert (found.value is None) is (plain.value is None)
    if found.value is not None:
        assert found.value == pytest.approx(plain.value)
        assert found.observed == pytest.approx(plain.observed)


def test_full_agreement_of_few_ratings_has_an_interval_with_a_width() -> None:
    few, many = (stratified_kappa([Stratum("a", 100, ["a"] * n), Stratum("b", 100, ["b"] * n)]).ci95 for n in (5, 100))
    assert few is not None
    assert many is not None
    assert few[0] < many[0] < 1
    assert few[0] < 0.8


def test_an_undefined_stratified_kappa_has_a_reason() -> None:
    assert "no ratings" in stratified_kappa([Stratum("a", 3, ["a"]), Stratum("b", 2, [])]).why_not
    assert "one category" in stratified_kappa([Stratum("a", 3, ["a"])]).why_not
