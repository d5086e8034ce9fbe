"""Text of others is safe to print, whatever it has."""

from __future__ import annotations

import json
import unicodedata
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from o1lab.text import MOST_MARKS, harmless, json_of, json_text, visible, without_controls
from tests.support.hostile_lab import HOSTILE, forbidden

NASTY = st.text(
    st.one_of(st.characters(), st.sampled_from("\x1b\x9b\u202e\u200b\u2028\u0335\u20dd\ud800\U000e0041\u1161"))
)


@given(NASTY)
def test_visible_text_has_nothing_that_a_terminal_obeys_or_hides(text: str) -> None:
    shown = visible(text)
    assert not forbidden(shown)
    assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in shown if char not in "\n\t")
    assert visible(shown) == shown


@given(NASTY)
def test_an_editor_draws_one_character_for_each(text: str) -> None:
    assert len(harmless(text)) == len(text)
    assert not forbidden(harmless(text).replace("\u0335", ""))


@given(NASTY)
def test_the_last_filter_keeps_the_width(text: str) -> None:
    assert not forbidden(without_controls(text))
    assert cell_len(without_controls(text)) == sum(cell_len(char) for char in text)


@given(NASTY)
def test_json_is_escaped_and_reads_back_the_same(text: str) -> None:
    written = json_text({"text": text})
    assert not forbidden(written.replace("\u0335", ""))
    assert json.loads(written) == {"text": text}


def test_a_flood_of_marks_is_counted() -> None:
    assert visible("z" + "\u0335" * 60 + "y") == "z" + "\u0335" * MOST_MARKS + "‹+56›y"
    assert visible("\u200b" * 1000).endswith("‹200b›‹+996›")
    assert visible("क्षि é שָׁלוֹם 👩‍👩‍👧 ──────── •••••••") == "क्षि é שָׁלוֹם 👩‍👩‍👧 ──────── •••••••"


def test_the_hostile_corpus_is_hostile() -> None:
    assert len(set(forbidden(HOSTILE))) > 15


def test_attributes_become_json_under_the_keys_that_are_given() -> None:
    inner = SimpleNamespace(share=2 / 3, as_json=lambda: {"own": 1 / 3})
    record = SimpleNamespace(name="a", place=(0.123456, None), inner=inner, by_kind={"x": 0.98765}, count=3)
    found = json_of(record, "count", "called=name", "place", "by_kind", "inner", "share=inner.share", digits=2)
    assert found == {
        "count": 3, "called": "a", "place": [0.12, None], "by_kind": {"x": 0.99}, "inner": {"own": 1 / 3},
        "share": 0.67,
    }  # fmt: skip
    assert list(found) == ["count", "called", "place", "by_kind", "inner", "share"]
    assert json_of(record, "place") == {"place": [0.123456, None]}
