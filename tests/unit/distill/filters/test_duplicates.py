"""Duplicates and contamination: what is the same problem, and what only looks like it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o1lab.demo.seed import draw
from o1lab.distill.filters import Finding
from o1lab.distill.filters.benchmarks import Benchmarks
from o1lab.distill.filters.duplicates import Signatures, duplicates_of
from o1lab.distill.filters.words import read_words
from store.records import NewProblem, Problem

TRAIN = (
    "A train leaves the station at noon and travels north at 60 miles per hour while a second train leaves the same "
    "station two hours later and follows it at 90 miles per hour. How far from the station does it catch up?"
)
CHINESE = "甲乙两地相距360千米，一辆汽车从甲地开往乙地，每小时行60千米，几小时可以到达？"


def problem(statement: str, answer: str | None = None, source: str = "pool", key: str = "1") -> Problem:
    return Problem(NewProblem(statement, "").id, statement, answer, None, None, source, None, key)


class ListedPool:
    """A pool of these problems, without benchmarks."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self._by_id = {one.id: one for one in problems}
        self._problems = problems

    def problems(self) -> Iterable[Problem]:
        return self._problems

    def benchmarks(self) -> Iterable[tuple[Problem, str]]:
        return []

    def fetch(self, ids: Sequence[str]) -> Iterable[Problem]:
        return [self._by_id[identity] for identity in ids]


def duplicates(pool: Sequence[Problem]) -> dict[str, Finding]:
    """Finding by statement."""
    look = duplicates_of(ListedPool(pool))
    return {one.statement: finding for one in pool if (finding := look(one)) is not None}


def contaminated(statement: str, *tested: str) -> Finding | None:
    index = Benchmarks.of([(problem(one, source="aime24", key=str(at)), "aime24") for at, one in enumerate(tested)])
    return index.check(problem(statement))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is $\\frac12$ of 10?", "what is  $\\dfrac{1}{2}$ of  10 ?"),
        ("Find $\\left(x+1\\right)^2$.", "find \\((x+1)^{2}\\)"),
        ("There are 1,000 cats.", "There are $1{,}000$ cats"),
        ("求 $x$ 的值。", "求$x$的值"),
        ("What is the area? [asy] draw((0,0)); [/asy]", "What is the area?"),
        ("5 × 3", "5 \\times 3"),
    ],
)
def test_dress_does_not_count(one: str, other: str) -> None:
    assert read_words(one).compact == read_words(other).compact
    assert read_words(one).numbers == read_words(other).numbers


@pytest.mark.parametrize(
    ("one", "other"), [("5 + 3", "5 - 3"), ("$x_1$", "$x_2$"), ("1.5 cats", "15 cats"), ("甲", "乙")]
)
def test_numbers_and_operators_count(one: str, other: str) -> None:
    assert read_words(one).compact != read_words(other).compact


@given(st.text())
def test_any_text_has_words(text: str) -> None:
    said = read_words(text)
    assert read_words(f"\n {text} \n") == said
    assert all(said.words)


def test_money_is_no_formula() -> None:
    said = read_words("She pays $12 an hour and $5 for each of 3 books.")
    assert said.words == ("she", "pays", "12", "an", "hour", "and", "5", "for", "each", "of", "3", "books")
    assert said.numbers == ("12", "3", "5")


def test_the_demos_additions_are_all_different() -> None:
    training, held_out = draw()
    pool = [problem(one.statement, one.answer) for one in [*training, *held_out]]
    assert len(pool) == 460
    assert duplicates(pool) == {}
    look = Benchmarks.of([(problem(one.statement, one.answer), "demo-heldout") for one in held_out]).check
    assert [one for one in training if look(problem(one.statement))] == []
    assert all(look(problem(one.statement)) for one in held_out)


def test_families_that_differ_in_numbers_are_different_problems() -> None:
    dice = random.Random(5)
    family = [TRAIN.replace("60", str(60 + 3 * at)).replace("90", str(400 + dice.randint(0, 99))) for at in range(40)]
    assert duplicates([problem(one) for one in family]) == {}
    assert contaminated(family[3], *family[:3], *family[4:]) is None
    assert contaminated(family[3], *family) is not None


def test_a_near_duplicate_names_the_earliest_with_an_answer() -> None:
    near = TRAIN.replace("travels north", "goes north")
    again = TRAIN.replace("How far", "how far  ").upper()
    pool = [problem(TRAIN, None, key="7"), problem(near, "360", key="8"), problem(again, "360", key="9")]
    found = duplicates(pool)
    assert set(found) == {TRAIN, again}
    assert {finding.twin for finding in found.values()} == {pool[1].id}
    assert "% of its word triples with pool 8" in found[TRAIN].reason
    first = duplicates([problem(TRAIN), problem(again)])
    assert first == {again: Finding("is, white space and marks aside, pool 1", problem(TRAIN).id)}


def test_another_answer_is_another_problem() -> None:
    other = TRAIN.replace("How far", "How near")
    assert duplicates([problem(TRAIN, "360"), problem(other, "4")]) == {}
    assert set(duplicates([problem(TRAIN, "360"), problem(other, "$360$")])) == {other}


def test_short_problems_are_duplicates_only_to_the_word() -> None:
    assert duplicates([problem("Solve $x+1=2$ for real x."), problem("Solve $x+1=2$ for natural x.")]) == {}
    assert set(duplicates([problem("Solve $x+1=2$."), problem("solve  $x + 1 = 2$")])) == {"solve  $x + 1 = 2$"}


def test_chinese_duplicates_and_contamination() -> None:
    near = CHINESE.replace("一辆汽车", "一辆轿车")
    assert set(duplicates([problem(CHINESE), problem(near)])) == {near}
    assert contaminated(near, CHINESE) is not None
    assert contaminated(CHINESE.replace("360", "480").replace("60", "80"), CHINESE) is None


def test_many_copies_of_one_problem_are_one_cluster() -> None:
    copies = [problem(TRAIN + " " * at + "?" * at, "1") for at in range(1, 400)]
    found = duplicates(copies)
    assert len(found) == len(copies) - 1
    assert {finding.twin for finding in found.values()} == {copies[0].id}


def test_signatures_state_their_memory() -> None:
    index = Signatures()
    for at in range(50):
        index.add(problem(f"{TRAIN} {at}"))
    assert len(index) == 50
    assert index.bytes == 50 * (25 * 4 + 8 + 8 + 2)


def test_a_shared_run_of_eight_words_contaminates() -> None:
    embedded = f"Solve the next one with care. {TRAIN} Explain yourself."
    finding = contaminated(embedded, "What is 1 + 1?", TRAIN)
    assert finding is not None
    assert finding.twin == problem(TRAIN).id
    assert "of 8 words with aime24 1: " in finding.reason
    seven = " ".join(TRAIN.split()[10:17]) + " and then something else altogether happens to all of them"
    assert contaminated(seven, TRAIN) is None


def test_phrasing_of_many_benchmarks_is_no_contamination() -> None:
    phrase = "Let m and n be relatively prime positive integers such that"
    tested = [f"{phrase} {word} holds. Find them." for word in ("alpha", "beta", "gamma")]
    assert contaminated(f"{phrase} delta fails. Count.", *tested) is None
    assert contaminated(f"{phrase} delta fails. Count.", *tested[:2]) is not None


def test_ninety_five_percent_of_the_characters_contaminate() -> None:
    tested = "Compute internationally acknowledged characteristically straightforward multiplications within rules"
    mistyped = tested.replace("Compute", "Computa").replace("rules", "rulez")
    found = contaminated(mistyped, f"{tested} now")
    assert found is not None
    assert "% the same text" in found.reason.replace(" %", "%")
    assert found.twin == problem(f"{tested} now").id
    assert contaminated(mistyped.replace("acknowledged", "wholly unknown"), f"{tested} now") is None


def test_under_eight_words_only_the_same_text_contaminates() -> None:
    assert contaminated("what is 123+456", "What is 123 + 456?") is not None
    assert contaminated("What is 123 + 457?", "What is 123 + 456?") is None
    assert contaminated("Find x if y holds.", "Find x if z holds.") is None


def test_a_benchmarks_own_problem_is_contaminated() -> None:
    finding = contaminated(TRAIN, TRAIN)
    assert finding == Finding("is itself of the benchmark aime24")


def test_no_benchmarks_no_contamination() -> None:
    assert contaminated(TRAIN) is None
    assert contaminated("", "") is not None  # the same problem, though there is nothing in it
    assert contaminated("  ?", "!!") is None


@pytest.mark.timeout(120)
@pytest.mark.parametrize("part", ["a ", "$", "$$", "\\[", "\\frac", "[asy]", "图", "1,", "'", "-", " ", "\\begin{"])
def test_long_statements_take_no_time(part: str) -> None:
    text = part * (250_000 // len(part))  # in quadratic time, 10^10 steps
    assert duplicates([problem(text), problem(text + "x")]).keys() <= {text, text + "x"}
    contaminated(text, TRAIN, text + "y")
