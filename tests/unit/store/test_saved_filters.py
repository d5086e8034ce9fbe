"""The word ``saved:NAME`` in a filter."""

from __future__ import annotations

import pytest

from store.errors import QueryError
from store.filters import SampleQuery, TraceQuery
from store.filters.saved import complete, expand, typed_name, uses_saved

SAVED = {"hard": "verdict:wrong reflect>=2", "hasty": "chars<1k"}


def test_each_name_is_replaced_by_its_filter() -> None:
    assert expand("wait saved:hard sort:-chars saved:hasty", SAVED) == (
        "wait verdict:wrong reflect>=2 sort:-chars chars<1k"
    )
    assert expand('saved:"hard" saved=hasty', SAVED) == "verdict:wrong reflect>=2 chars<1k"
    assert expand("unsaved:hard", SAVED) == "unsaved:hard"
    assert not uses_saved("unsaved:hard")


@pytest.mark.parametrize("text", ['"I saved: money"', '"he saved:x ok"', '-"he saved:hard', 'note:"he saved:hard now"'])
def test_a_phrase_names_no_saved_filter(text: str) -> None:
    assert not uses_saved(text)
    assert expand(f"saved:hasty {text}", SAVED).removeprefix("chars<1k ").removesuffix('"') == text.removesuffix('"')
    assert typed_name('"he saved:ha') is None
    assert complete('"he saved:ha', SAVED) is complete('"he sav', SAVED) is None


def test_a_saved_filter_takes_in_nothing_that_follows() -> None:
    assert expand("saved:open chars>1", {"open": '"so wait'}) == '"so wait" chars>1'
    assert expand('tag:"x saved:tags', {"tags": 'tag:"a b"'}) == 'tag:"x" tag:"a b"'


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("saved:hrad", "There is no saved filter 'hrad'.", "Did you mean hard? Saved: hard, hasty."),
        ("saved:", "There is no saved filter ''.", "Saved: hard, hasty."),
        ("-saved:hard", "A saved filter cannot be excluded with a minus.", "Exclude its fields, one by one."),
    ],
)
def test_an_error_names_the_saved_filters(text: str, message: str, hint: str) -> None:
    with pytest.raises(QueryError) as caught:
        expand(text, SAVED)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_where_no_filters_are_saved_the_word_is_refused() -> None:
    for kind in (TraceQuery, SampleQuery):
        with pytest.raises(QueryError, match="A saved filter cannot be named here"):
            kind.parse("wait saved:hard")


@pytest.mark.parametrize(
    ("text", "completed"),
    [
        ("wait sav", "wait saved:"), ("s", None), ("saved:har", "saved:hard"), ("x saved:ha", "x saved:hard"),
        ("saved:", None), ("saved:zz", None), ("saved:hard ", None),
    ],
)  # fmt: skip
def test_word_and_name_are_completed(text: str, completed: str | None) -> None:
    assert complete(text, SAVED) == completed
    assert complete("sav", {}) is None


def test_a_name_that_is_being_typed_is_told_from_other_words() -> None:
    assert [typed_name(text) for text in ("saved:", "a saved:ha", "saved:hard wait", "wait")] == ["", "ha", None, None]
