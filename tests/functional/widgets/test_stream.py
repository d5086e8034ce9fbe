"""The streaming pane: deltas, folds, sticking to the end, errors, hostile text."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult
from textual.strip import Strip

from o1lab.widgets.stream_pane import StreamBody, StreamPane


class Harness(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.retried = 0

    def compose(self) -> ComposeResult:
        yield StreamPane("base [b]135M[/b]")

    def on_mount(self) -> None:
        self.pane.focus()

    def on_stream_pane_retry_requested(self) -> None:
        self.retried += 1

    @property
    def pane(self) -> StreamPane:
        return self.query_one(StreamPane)

    def shown(self) -> str:
        body = self.pane.body
        return "\n".join(body.render_line(y).text.rstrip() for y in range(body.size.height))


async def test_deltas_are_drawn_before_the_answer_is_finished() -> None:
    app = Harness()
    async with app.run_test(size=(60, 12)) as pilot:
        pane = app.pane
        pane.add_user("What is 964 + 494?")
        pane.begin_assistant()
        pane.append_thought("ones: ")
        pane.append_thought("4 + 4 = 8")
        while "4 + 4 = 8" not in app.shown():
            await pilot.pause()
        assert pane.streaming
        pane.append_answer("\n\n1458")
        pane.finish()
        await pilot.pause()
        assert not pane.streaming
        assert (pane.last_thought, pane.body.sections[-1].text.text) == ("ones: 4 + 4 = 8", "1458")
        lines = app.shown().splitlines()
        assert lines[:3] == ["> What is 964 + 494?", "▾ thought (15 chars)", "ones: 4 + 4 = 8"]
        assert lines[3:5] == ["─ answer", "1458"]


async def test_thoughts_fold_to_a_line_with_their_tokens() -> None:
    app = Harness()
    async with app.run_test(size=(60, 12)) as pilot:
        app.pane.add_user("q")
        app.pane.add_assistant("1458", "a long thought\n" * 50, 118)
        await pilot.pause()
        await pilot.press("f")
        assert app.shown().splitlines()[:4] == ["> q", "▸ thought (118 tokens)", "─ answer", "1458"]
        app.pane.add_user("again")
        app.pane.add_assistant("7", "another thought")
        await pilot.pause()
        assert "another thought" not in app.shown()
        await pilot.press("f")
        assert "another thought" in app.shown()


async def test_the_view_sticks_to_the_end_unless_the_user_scrolled_up() -> None:
    app = Harness()
    async with app.run_test(size=(60, 12)) as pilot:
        pane = app.pane
        pane.begin_assistant()
        pane.append_answer("line\n" * 100)
        pane.body.flush()
        await pilot.pause()
        assert pane.body.scroll_offset.y == pane.body.max_scroll_y > 0
        await pilot.press("k", "k")
        place = pane.body.scroll_offset.y
        pane.append_answer("more\n" * 100)
        pane.body.flush()
        await pilot.pause()
        assert pane.body.scroll_offset.y == place
        await pilot.press("G")
        pane.append_answer("end\n" * 50)
        pane.finish()
        await pilot.pause()
        assert pane.body.scroll_offset.y == pane.body.max_scroll_y > place


async def test_an_error_keeps_what_came_and_offers_a_retry() -> None:
    app = Harness()
    async with app.run_test(size=(60, 12)) as pilot:
        pane = app.pane
        pane.add_user("q")
        await pilot.press("ctrl+r")
        assert app.retried == 0
        pane.begin_assistant()
        pane.append_answer("half an ans")
        pane.fail("The server answered 500.")
        await pilot.pause()
        assert pane.body.parts[-1] == "error"
        assert "half an ans" in app.shown()
        assert "✗ The server answered 500." in app.shown()
        assert "ctrl+r" in app.shown()
        await pilot.press("ctrl+r")
        assert app.retried == 1
        pane.drop_last_assistant()
        assert "error" not in pane.body.parts
        pane.add_assistant("whole answer")
        await pilot.pause()
        assert app.shown().split() == [">", "q", "whole", "answer"]
        pane.clear()
        await pilot.pause()
        assert app.shown().strip() == ""


async def test_a_narrow_pane_wraps_what_is_streamed_like_the_whole() -> None:
    app = Harness()
    text = "ones: 4 + 4 = 8, 中文字符 and \x1b[31mred\x1b[0m " * 40
    async with app.run_test(size=(30, 40)) as pilot:
        pane = app.pane
        pane.begin_assistant()
        for at in range(0, len(text), 7):
            pane.append_answer(text[at : at + 7])
            if at % 3 == 0:
                pane.body.flush()
        pane.finish()
        await pilot.pause()
        streamed = app.shown()
        pane.clear()
        pane.add_assistant(text)
        await pilot.pause()
        assert app.shown() == streamed
        assert "\x1b" not in streamed


async def test_title_and_status_are_not_read_as_markup() -> None:
    app = Harness()
    async with app.run_test(size=(60, 12)) as pilot:
        app.pane.set_status("44 tok/s [red]✓[/red]\x1b[2J")
        await pilot.pause()
        picture = app.export_screenshot().replace("&#160;", " ")
        assert "base [b]135M[/b]" in picture
        assert "[red]✓[/red]␛[2J" in picture


async def test_a_delta_draws_the_title_and_the_last_lines_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Harness()
    drawn: list[int] = []
    plain = StreamBody._draw

    def draw(self: StreamBody, row: int, width: int) -> Strip:
        drawn.append(row)
        return plain(self, row, width)

    async with app.run_test(size=(60, 12)) as pilot:
        app.pane.begin_assistant()
        app.pane.append_thought("one\ntwo\nthree\n")
        app.pane.body.flush()
        await pilot.pause()
        monkeypatch.setattr(StreamBody, "_draw", draw)
        app.pane.append_thought("four")
        app.pane.body.flush()
        await pilot.pause()
        assert set(drawn) == {0, 3, 4}  # the title counts characters; the line before may have been taken back
        assert "thought (18 chars)" in app.shown()


async def test_a_pane_out_of_sight_is_laid_out_for_the_width_it_has_when_seen() -> None:
    app = Harness()
    async with app.run_test(size=(60, 12)) as pilot:
        app.pane.display = False
        await pilot.pause()
        app.pane.add_user("What is 964 + 494?")
        app.pane.add_assistant(
            "1458", "\n".join(f"ones: {n} + 4 is worked out in a line of its own" for n in range(40))
        )
        await pilot.pause()
        assert app.pane.body.rows == 1 + 41 + 2  # a line each, not two cells a line
        app.pane.display = True
        await pilot.pause()
        await pilot.pause()
        assert app.shown().splitlines()[-3:] == ["ones: 39 + 4 is worked out in a line of its own", "─ answer", "1458"]


async def test_a_pane_is_drawn_again_whatever_place_it_was_at() -> None:
    app = Harness()
    async with app.run_test(size=(60, 12)) as pilot:
        for _ in range(2):  # as a vote or a regenerated answer does
            app.pane.clear()
            app.pane.add_user("q")
            app.pane.add_assistant("the answer\n" * 40, "a thought\n" * 40)
            await pilot.pause()
            app.pane.body.go_to_row(50, (2, 30))
            await pilot.pause()
            app.pane.body.rearrange()
            app.pane.body.scroll_to(y=0, animate=False)
            app.pane.body.go_to_row(0, (2, 0))
            await pilot.pause()
        assert app.pane.body.sections[-1].text.text.startswith("the answer")
