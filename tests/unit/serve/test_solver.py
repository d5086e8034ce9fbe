"""The solver: every question of its family, the honesty of its chains, and what it says outside."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o1lab.chains.answers import extract_answer
from o1lab.serve.solver import OUTSIDE, read_question, respond, resume, search

THREE_DIGITS = st.integers(100, 999)


def test_every_pair_of_digits_in_every_column() -> None:
    """All carry patterns: each column's digits run through everything while the others sit at their edges."""
    edges = [(0, 0), (0, 9), (9, 0), (9, 9), (5, 5), (4, 5)]
    pairs = [(x, y) for x in range(10) for y in range(10)]
    for ones in pairs:
        for tens in pairs:
            for top in ((1, 1), (9, 9), (4, 5)):
                a, b = (100 * top[i] + 10 * tens[i] + ones[i] for i in range(2))
                assert search(a, b)[1] == a + b
    for hundreds in ((x, y) for x in range(1, 10) for y in range(1, 10)):
        for tens in edges:
            for ones in edges:
                a, b = (100 * hundreds[i] + 10 * tens[i] + ones[i] for i in range(2))
                assert search(a, b)[1] == a + b


@given(THREE_DIGITS, THREE_DIGITS)
def test_every_line_of_a_chain_is_true_and_its_last_check_holds(a: int, b: int) -> None:
    thought, total = search(a, b)
    for x, y, both, _, with_carry in re.findall(r"(\d) \+ (\d) = (\d+)(, plus 1 = (\d+))?", thought):
        assert int(x) + int(y) == int(both)
        assert with_carry in ("", str(int(both) + 1))
    checks = re.findall(r"So (\d+)\. Check (holds|fails): (\d+) - (\d+) = (\d+)(?:, not (\d+))?\.", thought)
    for attempt, outcome, again, taken, found, wanted in checks:
        assert attempt == again
        assert int(taken) == b
        assert int(attempt) - b == int(found)
        assert (outcome == "holds") == (int(found) == a)
        assert wanted == ("" if outcome == "holds" else str(a))
    assert [outcome for _, outcome, *_ in checks] == ["fails"] * (len(checks) - 1) + ["holds"]
    assert int(checks[-1][0]) == total == a + b


@given(THREE_DIGITS, THREE_DIGITS)
def test_the_cheap_attempt_fails_exactly_where_a_skipped_carry_mattered(a: int, b: int) -> None:
    """No dice: the chain's course follows from the digits alone."""
    thought, _ = search(a, b)
    ones_carry = a % 10 + b % 10 > 9
    tens_carry = a // 10 % 10 + b // 10 % 10 > 9
    assert ("skip carries" in thought) == (not ones_carry)
    assert thought.count("Wait") == int(not ones_carry and tens_carry)


def test_a_failed_check_is_in_the_chain() -> None:
    reply = respond("What is 572 + 264?")
    assert reply.thought.splitlines() == [
        "Ones: 2 + 4 = 6. No carry, so skip carries.",
        "Tens: 7 + 6 = 13, write 3, drop 1.",
        "Hundreds: 5 + 2 = 7.",
        "So 736. Check fails: 736 - 264 = 472, not 572.",
        "Wait, the tens carry 1.",
        "Hundreds: 5 + 2 = 7, plus 1 = 8.",
        "So 836. Check holds: 836 - 264 = 572.",
    ]
    assert reply.text == f"<think>\n{reply.thought}\n</think>\n\n\\boxed{{836}}"
    assert respond("What is 572 + 264?") == reply


@given(THREE_DIGITS, THREE_DIGITS)
def test_the_lab_reads_the_answer_at_its_highest_trust(a: int, b: int) -> None:
    found = extract_answer(respond(f"What is {a} + {b}?").text)
    assert found is not None
    assert found.text == str(a + b)


@pytest.mark.parametrize(
    "question",
    [
        "What is 964 + 494?",
        "964+494",
        "964 + 494 =",
        "964 + 494 = ?",
        "  what is\n964 plus 494 ?  ",
        "Please add 964 and 494.",
        "Add 964 to 494",
        "What is the sum of 964 and 494?",
        "Compute 964＋494",
        "９６４ + ４９４",
        "964 and 494 together make?",
        "What do you get with 964 added to 494?",
        "$964 + 494$",
        "What is **964 + 494**?",
    ],
)
def test_phrasings_of_the_family(question: str) -> None:
    assert read_question(question) == (964, 494)


@pytest.mark.parametrize(
    "question",
    [
        "",
        "Hello!",
        "What is 12 + 34?",
        "What is 964 + 4942?",
        "What is 964 - 494?",
        "What is 964 * 494?",
        "What is -964 + 494?",
        "What is 964 + 494 + 1?",
        "What is 964 + 494 minus 3?",
        "What is 9.64 + 494?",
        "What is 1,964 + 494?",
        "What is 064 + 494?",
        "964 and 494 are numbers",
        "964 494",
        "What is x964 + 494?",
        "the 964th + 494",
        "Do not add 964 and 494",
        "964 + 494!",
        "What is 964 + " + "9" * 100_000 + "?",
        "+" * 100_000,
    ],
)
def test_outside_its_family_it_answers_what_it_can_do(question: str) -> None:
    reply = respond(question)
    assert reply.thought == ""
    assert reply.text == reply.answer == OUTSIDE
    assert "not a language model" in reply.text
    assert "three digits" in reply.text


@pytest.mark.parametrize(
    ("written", "begins"),
    [
        ("", "<think>\nOnes: 4 + 4 = 8."),
        ("<think>\nOnes: 4 + 4 = 8. No carry, so skip carries.\n", "Tens: 6 + 9 = 15, write 5, carry 1."),
        (
            "<think>\nOnes: 4 + 4 = 8.\nTens: 6 + 9 = 14, write 4, carry 1.",
            "\nWait, the tens are wrong.\nTens: 6 + 9 = 15",
        ),
        ("<think>\nOnes: 4 + 4 = 8.\nTens: 6 + 9", "\nWait, once more.\nTens: 6 + 9 = 15"),
        (
            "<think>\nOnes: 4 + 4 = 8.\nTens: 6 + 9 = 15, write 5, drop 1.\nHundreds: 9 + 4 = 13.\n",
            "Wait, the hundreds are wrong",
        ),
        ("Hello", "<think>\n\nWait, once more.\nOnes:"),
    ],
)
def test_it_continues_a_response_of_another_model(written: str, begins: str) -> None:
    rest = resume("What is 964 + 494?", written)
    assert rest.startswith(begins), rest
    assert rest.endswith("\\boxed{1458}") and (written + rest).count("<think>") == 1 == (written + rest).count(
        "</think>"
    )


@pytest.mark.parametrize(
    ("thought", "answer"),
    [
        ("", "?"),
        ("Ones: 4 + 4 = 8.\nTens: 6 + 9 = 15, write 5, carry 1.", "58"),
        ("Ones: 4 + 4 = 8.\nTens: 6 + 9 = 15, write 5, drop 1.\nHundreds: 9 + 4 = 13.\nSo 1358.", "1358"),
        ("Ones: 4 + 4 = 8.\nTens: 6 + 9 = 15, write 5, carry 1.\nHundreds: 9 + 4 = 13, plus 1 = 14.", "1458"),
    ],
)
def test_after_a_closed_thought_it_answers_what_the_thought_has_found(thought: str, answer: str) -> None:
    closed = f"<think>\n{thought}\n</think>"
    assert resume("What is 964 + 494?", closed) == f"\n\n\\boxed{{{answer}}}"
    assert resume("What is 964 + 494?", closed + "\n\nThe answer is \\boxed{") == f"{answer}}}"


def test_every_cut_of_its_own_chains_leads_to_the_right_answer() -> None:
    for a, b in ((964, 494), (123, 456), (999, 999), (505, 605)):
        question = f"What is {a} + {b}?"
        whole = respond(question).text
        for cut in range(len(whole.partition("</think>")[0])):
            assert resume(question, whole[:cut]).endswith(rf"\boxed{{{a + b}}}")
    assert resume("What is love?", "Well") == OUTSIDE
