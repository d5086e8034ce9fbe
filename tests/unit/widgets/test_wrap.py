"""The text layout every reading widget stands on: cells, offsets, hostile text, appending."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from o1lab.widgets import wrap
from o1lab.widgets.wrap import WrappedText

# Letters of every width, breaks, and what must not reach a terminal.
AWKWARD = st.text(
    alphabet=st.one_of(
        st.sampled_from("ab cd  \n\t中文，e\u0301👨\u200d👩️\x1b\x00\u202e\ufeff\x9b×≤"),
        st.characters(),
    ),
    max_size=300,
)
WIDTHS = st.integers(min_value=2, max_value=40)


def drawn(wrapped: WrappedText) -> list[str]:
    return ["".join(piece.text for piece in wrapped.pieces(line)) for line in range(len(wrapped))]


def lines_of(wrapped: WrappedText) -> list[tuple[int, int]]:
    return [wrapped.span(line) for line in range(len(wrapped))]


@given(AWKWARD, WIDTHS)
def test_lines_partition_the_text(text: str, width: int) -> None:
    wrapped = WrappedText(text, width)
    spans = [wrapped.span(line) for line in range(len(wrapped))]
    assert "".join(text[a:b] for a, b in spans) == text
    assert all(a < b for a, b in spans)
    assert all("\n" not in text[a : b - 1] for a, b in spans)


@given(AWKWARD, WIDTHS)
def test_no_line_is_wider_than_asked(text: str, width: int) -> None:
    wrapped = WrappedText(text, width)
    for line, shown in enumerate(drawn(wrapped)):
        start, end = wrapped.span(line)
        hangs = text[start:end].rstrip("\n").endswith(" ")
        single = len(text[start:end].rstrip("\n")) == 1  # a symbol such as ‹202e› is never cut in two
        assert cell_len(shown) <= width + hangs or single


@given(AWKWARD, WIDTHS)
def test_drawn_text_is_safe_and_its_cells_are_counted(text: str, width: int) -> None:
    wrapped = WrappedText(text, width)
    for line in range(len(wrapped)):
        for _, _, piece, cells, _ in wrapped.pieces(line):
            assert cell_len(piece) == cells
            assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in piece)
            assert not set(piece) & set(
                "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u2028\u200b"
            )


@given(AWKWARD, WIDTHS, st.lists(st.integers(0, 300)), st.data())
def test_appending_is_the_same_as_wrapping_whole(text: str, width: int, cuts: list[int], data: st.DataObject) -> None:
    bounds = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    growing = WrappedText("", width)
    for left, right in pairwise(bounds):
        before = drawn(growing)
        first = growing.append(text[left:right])
        assert drawn(growing)[:first] == before[:first]
    assert growing.text == text
    assert lines_of(growing) == lines_of(WrappedText(text, width))


@given(AWKWARD, WIDTHS)
def test_offsets_and_cells_go_back_and_forth(text: str, width: int) -> None:
    wrapped = WrappedText(text, width)
    for offset in range(len(text)):
        line = wrapped.line_of(offset)
        start, end = wrapped.span(line)
        assert start <= offset < end
        cell = wrapped.cell_of(offset)
        back = wrapped.offset_at(line, cell)
        # Code points without a cell of their own share that of the next one (or end the line).
        assert back == offset or wrapped.cell_of(back) == cell or back == end - 1


@given(AWKWARD, WIDTHS, st.lists(st.integers(0, 300), max_size=5))
def test_forced_breaks_begin_lines(text: str, width: int, breaks: list[int]) -> None:
    wanted = sorted({at for at in breaks if 0 < at < len(text)})
    wrapped = WrappedText(text, width, wanted)
    starts = [start for start, _ in lines_of(wrapped)]
    assert set(wanted) <= set(starts)
    assert starts == sorted(set(starts))


@given(AWKWARD, WIDTHS, WIDTHS)
def test_rewrapping_is_the_same_as_wrapping_from_the_start(text: str, width: int, other: int) -> None:
    wrapped = WrappedText(text, width)
    wrapped.rewrap(other)
    assert lines_of(wrapped) == lines_of(WrappedText(text, other))


@given(AWKWARD, WIDTHS, st.lists(st.integers(0, 300), max_size=6))
def test_cutting_a_line_changes_nothing_that_is_drawn(text: str, width: int, cuts: list[int]) -> None:
    wrapped = WrappedText(text, width)
    for line in range(len(wrapped)):
        whole = "".join(piece.text for piece in wrapped.pieces(line))
        pieces = wrapped.pieces(line, cuts)
        assert "".join(piece.text for piece in pieces) == whole
        start, end = wrapped.span(line)
        begun = {piece.start for piece in pieces}
        assert {cut for cut in cuts if start < cut < end and text[cut] != "\n"} <= begun


def test_words_break_after_spaces_and_the_space_hangs() -> None:
    assert drawn(WrappedText("one two three", 7)) == ["one two ", "three"]
    assert drawn(WrappedText("onetwothree", 4)) == ["onet", "woth", "ree"]
    assert drawn(WrappedText("    return 1", 6)) == ["    re", "turn 1"]


def test_wide_characters_take_two_cells_and_break_anywhere() -> None:
    assert drawn(WrappedText("中文字符", 5)) == ["中文", "字符"]
    assert drawn(WrappedText("x 中文字", 6)) == ["x 中文", "字"]


def test_a_mark_stays_with_its_letter() -> None:
    assert drawn(WrappedText("ae\u0301ie\u0301", 3)) == ["ae\u0301i", "e\u0301"]


def test_hostile_characters_are_symbols_yet_offsets_count_them_once() -> None:
    text = "a\x1b[2Jb\u202ec\u200bd"
    wrapped = WrappedText(text, 80)
    assert drawn(wrapped) == ["a␛[2Jb‹202e›c‹200b›d"]
    assert wrapped.cell_of(text.index("c")) == len("a␛[2Jb‹202e›")
    assert wrapped.offset_at(0, len("a␛[2Jb‹20")) == text.index("\u202e")


def test_piled_up_marks_cannot_make_one_endless_line() -> None:
    wrapped = WrappedText("e" + "\u0301" * 10_000, 20)
    assert max(end - start for start, end in map(wrapped.span, range(len(wrapped)))) <= 20 * 8


def test_the_fast_path_holds_one_cell_characters_only() -> None:
    fast = [char for char in map(chr, range(0x20, 0x3000)) if wrap._ONE_CELL.fullmatch(char)]
    assert len(fast) > 1000
    assert [char for char in fast if wrap._Glyphs()[char] != (char, 1)] == []


def test_the_wide_fast_path_holds_characters_of_two_cells_or_less_only() -> None:
    fast = [char for char in map(chr, range(0x20, 0x10000)) if wrap._TWO_CELLS.fullmatch(char)]
    assert {"中", "，", "の", "한", "a"} <= set(fast)
    glyphs = wrap._Glyphs()
    assert [char for char in fast if glyphs[char][0] != char or not 1 <= glyphs[char][1] <= 2] == []
