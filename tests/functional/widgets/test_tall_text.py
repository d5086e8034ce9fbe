"""A text that is told what to say while a layout is under way is as tall as what it says."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.widgets import Static

from o1lab.widgets.text_pane import TallText


class Texts(App[int]):
    CSS = "Static { height: auto; }"

    def compose(self) -> ComposeResult:
        yield TallText("", id="text")


async def test_it_grows_with_a_text_that_comes_between_a_layout_and_the_widgets_idle_moment() -> None:
    async with Texts().run_test() as pilot:
        text = pilot.app.query_one("#text", Static)
        assert text.size.height == 1
        text.refresh(layout=True)
        pilot.app.screen._refresh_layout()  # what another widget's request brings about
        text.update("one\ntwo\nthree")
        await pilot.pause()
        await pilot.pause()
        assert text.size.height == 3
