"""Beginnings of answers: cuts that split nothing, who wrote what after a change, and marks of another model."""

from __future__ import annotations

import pytest

from o1lab.chat.prefixes import Prefix, changed, cut, described, in_marks, of_answer, snapped, written_by
from store.branches import Tokens
from store.conversations import Message, Span


@pytest.mark.parametrize(
    ("text", "at", "to", "said"),
    [
        (r"So \frac{1}{2}", 6, 3, r"the LaTeX command \frac"),
        (r"So \frac{1}{2}", 3, 3, ""),
        (r"So \frac{1}{2}", 8, 8, ""),
        (r"\begin{align} x", 9, 0, r"the LaTeX command \begin{align}"),
        ("a \\\\ b", 3, 2, "the LaTeX command \\\\"),
        ("cafe\u0301!", 4, 3, "a character of several code points"),
        ("👨‍👩‍👧 ok", 3, 0, "a character of several code points"),
        ("等等，让我", 2, 2, ""),
        ("plain", 99, 5, ""),
    ],
)
def test_a_cut_inside_a_character_or_a_command_moves_to_its_start(text: str, at: int, to: int, said: str) -> None:
    assert snapped(text, at) == (to, said)


def test_what_a_person_changed_is_theirs_and_the_rest_stays_the_models() -> None:
    text = "Ones: 4 + 4 = 8. Tens: 6 + 9 = 15, carry 1. Hundreds: 9 + 4 = 13."
    whole = Prefix(text, written_by(text, "student"))
    made = changed(whole, text.replace("carry 1", "carry 0"), "anna")
    at = text.index("1. Hundreds")
    assert made.spans == (
        Span(0, at, "model", "student"),
        Span(at, at + 1, "person", "anna"),
        Span(at + 1, len(text), "model", "student"),
    )
    cut_too = changed(whole, "Ones: 4 + 4 = 9. Tens: 6", "anna")
    assert [(span.name, made_of(cut_too, span)) for span in cut_too.spans] == [
        ("student", "Ones: 4 + 4 = "),
        ("anna", "9"),
        ("student", ". Tens: 6"),
    ]
    again = changed(made, made.text + " So 1458.", "ben")
    assert again.writers == {"student", "anna", "ben"}
    assert described(again.spans).endswith(f"ben {len(text)}–{len(text) + 9} (characters)")


def made_of(prefix: Prefix, span: Span) -> str:
    return prefix.text[span.start : span.end]


def test_a_cut_keeps_the_tokens_only_on_their_boundaries() -> None:
    whole = Prefix("abcdef", written_by("abcdef", "m"), Tokens("m", (7, 8, 9, 10), (2, -1, 4, 6)))
    assert cut(whole, 4).tokens_for("m") == (7, 8, 9)
    assert cut(whole, 4).tokens_for("other") is None
    assert cut(whole, 3).tokens_for("m") is None
    unchanged = changed(whole, "ab", "anna")
    assert unchanged.tokens_for("m") == (7,) and unchanged.writers == {"m"}
    assert changed(whole, "aX", "anna").tokens is None


def test_the_marks_of_another_model_become_those_of_the_one_that_continues() -> None:
    text = "<|begin_of_thought|>\nA\n<|end_of_thought|>\n\n<|begin_of_solution|>\n4"
    made = in_marks(Prefix(text, written_by(text, "sky")), "<think>", "</think>")
    assert made.text == "<think>\nA\n</think>\n\n4" and made.spans == written_by(made.text, "sky")
    cut_off = in_marks(Prefix("<thought>half", written_by("<thought>half", "marco")), "<think>", "</think>")
    assert cut_off.text == "<think>half"
    for same in ("<think>\nA", "no marks at all"):
        assert in_marks(Prefix(same), "<think>", "</think>").text == same


def test_an_answer_of_an_earlier_version_is_put_together() -> None:
    old = Message("i", "c", 1, 0, "assistant", "complete", "4", thought="2 + 2")
    assert of_answer(old, "m") == Prefix(
        "<think>\n2 + 2\n</think>\n\n4", written_by("<think>\n2 + 2\n</think>\n\n4", "m")
    )
