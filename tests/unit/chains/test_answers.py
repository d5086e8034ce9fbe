"""The final answer is found where it is, and hostile text takes linear time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o1lab.chains.answers import _STATED, Answer, How, _heads, extract_answer
from tests.support.linear import assert_linear


@pytest.mark.parametrize(
    ("solution", "text", "how"),
    [
        (r"so \boxed{27}.", "27", How.BOXED),
        (r"first \boxed{1}, then \boxed{\frac{1}{2}}", r"\frac{1}{2}", How.BOXED),
        (r"\boxed{a \text{ if } x \in \{1, 2\}}", r"a \text{ if } x \in \{1, 2\}", How.BOXED),
        (r"\boxed{\boxed{3}}", "3", How.BOXED),
        (r"\fbox{7}", "7", How.BOXED),
        (r"\boxed 5", "5", How.BOXED),
        (r"\boxed{12} and \boxed{}", "12", How.BOXED),
        (r"\boxed{12} and then cut off \boxed{13", "12", How.BOXED),
        ("The final answer is $\\frac{3}{4}$. I hope it is correct.", "\\frac{3}{4}", How.STATED),
        ("Answer: 3.5", "3.5", How.STATED),
        ("**Final Answer:** 42", "42", How.STATED),
        ("**Answer**: 42", "42", How.STATED),
        ("答案是 27。", "27", How.STATED),
        ("最终答案：-3", "-3", How.STATED),
        ("we get 3 and then 1,458 in all", "1,458", How.LAST_NUMBER),
        ("a rise of 12.5%", "12.5%", How.LAST_NUMBER),
    ],
)
def test_found(solution: str, text: str, how: How) -> None:
    assert extract_answer(solution) == Answer(text, how)


def test_none() -> None:
    assert extract_answer("no idea") is None
    assert extract_answer("") is None


def test_thought_counts_only_when_the_solution_says_nothing() -> None:
    assert extract_answer(r"\boxed{1}", r"\boxed{2}") == Answer("1", How.BOXED)
    assert extract_answer("", r"\boxed{2}") == Answer("2", How.BOXED)
    assert extract_answer("", "it may be 2") is None


@pytest.mark.parametrize(
    "unit",
    [
        "\\boxed{",
        "\\boxed{}",
        "{",
        "}",
        "\\boxed",
        "\\boxed ",
        "answer: ",
        "the answer is ",
        "$",
        "\\(",
        "1,",
        "1.",
        "答案",
    ],
)
def test_hostile_text_is_linear(unit: str) -> None:
    assert_linear(extract_answer, unit, start="\\boxed")


PIECES = (
    "answer", "Answer", "ANSWERS", "anſwer", "the", "final", "Final", "correct", "right", "best", "option", "choice",
    "Option", " ", "  ", "\t", "\n", "\n\n", "#", "####", "\n####", "*", "_", "is", "=", ":", "：", ",", ".", "5",
    "$12", "would be", "comes out to", "because", "to", "for", "of x", "x" * 90,
    "答案", "应该", "应", "故", "因此", "所以", "正确", "选", "选项", "是", "İ",
)  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=24).map("".join))
def test_statements_are_found_where_the_pattern_finds_them(text: str) -> None:
    assert [head.span() for head in _heads(text)] == [head.span() for head in _STATED.finditer(text)]
