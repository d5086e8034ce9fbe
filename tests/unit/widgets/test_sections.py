"""What the reading widgets stand on beside the layout: rows of sections, moves, hits, steps of a selection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o1lab.widgets.reader.document import Outline, Segment
from o1lab.widgets.reader.selecting import Selecting, Step, stepped
from o1lab.widgets.sections import HEADER, Hits, Section, Sections
from o1lab.widgets.wrap import WrappedText

TEXTS = st.text(alphabet="ab \n", max_size=60)


@st.composite
def sections(draw: st.DrawFn) -> Sections:
    made = Sections()
    for text in draw(st.lists(TEXTS, max_size=4)):
        start, end = sorted(draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
        made.append(
            Section(
                WrappedText(text, 7),
                header=draw(st.sampled_from(["", "header"])),
                folded=draw(st.booleans()),
                hidden=[(start, end)] if start < end else [],
            )
        )
        made[-1].find_lines()
    made.recount()
    return made


@given(sections())
def test_rows_stand_one_under_the_other_and_know_their_place(made: Sections) -> None:
    assert made.rows == sum(section.rows for section in made)
    seen: list[tuple[int, int]] = []
    for row in range(made.rows):
        index, line = made.place_at(row)
        assert line == HEADER or 0 <= line < len(made[index].text)
        seen.append((index, line))
        if line != HEADER:
            assert made.row_of(index, made[index].text.span(line)[0]) == row
    assert seen == sorted(set(seen))


def test_a_row_outside_is_the_nearest_one() -> None:
    made = Sections([Section(WrappedText("one\ntwo", 10))])
    made.recount()
    assert made.offset_at(99) == (0, 4)
    assert Sections().offset_at(5) == (0, 0)


def test_rewrapping_tells_whether_anything_changed() -> None:
    made = Sections([Section(WrappedText("one two", 10))])
    made.recount()
    assert not made.rewrap(10)
    assert made.rewrap(4)
    assert made.rows == 2


@given(st.lists(TEXTS, min_size=1, max_size=3), st.sampled_from(["a", "ab", "A", "aa", " "]))
def test_hits_are_those_that_plain_search_finds(texts: list[str], query: str) -> None:
    hits = Hits(query, texts)
    expected = []
    for index, text in enumerate(texts):
        at = text.find(query)
        while at >= 0:
            expected.append((index, at))
            at = text.find(query, at + len(query))
    assert len(hits) == len(expected)
    for number, place in enumerate(expected):
        hits.current = number
        assert hits.place == place
        index, offset = place
        assert (offset, offset + len(query), True) in list(hits.inside(index, offset, offset + 1))
        assert hits.first_from(*place) == number


@given(TEXTS, TEXTS)
def test_hits_of_a_text_that_grows_miss_none_at_the_seam(before: str, after: str) -> None:
    growing = Hits("ab", [before])
    growing.extend(0, before + after, len(before))
    assert len(growing) == (before + after).count("ab")


def test_no_query_has_no_hits_whatever_is_added() -> None:
    hits = Hits()
    hits.add("text")
    hits.extend(0, "text and more", 4)
    hits.keep(0)
    assert len(hits) == 0
    assert hits.place is None
    assert list(hits.inside(0, 0, 4)) == []


def test_forgetting_texts_brings_the_current_hit_back_into_range() -> None:
    hits = Hits("a", ["aa", "aaa"])
    hits.current = 4
    hits.keep(1)
    assert (len(hits), hits.current, hits.place) == (2, 1, (0, 1))


THOUGHT = "Plan it. \n Sum up, more words here."
OUTLINE = Outline([("compute", 11, 17), ("P", 0, 8), ("R", 18, 999), ("C", 50, 60), ("C", 5, 5)], len(THOUGHT))


def test_an_outline_is_ordered_named_and_cut_to_the_thought() -> None:
    assert list(OUTLINE) == [
        Segment("plan", 0, 8), Segment("compute", 11, 17), Segment("reflect", 18, len(THOUGHT)),
    ]  # fmt: skip
    assert [OUTLINE.at(offset) for offset in (0, 7, 8, 11, 17, 18, 99)] == [0, 0, -1, 1, -1, 2, -1]
    assert [OUTLINE.nearest(offset) for offset in (8, 17, 99)] == [1, 2, 2]
    assert [OUTLINE.between(*span) for span in ((7, 12), (8, 11), (8, 12), (17, 99))] == [
        range(2), range(1, 1), range(1, 2), range(2, 3),
    ]  # fmt: skip
    assert OUTLINE[1:] == list(OUTLINE)[1:]
    assert OUTLINE.of_kind("C") == [1]
    assert [OUTLINE.step(0, 1), OUTLINE.step(0, 1, "R"), OUTLINE.step(2, 1), OUTLINE.step(2, -1, "plan")] == [
        1,
        2,
        None,
        0,
    ]


def test_lines_begin_with_moves_and_with_text_between_them() -> None:
    assert OUTLINE.breaks(THOUGHT) == [0, 11, 17, 18]  # whitespace alone, from 8 to 11, begins none
    assert Outline().breaks(THOUGHT) == []


def test_a_selection_spans_both_its_ends_in_either_direction() -> None:
    by_moves = Selecting("moves", 1, 0)
    assert by_moves.span(OUTLINE) == by_moves.swapped().span(OUTLINE) == (0, 17)
    assert Selecting("chars", 3, 1).to(5).span(OUTLINE) == (3, 6)


@pytest.mark.parametrize(
    ("at", "step", "expected"),
    [
        (0, "left", 0), (0, "right", 1), (33, "right", 33),
        (0, "word", 5), (24, "word", 30), (30, "word", 33), (5, "back", 0), (13, "back", 11),
        (12, "start", 10), (12, "end", 18), (1, "down", 11), (12, "up", 2), (1, "up", 1),
    ],
)  # fmt: skip
def test_steps_of_a_selection_stay_in_the_text(at: int, step: Step, expected: int) -> None:
    section = Section(WrappedText("Plan it. \n Sum up, more words here", 10))
    assert stepped(at, step, section) == expected
