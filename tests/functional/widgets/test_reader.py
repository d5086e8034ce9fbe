"""The chain reader under the keyboard: moves, folds, search, selection, resize, hostile text."""

from __future__ import annotations

from typing import ClassVar

import pytest
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.geometry import Region
from textual.pilot import Pilot
from textual.strip import Strip

from o1lab.widgets.reader.body import ReaderBody
from o1lab.widgets.reader.chain_reader import ChainReader
from o1lab.widgets.reader.document import ReaderDocument
from o1lab.widgets.typed_ahead import TypedAheadApp
from tests.support.compare_lab import until
from tests.support.piloted import burst

PARTS = [
    ("understand", "The problem asks for 964 + 494.\n\n"),
    ("compute", "Ones: 4 + 4 = 8. " * 30),
    ("reflect", "Wait, is that right? "),
    ("compute", "Tens: 6 + 9 = 15, carry 1. " * 20),
    ("backtrack", "Scratch that, start over.\n\n"),
    ("compute", "Again column by column, slowly. " * 40),
    ("reflect", "Wait, 1458 seems fine. "),
    ("conclude", "So the answer is 1458."),
]


def document() -> ReaderDocument:
    segments, at = [], 0
    for kind, text in PARTS:
        segments.append((kind, at, at + len(text)))
        at += len(text)
    return ReaderDocument("".join(text for _, text in PARTS), "The answer is 1458.", segments)


class Harness(TypedAheadApp):
    BINDINGS: ClassVar[list[BindingType]] = [(key, f"left('{key}')", key) for key in ("n", "enter", "escape", "l")]

    def __init__(self, shown: ReaderDocument | None) -> None:
        super().__init__()
        self.shown = shown
        self.selected: list[tuple[int, int]] = []
        self.copied: list[str] = []
        self.left: list[str] = []
        """Keys that the reader left to the screen."""

    def action_left(self, key: str) -> None:
        self.left.append(key)

    def compose(self) -> ComposeResult:
        yield ChainReader(self.shown)

    def on_mount(self) -> None:
        self.query_one(ChainReader).focus()

    def on_chain_reader_span_selected(self, event: ChainReader.SpanSelected) -> None:
        self.selected.append((event.start, event.end))

    def copy_to_clipboard(self, text: str) -> None:
        self.copied.append(text)

    @property
    def reader(self) -> ChainReader:
        return self.query_one(ChainReader)

    def screen_text(self) -> str:
        body = self.reader.body
        return "\n".join(body.render_line(y).text for y in range(body.size.height))


@pytest.fixture
def app() -> Harness:
    return Harness(document())


async def test_the_gutter_names_each_move_by_letter(app: Harness) -> None:
    async with app.run_test(size=(80, 24)):
        letters = [line[1] for line in app.screen_text().splitlines() if line[1] not in " │"]
        assert "".join(letters).startswith("UCRC")
        assert app.screen_text().startswith("▌U")


async def test_jumps_go_to_moves_of_a_kind_and_stop_at_the_last(app: Harness) -> None:
    async with app.run_test(size=(80, 12)) as pilot:
        await pilot.press("r")
        assert app.reader.body.current == 2
        await pilot.press("r")
        assert app.reader.body.current == 6
        await pilot.press("r")
        assert app.reader.body.current == 6
        await pilot.press("B")
        assert app.reader.body.current == 4
        await pilot.press("R", "]")
        assert app.reader.body.current == 3
        await pilot.pause()
        assert "compute 4/8" in str(app.reader.query_one(".reader--status").render())
        assert app.reader.body.step_move(1, "F")
        assert not app.reader.body.step_move(1, "F")
        assert "▌F" in app.screen_text()


async def test_scrolling_past_a_move_makes_the_one_in_sight_current(app: Harness) -> None:
    async with app.run_test(size=(60, 10)) as pilot:
        await pilot.press("G")
        assert app.reader.body.current > 0
        assert app.reader.body.scroll_offset.y == app.reader.body.max_scroll_y
        await pilot.press("g")
        assert app.reader.body.current == 0


async def test_folding_hides_all_but_the_first_line(app: Harness) -> None:
    async with app.run_test(size=(60, 40)) as pilot:
        rows = app.reader.body.rows
        await pilot.press("]", "f")
        folded = app.reader.body.rows
        assert folded < rows
        assert "⋯" in app.screen_text()
        await pilot.press("F")
        assert app.reader.body.rows < folded
        await pilot.press("equals_sign")
        assert app.reader.body.rows == rows


async def test_keys_behind_the_search_key_are_searched_for(app: Harness) -> None:
    async with app.run_test(size=(60, 12)) as pilot:
        burst(app, "slash", *"so", "enter")
        await until(pilot, lambda: app.reader.body.has_focus and app.reader.body.query_text == "so", "the hits")


async def test_search_counts_hits_and_opens_folds(app: Harness) -> None:
    async with app.run_test(size=(60, 12)) as pilot:
        app.reader.body.fold(app.reader.body.segments.of_kind("compute"), True)
        await pilot.press("slash", *"slowly", "enter")
        assert app.reader.body.hits == 40
        assert app.reader.body.has_focus
        assert "slowly" in app.screen_text()
        status = str(app.reader.query_one(".reader--status").render())
        assert "“slowly” 1/40" in status
        await pilot.press("p")
        await pilot.pause()
        assert "40/40" in str(app.reader.query_one(".reader--status").render())
        assert app.reader.body.search("nowhere") == 0
        assert app.reader.body.search("WAIT") == 0
        assert app.reader.body.search("wait") == 2


async def test_giving_a_search_up_returns_to_the_place(app: Harness) -> None:
    async with app.run_test(size=(60, 12)) as pilot:
        await pilot.press("j", "j")
        place = app.reader.place
        await pilot.press("slash", *"1458")
        assert app.reader.place != place
        await pilot.press("escape")
        assert app.reader.place == place
        assert app.reader.body.hits == 0


async def test_selecting_by_moves_gives_their_code_points(app: Harness) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("r", "J", "J", "enter")
        await pilot.pause()
        segments = app.reader.body.segments
        assert app.selected == [(segments[2].start, segments[3].end)]
        assert app.reader.body.selection_span is None


async def test_selecting_by_characters_gives_exactly_those(app: Harness) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("r", "v", "v", "w", "w", "h", "h", "enter")
        await pilot.pause()
        start, end = app.selected[0]
        assert app.reader.body.segments[2].start == start
        thought = document().thought
        assert thought[start:end] == "Wait, is"
        await pilot.press("v", "v", "l", "y")
        assert app.copied == ["Wa"]
        await pilot.press("escape")
        assert app.reader.body.selection_span is None


async def test_selection_of_wide_and_hostile_characters_counts_code_points() -> None:
    app = Harness(ReaderDocument("中\x1b\u202eé文", "", [("compute", 0, 5)]))
    async with app.run_test(size=(40, 6)) as pilot:
        await pilot.press("v", "v", "l", "l", "enter")
        await pilot.pause()
        assert app.selected == [(0, 3)]
        assert "中␛‹202e›é文" in app.screen_text()


async def test_nothing_a_chain_holds_reaches_the_terminal() -> None:
    hostile = "\x1b]0;owned\x07 \x1b]52;c;aGk=\x07 [red]x[/red] \x9b2J \u202e \x00 \ud800 end"
    app = Harness(ReaderDocument(hostile, hostile, [("compute", 0, len(hostile))], [(0, 5, hostile)]))
    async with app.run_test(size=(60, 12)) as pilot:
        await pilot.press("slash", *"end", "enter")
        shown = app.screen_text() + str(app.reader.query_one(".reader--status").render())
        assert "[red]x[/red]" in shown
        assert not any(ord(char) < 32 and char != "\n" for char in shown)
        assert not set("\x7f\x9b\u202e\ud800") & set(shown)
        app.export_screenshot()
        await pilot.press("escape", "y")
        assert "\x1b" not in app.copied[0]


async def test_resizing_keeps_the_place(app: Harness) -> None:
    async with app.run_test(size=(100, 14)) as pilot:
        for _ in range(6):
            await pilot.press("j")
        place = app.reader.place
        for width in (50, 120, 33, 100):
            await resize(pilot, width, 14)
        assert app.reader.place == place


async def resize(pilot: Pilot[None], width: int, height: int) -> None:
    await pilot.resize_terminal(width, height)
    await pilot.pause()


async def test_spans_are_marked_and_named(app: Harness) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        app.reader.body.set_spans([(0, 11, "restates [the] problem")])
        await pilot.pause()
        assert app.screen_text().splitlines()[0].startswith("▌U*")
        assert "* restates [the] problem" in str(app.reader.query_one(".reader--status").render())


async def test_the_solution_stands_below_a_rule(app: Harness) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("G")
        lines = app.screen_text().splitlines()
        rule = next(at for at, line in enumerate(lines) if line.startswith("── solution ─"))
        assert "The answer is 1458." in lines[rule + 1]


@pytest.mark.parametrize(
    "shown",
    [None, ReaderDocument(""), ReaderDocument("", "only a solution"), ReaderDocument("no moves at all")],
)
async def test_little_to_show_is_no_trouble(shown: ReaderDocument | None) -> None:
    app = Harness(shown)
    async with app.run_test(size=(40, 10)) as pilot:
        await pilot.press("r", "b", "f", "F", "equals_sign", "v", "v", "l", "enter", "escape", "G", "g", "n", "J", "y")
        app.reader.load(document())
        await pilot.pause()
        assert "▌U" in app.screen_text()
        app.reader.load(shown)
        await pilot.pause()


async def test_the_minimap_marks_what_is_in_sight_and_where_the_turns_are(app: Harness) -> None:
    async with app.run_test(size=(60, 12)) as pilot:
        await pilot.pause()
        minimap = app.reader.query_one("Minimap")

        def column() -> list[str]:
            return [minimap.render_line(y).text for y in range(minimap.size.height)]

        assert column()[0].startswith("▐")
        turns = [row[2] for row in column() if row[2] != " "]
        assert "B" in turns and "R" in turns
        await pilot.press("G")
        await pilot.pause()
        app.export_screenshot()
        assert column()[0].startswith("│")


async def test_keys_of_the_screen_pass_when_the_reader_has_no_use_for_them(app: Harness) -> None:
    async with app.run_test(size=(60, 12)) as pilot:
        await pilot.press("n", "enter", "escape", "l")
        assert app.left == ["n", "enter", "escape", "l"]
        await pilot.press("v", "enter", "slash", *"wait", "enter", "n", "escape")
        assert app.left == ["n", "enter", "escape", "l"]


async def test_scrolling_by_a_line_draws_that_line_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Harness(ReaderDocument("\n".join(map(str, range(200))), "", [("compute", 0, 700)]))
    drawn: list[int] = []
    plain = ReaderBody._draw

    def draw(self: ReaderBody, row: int, width: int) -> Strip:
        drawn.append(row)
        return plain(self, row, width)

    async with app.run_test(size=(40, 12)) as pilot:
        await pilot.pause()
        monkeypatch.setattr(ReaderBody, "_draw", draw)
        height = app.reader.body.size.height
        for row in range(5):
            app.reader.body.scroll_to(y=row + 1, animate=False)
            await pilot.pause()
        assert drawn == [height + row for row in range(5)]


async def test_lines_that_are_kept_are_those_that_would_be_drawn(app: Harness) -> None:
    async with app.run_test(size=(60, 12)) as pilot:
        keys = ["j", "j", "r", "J", "escape", "f", "j", "F", "k", "equals_sign", "slash", *"carry", "enter", "n", "p"]
        for key in [*keys, "G", "v", "v", "h", "k", "w", "escape", "escape", "g", "b", "R"]:
            await pilot.press(key)
            await pilot.pause()
            body = app.reader.body
            everything = Region(0, 0, *body.outer_size)
            kept = body.render_lines(everything)
            body.restyle()
            assert [list(strip) for strip in kept] == [list(strip) for strip in body.render_lines(everything)], key
            app.reader.body.set_spans([(0, 11, "restates")] if key in "jn" else [])


async def test_a_status_too_long_for_its_line_says_so(app: Harness) -> None:
    async with app.run_test(size=(30, 12)) as pilot:
        app.reader.body.set_spans([(0, 11, "restates the problem in other words")])
        await pilot.pause()
        assert app.reader.query_one(".reader--status").render_line(0).text.rstrip().endswith("…")
