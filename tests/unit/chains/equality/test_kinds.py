"""Answers of every kind against gold answers: what is equal, and what only looks so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import answers
from o1lab.chains.answers import extract_answer
from o1lab.chains.equality.reading import read
from o1lab.chains.parse import parse
from o1lab.chains.verify import VerifierPool, canonical, settle

FIXTURES = Path(__file__).parents[3] / "fixtures"
PAIRS = [
    tuple(line.rsplit(" | ", 2))
    for line in (FIXTURES / "answers.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
]
RESPONSES = [json.loads(line) for line in (FIXTURES / "responses.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def pool() -> Iterator[VerifierPool]:
    with VerifierPool(workers=1, limit_s=20) as made:
        yield made


@pytest.mark.parametrize(("gold", "answer", "mark"), PAIRS)
def test_an_answer_is_compared_as_what_it_is(pool: VerifierPool, gold: str, answer: str, mark: str) -> None:
    verdict = pool.verify(gold, answer)
    assert verdict.status == {"+": "correct", "-": "incorrect"}[mark], verdict.reason


@pytest.mark.parametrize("row", RESPONSES, ids=lambda row: row["response"][:40])
def test_the_answer_that_was_given_is_found(pool: VerifierPool, row: dict[str, str]) -> None:
    parsed = parse(row["response"])
    found = extract_answer(parsed.solution_of(row["response"]), parsed.thought_of(row["response"]))
    assert found is not None
    assert pool.verify(row["gold"], found.text).status == "correct", found


@pytest.mark.data
def test_the_small_cases_are_judged_as_by_a_careful_person(shared_data: Path) -> None:
    cases = shared_data.parent / "cases" / "answers.jsonl"
    if not cases.is_file():
        pytest.skip(f"there are no cases at {cases}")
    judged = list(answers.judge(cases))
    differ = [one for one in judged if not one.agrees]
    assert len(differ) <= 0.03 * len(judged), differ
    assert sum(one.wrong_called_right for one in judged) <= 1, differ
    assert {one.id for one in differ} <= answers.REASONS.keys(), "a difference without a reason"


@given(st.text(alphabet="0123456789.,:;%/+-*^_=<>≤∪∖(){}[]|\\ $abcxAB°和二万√²…±≈∈⟦⟧\n", max_size=80))
def test_any_text_is_read(text: str) -> None:
    """No text makes reading fail, and every text equals itself."""
    verdict = settle(text, text)
    assert verdict is not None
    assert verdict.status == ("correct" if text.strip() else "unverifiable")
    assert canonical(text) == canonical(text)
    settle("7", text)


@pytest.mark.parametrize(
    ("votes", "groups"),
    [
        (["1/2", "0.5", r"\frac12", r"\dfrac{1}{2}", "50\\%", "x = 0.5", "½"], 1),
        (["x+1", "1+x", "y = x + 1"], 1),
        (["2, 3", "3, 2", r"\{2, 3\}", r"x=2 \text{ or } x=3"], 1),
        (["(2, 3)", "(3, 2)"], 2),
        (["x > 2", r"(2, \infty)", "2 < x"], 1),
        (["x > 2", r"x \ge 2"], 2),
        (["B", "(B)", r"\textbf{(B)}\ 26"], 1),
        (["ABCD", "BDAC"], 2),
        ([r"2\sqrt{3}", r"\sqrt{12}", "2√3"], 1),
        ([r"\text{Yes}", "yes", "No"], 2),
        (["5", "5.0", r"5 \text{ cm}"], 1),
        (["2", r"2 \text{ million}"], 2),
        (["11_2", "11_3", "11"], 3),
    ],
)
def test_equal_answers_are_one_vote(votes: list[str], groups: int) -> None:
    assert len({canonical(vote) for vote in votes}) == groups


@pytest.mark.timeout(60)
@pytest.mark.parametrize("answer", ["log" * 600, "a" * 1900, "The area is " + "b" * 1000], ids=["log", "a", "words"])
def test_long_words_take_no_time(answer: str) -> None:
    """A response that ends in a loop of letters; trying every way to cut them into words would take years."""
    assert read(answer)
