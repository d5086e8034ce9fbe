"""maj@k against counting every subset, ties stated."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o1lab.chains.verify import canonical, settle
from o1lab.evaluate.items import Item
from o1lab.evaluate.scorers.base import Attempt, PlainScorer
from o1lab.evaluate.scorers.choice import ChoiceOptions, ChoiceScorer
from o1lab.evaluate.scorers.claims import ClaimsOptions, ClaimsScorer
from o1lab.evaluate.scorers.match import ExactOptions, ExactScorer, MatchOptions, MatchScorer
from o1lab.evaluate.scorers.refusal import RefusalOptions, RefusalScorer
from o1lab.evaluate.stats import majority as maj
from o1lab.evaluate.stats.metrics import accuracy
from store.evaluations import Result, Turn
from tests.support.evaluation_results import marked, result, voted

ANSWERS = st.lists(st.sampled_from(["1", "2", "3", "x", None]), min_size=1, max_size=8)

MATH = "math@1"


def counted(answers: list[str | None], gold: str, k: int) -> tuple[float, float, float, float]:
    """(fair, strict, ties, without vote) over every subset of k."""
    fair = strict = ties = silent = total = 0.0
    for subset in combinations(answers, k):
        total += 1
        tally = Counter(answer for answer in subset if answer is not None)
        if not tally:
            silent += 1
            continue
        top = max(tally.values())
        winners = [answer for answer, number in tally.items() if number == top]
        fair += (gold in winners) / len(winners)
        strict += winners == [gold]
        ties += len(winners) > 1
    return fair / total, strict / total, ties / total, silent / total


@given(ANSWERS)
def test_all_subsets_are_counted(answers: list[str | None]) -> None:
    cast = maj.votes(voted({"a": answers}, "2"))
    for k, found in maj.majority(cast, range(1, len(answers) + 1)).items():
        expected = counted(answers, "2", k)
        assert (found.fair, found.strict, found.ties, found.silent) == pytest.approx(expected, abs=1e-9)
        assert 0 <= found.strict <= found.fair <= found.strict + found.ties + 1e-9


@given(ANSWERS, st.randoms(use_true_random=False))
def test_the_order_of_samples_means_nothing(answers: list[str | None], rng: object) -> None:
    shuffled = list(answers)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    first, second = (maj.maj_at(voted({"a": one}, "1"), MATH) for one in (answers, shuffled))
    assert first == second


@given(
    st.integers(1, 5).flatmap(
        lambda n: st.lists(st.lists(st.sampled_from(["1", "2", None]), min_size=n, max_size=n), min_size=1, max_size=5)
    )
)
def test_of_one_it_is_the_accuracy(items: list[list[str | None]]) -> None:
    results = voted({str(number): answers for number, answers in enumerate(items)}, "1")
    curve = maj.maj_at(results, MATH)
    assert bool(curve) == any(answer for answers in items for answer in answers)
    if curve:
        assert curve[0].k == 1
        assert curve[0].value == pytest.approx(accuracy(results).value)
        assert curve[0].ties == 0


def test_by_hand() -> None:
    # Of 2, 2, 3, nothing: pairs 22, 23, 23, 2-, 2-, 3-; the tied ones count half.
    [pair] = [point for point in maj.maj_at(voted({"a": ["2", "2", "3", None]}, "2"), MATH) if point.k == 2]
    assert (pair.value, pair.strict, pair.ties, pair.silent) == pytest.approx((4 / 6, 3 / 6, 2 / 6, 0))
    # All four: 2 wins with two votes.
    last = maj.maj_at(voted({"a": ["2", "2", "3", None]}, "2"), MATH)[-1]
    assert (last.k, last.value, last.strict, last.ties) == (4, 1, 1, 0)


def test_no_answer_is_a_vote_for_nothing_and_never_wins() -> None:
    [_, _, four] = maj.maj_at(voted({"a": [None, None, None, "7"]}, "7"), MATH)
    assert (four.value, four.silent) == (1, 0)
    cut_off = [result("a", "incomplete", sample=number, answer="9") for number in range(3)]
    point = maj.maj_at([*cut_off, result("a", sample=3, answer="7")], MATH)[-1]
    assert point.value == 1  # a box in what was cut off is no answer
    failed = maj.maj_at([result("a", "failed"), result("a", "incorrect", sample=1, answer="1")], MATH)[0]
    assert (failed.value, failed.silent) == (0, 0.5)


def test_equal_answers_are_one_however_they_are_written() -> None:
    written = [
        (r"\frac{1}{2}", "correct"),
        ("0.5", "correct"),
        ("$3$", "incorrect"),
        ("3.0", "incorrect"),
        ("3", "incorrect"),
    ]
    cast = maj.votes(result("a", outcome, sample=n, answer=text) for n, (text, outcome) in enumerate(written))
    assert cast == maj.Votes(((2, 1.0), (3, 0.0)), 0)


def test_where_nothing_names_an_answer_there_is_no_vote() -> None:
    assert maj.maj_at(marked({"a": "ccw", "b": "wwc"}), MATH) == ()
    assert maj.maj_at([], MATH) == ()


@given(st.lists(st.sampled_from(["2", "3", "4", "right", None]), min_size=1, max_size=8))
def test_one_that_is_right_without_an_answer_votes_for_the_right_one(said: list[str | None]) -> None:
    results = [
        result("a", sample=number) if answer == "right" else replace(voted({"a": [answer]}, "2")[0], sample=number)
        for number, answer in enumerate(said)
    ]
    meant = ["2" if answer == "right" else answer for answer in said]
    for k, found in maj.majority(maj.votes(results), range(1, len(said) + 1)).items():
        expected = counted(meant, "2", k)
        assert (found.fair, found.strict, found.ties, found.silent) == pytest.approx(expected, abs=1e-9)


def scored(scorer: PlainScorer, answers: list[str], gold: str) -> list[Result]:
    """What a real scorer makes of these answers to one item."""
    item = Item("a", "?", ("?",), (gold,), meta={"choices": {"A": "Lyon", "B": "Paris"}})
    found = scorer.score_batch([Attempt(item, number, (Turn("?", "", said),)) for number, said in enumerate(answers)])
    return [result("a", one.outcome, sample=n, answer=one.answer, value=one.value) for n, one in enumerate(found)]


@pytest.mark.parametrize(
    "scorer",
    [
        ClaimsScorer(ClaimsOptions()),
        MatchScorer(MatchOptions(mode="contains")),
        MatchScorer(MatchOptions(mode="contains", part="final")),
        MatchScorer(MatchOptions(part="first_line")),
        ExactScorer(ExactOptions()),
        RefusalScorer(RefusalOptions()),
    ],
    ids=lambda scorer: scorer.label,
)
def test_a_whole_answer_is_not_a_vote(scorer: PlainScorer) -> None:
    said = [
        "Paris.", "The answer is Paris, of course.", "I searched the web and found that it is Lyon.", "Lyon",
        "I looked it up on Google.",
    ]  # fmt: skip
    assert maj.maj_at(scored(scorer, said, "Paris"), scorer.label) == ()


@pytest.mark.parametrize(
    ("scorer", "right", "wrong", "gold"),
    [
        (MatchScorer(MatchOptions(part="final")), r"I think \boxed{Paris}", r"So: \boxed{Lyon}", "Paris"),
        (ExactScorer(ExactOptions(part="final")), r"I think \boxed{Paris}", r"So: \boxed{Lyon}", "Paris"),
        (ChoiceScorer(ChoiceOptions()), "The answer is B.", "It is (A).", "B"),
    ],
    ids=lambda value: getattr(value, "label", None),
)
def test_a_final_answer_is_a_vote(scorer: PlainScorer, right: str, wrong: str, gold: str) -> None:
    results = scored(scorer, [right, wrong, wrong, right, wrong], gold)
    assert [one.outcome for one in results] == ["correct", "incorrect", "incorrect", "correct", "incorrect"]
    curve = maj.maj_at(results, scorer.label)
    assert (curve[0].value, curve[-1].value) == (pytest.approx(0.4), 0)


def test_a_judge_and_a_person_name_no_answer() -> None:
    results = voted({"a": ["2", "3"]}, "2")
    assert [len(maj.maj_at(results, label)) for label in ("math@2", "math@1(loose=true)")] == [2, 2]
    assert not any(maj.maj_at(results, label) for label in ("judge@1(judge-facts@1 abc123, m)", "human@1", "other@1"))


def test_tokens_are_k_times_the_average_and_a_curve_ends_where_samples_do() -> None:
    results = [
        result("a", answer="1", tokens=100),
        result("a", "incorrect", sample=1, answer="2", tokens=200),
        result("b", sample=0, answer="1", tokens=300),
        result("b", "failed", sample=1, tokens=0),
        result("b", sample=2, answer="1", tokens=200),
    ]
    curve = maj.maj_at(results, MATH)
    assert [(point.k, point.tokens, point.items) for point in curve] == [(1, 200, 2), (2, 400, 2)]
    with pytest.raises(ValueError, match="maj@"):
        maj.majority(maj.Votes(((1, 1.0),), 0), [2])


def test_items_that_all_tie_alike_have_no_interval_and_sure_ones_wilson_s() -> None:
    first, last = maj.maj_at(voted({str(n): ["1", "2"] for n in range(30)}, "1"), MATH)
    assert (first.value, first.interval, last.value, last.interval) == (0.5, None, 0.5, None)
    [*_, sure] = maj.maj_at(voted({str(n): ["1", "1", "2"] for n in range(30)}, "1"), MATH)
    assert sure.interval is not None
    assert (sure.value, sure.interval.method) == (1, "Wilson")


def test_many_samples_are_estimated_by_draws_and_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[str | None] = ["1"] * 9 + ["2"] * 8 + ["3"] * 3 + [None] * 4
    results = voted({"a": answers}, "1")
    exact = maj.maj_at(results, MATH)
    monkeypatch.setattr(maj, "MOST_SAMPLES", 10)
    drawn = maj.maj_at(results, MATH)
    assert all(point.exact for point in exact)
    assert drawn[0].as_json()["how"] == "10,000 drawn subsets, seed 42"
    for one, other in zip(exact, drawn, strict=True):
        for name in ("value", "strict", "ties", "silent"):
            assert getattr(other, name) == pytest.approx(getattr(one, name), abs=0.02), name


def test_at_the_limit_of_samples_the_doubles_still_hold() -> None:
    cast = maj.Votes(((100, 0.0), (101, 1.0)), 55)
    found = maj.majority(cast, [1, 2, 256])
    assert found[256] == maj.Majority(1, 1, 0, 0)
    assert found[1].fair == pytest.approx(101 / 256)
    assert found[2].ties == pytest.approx(100 * 101 / (256 * 255 / 2))


@given(
    st.sampled_from(
        ["5", "5.0", "$5$", "x+1", "x + 1", r"\frac{1}{2}", "1/2", r"\dfrac12", "B", "(B)", "1,000", "1000"]
    ),
    st.sampled_from(["5", "x+1", "0.5", "1/2", "B", "1000", "5.00"]),
)
def test_one_key_means_what_settle_says(left: str, right: str) -> None:
    verdict = settle(left, right)
    assert (canonical(left) == canonical(right)) == (verdict is not None and verdict.status == "correct")


def test_a_giant_answer_is_only_itself() -> None:
    assert canonical("{" * 2_000_000) == "{" * 2_000_000


def test_answers_that_were_called_right_are_one_vote() -> None:
    """50% and 0.5 are two keys; a gold answer that both equal makes them one vote."""
    results = [result("a", sample=number, answer=answer) for number, answer in enumerate(("50", "0.5", "1/2"))]
    results += [result("a", "incorrect", sample=number, answer="7") for number in (3, 4)]
    assert maj.votes(results).groups == ((2, 0.0), (3, 1.0))
