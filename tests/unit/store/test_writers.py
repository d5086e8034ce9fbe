"""Who wrote which part of a response."""

from __future__ import annotations

from typing import Any

import pytest

from store.writers import WRITERS, Writer, as_meta, changes, inside, writers_of, written_by


def test_parts_become_spans_that_cover_the_text() -> None:
    text, spans = written_by([("student", "<think>\nOne. "), ("teacher", "Two."), ("teacher", "\n"), ("student", "é")])
    assert text == "<think>\nOne. Two.\né"
    assert spans == (Writer("student", 0, 13), Writer("teacher", 13, 18), Writer("student", 18, 19))
    assert written_by([("student", ""), ("teacher", "all")]) == ("all", (Writer("teacher", 0, 3),))


def test_the_spans_of_a_trace_are_read_again() -> None:
    _, spans = written_by([("a", "12345"), ("b", "678")])
    assert writers_of(as_meta(spans), 8) == spans


@pytest.mark.parametrize(
    "stored",
    [
        None,
        "a",
        [],
        [{"model": "a", "start": 0, "end": 8}],  # one writer: nothing to tell apart
        [{"model": "a", "start": 0, "end": 5}, {"model": "b", "start": 5, "end": 9}],  # longer than the text
        [{"model": "a", "start": 0, "end": 5}, {"model": "b", "start": 6, "end": 8}],  # a gap
        [{"model": "a", "start": 0, "end": 0}, {"model": "b", "start": 0, "end": 8}],  # an empty part
        [{"model": "a", "start": False, "end": 5}, {"model": "b", "start": 5, "end": 8}],
        [{"model": 7, "start": 0, "end": 5}, {"model": "b", "start": 5, "end": 8}],
        ["a", "b"],
    ],
)
def test_spans_that_do_not_cover_the_text_are_not_believed(stored: Any) -> None:
    assert writers_of({WRITERS: stored}, 8) == ()


def test_a_change_is_shown_at_the_first_visible_character() -> None:
    text = "one\n\n two \n"
    assert list(changes((Writer("a", 0, 3), Writer("b", 3, 10), Writer("a", 10, 11)), text)) == [
        (0, "a"),
        (6, "b"),
        (10, "a"),
    ]


def test_the_writers_of_a_part_count_from_its_start() -> None:
    spans = (Writer("a", 0, 10), Writer("b", 10, 20), Writer("a", 20, 30))
    assert list(inside(spans, (8, 20))) == [Writer("a", 0, 2), Writer("b", 2, 12)]
    assert list(inside(spans, (20, 20))) == []
