"""Accuracy over all samples, Wilson, pass@k, the bootstrap: against closed forms, scipy and counting."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o1lab.evaluate.stats import metrics
from tests.support.evaluation_results import marked, result

LETTERS = st.text("cwiuf", min_size=1, max_size=6)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipy_s(case: tuple[int, int]) -> None:
    from scipy.stats import binomtest  # scipy takes a second to import

    theirs = binomtest(*case).proportion_ci(method="wilson")
    assert metrics.wilson(*case) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_as_it_is_published() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3.
    assert metrics.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert metrics.wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert metrics.wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert metrics.wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_wilson_of_nothing_and_of_nonsense() -> None:
    assert metrics.wilson(0, 0) == (0.0, 1.0)
    for correct, n in ((2, 1), (-1, 3)):
        with pytest.raises(ValueError, match="of"):
            metrics.wilson(correct, n)


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_counts_the_subsets_with_a_correct_sample(case: tuple[int, int, int]) -> None:
    n, c, k = case
    subsets = list(combinations([index < c for index in range(n)], k))
    assert metrics.pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets), abs=1e-12)


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_pass_at_k_rises_with_k_from_the_accuracy(case: tuple[int, int]) -> None:
    n, c = case
    curve = [metrics.pass_at_k(n, c, k) for k in range(1, n + 1)]
    assert curve[0] == pytest.approx(c / n)
    assert curve == sorted(curve)
    assert curve[-1] == (1.0 if c else 0.0)


def test_pass_at_k_is_exact_where_factorials_overflow_and_refuses_nonsense() -> None:
    assert metrics.pass_at_k(10_000, 1, 5_000) == pytest.approx(0.5, abs=1e-15)
    for case in ((3, 4, 1), (3, 1, 0), (3, 1, 4)):
        with pytest.raises(ValueError, match="pass@"):
            metrics.pass_at_k(*case)


def test_mean_pass_at_is_over_items_and_ends_where_samples_do() -> None:
    # a: 1 of 4 right, b: 2 of 4: pass@2 is (1 - 3/6 + 1 - 1/6) / 2.
    found = metrics.mean_pass_at(marked({"a": "cwif", "b": "ccww"}))
    assert found == pytest.approx({1: 3 / 8, 2: (1 / 2 + 5 / 6) / 2, 4: 1.0})
    assert list(metrics.mean_pass_at(marked({"a": "cccc", "b": "cw"}))) == [1, 2]
    assert metrics.mean_pass_at([]) == {}
    assert metrics.ladder(6) == [1, 2, 4, 6]
    assert metrics.ladder(0) == []


@given(st.dictionaries(st.sampled_from("abcdef"), LETTERS, min_size=1))
def test_every_sample_is_in_the_denominator_and_their_order_does_not_matter(marks: dict[str, str]) -> None:
    results = marked(marks)
    rate = metrics.accuracy(results)
    assert rate.n == sum(map(len, marks.values()))
    assert rate.correct == sum(letters.count("c") for letters in marks.values())
    assert rate.value == rate.correct / rate.n
    if rate.interval is not None:
        assert 0 <= rate.interval.low <= rate.interval.high <= 1
    backwards = metrics.accuracy(results[::-1])
    assert (backwards.correct, backwards.n) == (rate.correct, rate.n)


def test_the_interval_is_wilson_s_only_where_samples_share_nothing() -> None:
    alone = metrics.accuracy(marked({"a": "c", "b": "w", "c": "w"}))
    assert alone.interval is not None
    assert (alone.interval.method, alone.interval.low) == ("Wilson", metrics.wilson(1, 3)[0])
    several = metrics.accuracy(marked({"a": "cc", "b": "ww", "c": "cw"}))
    assert several.interval is not None
    assert several.interval.method == "bootstrap over 3 clusters, 2,000 resamples, seed 42"
    grouped = metrics.accuracy(
        [result(str(n), "correct" if n < 4 else "incorrect", group=str(n // 2)) for n in range(8)]
    )
    assert grouped.interval is not None
    assert "over 4 clusters" in grouped.interval.method


def test_thirty_items_all_wrong_are_not_certainly_zero() -> None:
    rate = metrics.accuracy(marked({str(n): "wwww" for n in range(30)}))
    assert rate.interval is not None
    assert (rate.interval.low, rate.interval.high) == metrics.wilson(0, 30)
    assert "all alike" in rate.interval.method
    half = metrics.accuracy(marked({str(n): "cw" for n in range(30)}))  # no more certain that it is a half
    assert half.interval is not None
    assert (half.interval.low, half.interval.high) == metrics.wilson(15, 30)
    assert half.interval.method == "Wilson over 30 clusters, all alike"
    odd = metrics.accuracy(marked({str(n): "cww" for n in range(7)}))
    assert odd.interval is not None and odd.interval.low < 1 / 3 < odd.interval.high
    assert metrics.accuracy(marked({"a": "cw"})).interval is None  # one item: nothing is known of another
    none = metrics.accuracy([])
    assert (none.value, none.interval, none.as_json()["ci95"]) == (None, None, None)


def test_equal_grades_have_no_interval() -> None:
    found = metrics.mean_value([result(str(n), "unscored", value=0.8) for n in range(10)])
    assert found is not None
    assert (found.value, found.interval) == (pytest.approx(0.8), None)
    weighed = metrics.clustered_bootstrap([0.1] * 3, ["a", "b", "c"], weights=[0.1, 0.2, 0.7])
    assert weighed is None  # though the last digits of its means differ


def test_the_bootstrap_is_scipy_s_where_every_sample_is_a_cluster() -> None:
    from scipy.stats import bootstrap

    values = np.random.default_rng(1).normal(3, 2, 80)  # all different: indices are drawn
    marks = np.repeat([0.0, 1.0], [70, 130])  # two kinds: numbers of them are drawn
    for data in (values, marks):
        ours = metrics.clustered_bootstrap(data, range(len(data)), resamples=20_000)
        theirs = bootstrap((data,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2))
        assert ours is not None
        wide = float(np.std(data) / math.sqrt(len(data)))
        assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=wide / 15)
        assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=wide / 15)


def test_samples_of_one_item_are_not_worth_as_many_items() -> None:
    marks = np.repeat([0.0, 1.0], 20)
    apart = metrics.clustered_bootstrap(np.repeat(marks, 8), range(320))
    together = metrics.clustered_bootstrap(np.repeat(marks, 8), np.repeat(np.arange(40), 8).tolist())
    assert apart is not None
    assert together is not None
    # Eight equal samples an item: as wide as one sample an item, by the square root of eight wider than if free.
    assert (together.high - together.low) / (apart.high - apart.low) == pytest.approx(math.sqrt(8), rel=0.1)


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    rng, covered, rounds = np.random.default_rng(7), 0, 300
    for _ in range(rounds):
        skill = rng.beta(2, 2, 60)  # items differ: mean 1/2
        marks = (rng.random((60, 4)) < skill[:, None]).astype(float)
        found = metrics.clustered_bootstrap(marks.ravel(), np.repeat(np.arange(60), 4).tolist(), resamples=500)
        assert found is not None
        covered += found.low <= 0.5 <= found.high
    assert 0.90 <= covered / rounds <= 0.98


def test_clusters_of_different_sizes_are_weighed_by_their_samples() -> None:
    values, clusters = [1.0, 1.0, 1.0, 0.0], ["a", "a", "a", "b"]
    found = metrics.clustered_bootstrap(values, clusters)
    assert found is not None
    assert (found.low, found.high) == (0.0, 1.0)  # aa, ab, ba, bb: the ends have a quarter each
    assert metrics.clustered_bootstrap(values, ["a"] * 4) is None
    assert metrics.clustered_bootstrap(values, clusters) == found
    with pytest.raises(ValueError, match="4 values"):
        metrics.clustered_bootstrap(values, ["a"])


def test_a_mean_of_values_says_how_many_had_none() -> None:
    graded = [
        result("a", value=0.5),
        result("b", "incorrect", value=0.0),
        result("c", "unscored"),
        result("d", "failed"),
    ]
    found = metrics.mean_value(graded)
    assert found is not None
    assert (found.value, found.n, found.total, found.rest_as_zero) == (0.25, 2, 4, 0.125)
    assert metrics.mean_value(graded[2:]) is None


def test_tokens_leave_failed_samples_out_and_thoughts_that_are_not_known() -> None:
    found = metrics.tokens(
        [
            result("a", tokens=100, thought=60),
            result("b", "incorrect", tokens=300, thought=290),
            result("c", "incomplete", tokens=500),
            result("d", "failed", tokens=0),
        ]
    )
    assert found.output is not None
    assert (found.output.n, found.output.mean, found.output.median, found.output.most) == (3, 300, 300, 500)
    assert (found.output.p25, found.output.p95) == (200, pytest.approx(480))
    assert found.thought is not None
    assert found.answer is not None
    assert (found.thought.n, found.thought.mean, found.answer.mean) == (2, 175, 25)
    assert found.correct is not None
    assert found.other is not None
    assert (found.correct.mean, found.other.mean, found.other.n) == (100, 400, 2)
    assert metrics.tokens([]).as_json() == dict.fromkeys(("output", "thought", "answer", "correct", "other"))
