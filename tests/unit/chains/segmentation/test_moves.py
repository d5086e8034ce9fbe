"""Moves cover the thought, in order, without gaps, and mean what they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o1lab.chains.segmentation.moves import MOVE_OF_LETTER, MoveKind, segment, sentences
from tests.support.linear import assert_linear


def kinds(thought: str) -> str:
    return "".join(move.kind.letter for move in segment(thought))


def assert_covers(thought: str) -> None:
    moves = segment(thought)
    assert [move.start for move in moves] == [0, *(move.end for move in moves[:-1])]
    assert moves[-1].end == len(thought)
    assert all(move.start < move.end for move in moves)


def test_letters_are_stable_and_unique() -> None:
    assert {kind.letter: kind.value for kind in MoveKind} == {
        "U": "understand",
        "P": "plan",
        "C": "compute",
        "R": "reflect",
        "B": "backtrack",
        "V": "verify",
        "F": "conclude",
    }
    assert all(MOVE_OF_LETTER[kind.letter] is kind for kind in MoveKind)


@pytest.mark.parametrize(
    ("thought", "expected"),
    [
        ("The problem gives two cities. Let me think about how to start. 45 / 30 = 1.5.", "UPC"),
        ("Compute 3 + 4 = 7. Wait, that seems off. I made a mistake. Let me check: 3 + 4 is 7.", "CRBV"),
        ("So 18 * 1.5 = 27. The answer is 27.", "CF"),
        ("已知甲乙两地相距45公里。首先设时间为t。计算得t=1.5。等等，这不对吧。让我检查一下。答案是27。", "UPCRVF"),
        ("不对，重新来。", "B"),
        ("no newline at all. Wait, is it? Let me verify. Therefore it holds", "URVF"),
    ],
)
def test_what_a_sentence_is_for(thought: str, expected: str) -> None:
    assert kinds(thought) == expected
    assert_covers(thought)


def test_a_number_with_a_point_is_one_sentence() -> None:
    assert [thought.start for thought in segment("Compute 3.14 times 2. Wait, no.")] == [0, 22]


def test_a_cue_in_a_new_paragraph_is_a_new_move() -> None:
    assert kinds("Wait, no.\n\nWait, yes that is odd.") == "RR"
    assert kinds("Wait, no. Wait, yes that is odd.") == "R"


def test_empty() -> None:
    assert segment("") == []


@given(st.text(alphabet=st.sampled_from("aW.!?\n 。等İ{}=\\$'\")*0,\0\ud800"), min_size=1, max_size=80))
def test_covers_any_text(thought: str) -> None:
    assert_covers(thought)


@given(st.lists(st.sampled_from(["Wait, ", "so ", "okay, ", "first ", "3.", ". ", "\n", "let me ", "check", "İ", "…"])))
def test_covers_any_mixture_of_cues(pieces: list[str]) -> None:
    if thought := "".join(pieces):
        assert_covers(thought)


@pytest.mark.parametrize(
    "unit",
    [
        "{",
        "}",
        "{}",
        "$",
        "$$ ",
        "\\[",
        "\\(",
        "\\begin{a}",
        "5! ",
        ".",
        ".'",
        '."',
        "so ",
        "first ",
        " ",
        "\n",
        "a",
        "等",
        "=",
        "。",
        "1.",
    ],
)
def test_text_without_sense_is_linear(unit: str) -> None:
    assert_linear(assert_covers, unit)


def starts(thought: str) -> list[str]:
    return [thought[sentence.start :].split(maxsplit=1)[0] for sentence in sentences(thought)]


@pytest.mark.parametrize(
    ("thought", "expected"),
    [
        ("So \\[ x = 3. \\\\ y = 4! \\] holds. Done.", ["So", "Done."]),
        ("Here \\( a. b \\) and $a? b$ and $$\nx = 1.\n$$ stay. Done.", ["Here", "Done."]),
        ("\\begin{align} a &= 1. \\\\ b &= 2. \\end{align} follows. Done.", ["\\begin{align}", "Done."]),
        ("There are 5! = 120 or (n-1)! ways, and 9! divided by 2! more. Great! Done", ["There", "Great!", "Done"]),
        ("It costs $5. Then $6 more. Done.", ["It", "Then", "Done."]),
        ("Open \\[ x. And \\[ y. Done.", ["Open", "And", "Done."]),
    ],
)
def test_no_sentence_ends_inside_mathematics(thought: str, expected: list[str]) -> None:
    assert starts(thought) == expected


@pytest.mark.parametrize(
    ("thought", "expected"),
    [
        ("So I've got this problem about a tank.", "U"),
        ("Alright, so I have this math problem here: a tank leaks.", "U"),
        ("Okay, so I need to solve this geometry problem.", "U"),
        ("So we have:\n\\[ x = 3 \\]", "C"),
        ("So, we get:\n$x$", "C"),
        ("So the sum is even.", "F"),
    ],
)
def test_a_restatement_and_an_announced_formula_are_no_conclusions(thought: str, expected: str) -> None:
    assert kinds(thought) == expected


@pytest.mark.parametrize(
    "before", ["Let me check this:", "Wait, that is odd.", "The answer is 4.", "First, think of tiles."]
)
def test_a_sentence_without_a_cue_goes_on_with_the_move_before_it(before: str) -> None:
    assert len(kinds(f"{before} Tiles lie flat.")) == 1
