"""The filter bar that all lists share: what is posted, what escape restores, the history."""

from __future__ import annotations

from typing import Any

import pytest
from textual import on
from textual.app import App, ComposeResult
from textual.events import AppBlur, AppFocus
from textual.widgets import Input, Static

from screens.filtering import filter_bar
from screens.filtering.filter_bar import FilterBar
from store.filters import TraceQuery
from tests.support.compare_lab import until


class Host(App[None]):
    """A bar over something that stands for its list."""

    def __init__(self) -> None:
        super().__init__()
        self.posted: list[tuple[str, bool, bool]] = []

    def compose(self) -> ComposeResult:
        yield FilterBar(TraceQuery, "#list", placeholder="filter", id="filter")
        yield Input(id="list")

    @property
    def bar(self) -> FilterBar:
        return self.query_one(FilterBar)

    @property
    def help(self) -> str:
        return str(self.query_one("#filter-help", Static).content)

    @on(FilterBar.Changed)
    def _changed(self, event: FilterBar.Changed) -> None:
        self.posted.append((event.query.source, event.final, event.restored))

    async def use(self, pilot: Any, text: str) -> None:
        """Type a filter and press enter."""
        self.set_focus(self.bar.editable())
        await pilot.press("ctrl+u", *text, "enter")
        await until(pilot, lambda: self.posted and self.posted[-1] == (text, True, False), "the filter")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filter_bar, "PAUSE_S", 0.0)


async def test_escape_after_a_click_leaves_the_input_as_it_was() -> None:
    app = Host()
    async with app.run_test() as pilot:
        assert app.focused is app.query_one("#list")  # a screen that opens focuses its list
        await pilot.click("#filter-line")
        assert app.focused is app.bar.input
        await pilot.press("escape")
        await until(pilot, lambda: app.posted == [("", True, True)], "the filter before")
        assert app.focused is app.query_one("#list")


async def test_what_is_typed_is_posted_and_escape_restores_the_filter_before() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await app.use(pilot, "wait")
        app.set_focus(app.bar.editable())
        await pilot.press("end", *" chars>10")
        await until(pilot, lambda: ("wait chars>10", False, False) in app.posted, "the list follows")
        await pilot.press("escape")
        await until(pilot, lambda: app.posted[-1] == ("wait", True, True), "the filter before")
        assert app.bar.input.value == app.bar.filter.source == "wait"


async def test_an_open_quotation_mark_is_closed_by_enter_and_not_while_typing() -> None:
    app = Host()
    async with app.run_test() as pilot:
        app.set_focus(app.bar.editable())
        await pilot.press(*'"wait')
        await until(pilot, lambda: ('"wait"', False, False) in app.posted, "the list follows")
        assert (app.bar.input.value, app.bar.input.cursor_position) == ('"wait', 5)
        await pilot.press(*" so", "enter")
        await until(pilot, lambda: app.posted[-1] == ('"wait so"', True, False), "the filter")
        assert app.bar.input.value == '"wait so"'


async def test_what_is_typed_replaces_the_filter_unless_one_goes_to_its_end() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await app.use(pilot, "wait")
        app.set_focus(app.bar.editable())
        await pilot.press(*"hmm", "enter")
        await until(pilot, lambda: app.posted[-1] == ("hmm", True, False), "the new filter")
        app.set_focus(app.bar.editable())
        await pilot.press("end", "m", "enter")
        await until(pilot, lambda: app.posted[-1] == ("hmmm", True, False), "the longer filter")


async def test_a_filter_that_cannot_be_read_is_explained_and_the_input_stays() -> None:
    app = Host()
    async with app.run_test() as pilot:
        app.set_focus(app.bar.editable())
        await pilot.press(*"verdit:wrong", "enter")
        await until(pilot, lambda: app.help == "! Unknown field 'verdit'. Did you mean verdict?", "what is wrong")
        assert app.focused is app.bar.input and app.bar.has_class("-wrong")
        assert all(not final for _, final, _ in app.posted)
        await pilot.press("ctrl+u", *"verdict:")
        await until(pilot, lambda: app.help.startswith("verdict: correct"), "the field")
        assert not app.bar.has_class("-wrong")
        await pilot.press("i", "tab", "enter")
        await until(pilot, lambda: app.posted[-1] == ("verdict:incorrect", True, False), "the completion")


async def test_up_and_down_show_the_filters_used_before() -> None:
    app = Host()
    async with app.run_test() as pilot:
        for text in ("one", "two", "two"):
            await app.use(pilot, text)
        app.set_focus(app.bar.editable())
        values = []
        for key in ("up", "up", "up", "down", "down"):
            await pilot.press(key)
            values.append(app.bar.input.value)
        assert values == ["two", "one", "one", "two", ""]
        await pilot.press("escape")
        assert app.bar.input.value == "two"


async def test_the_input_keeps_its_place_while_the_terminal_is_left() -> None:
    app = Host()
    async with app.run_test() as pilot:
        app.set_focus(app.bar.editable())
        await pilot.press(*"wai")
        app.post_message(AppBlur())
        await until(pilot, lambda: app.focused is None, "the blur")
        app.post_message(AppFocus())
        await until(pilot, lambda: app.focused is app.bar.input, "the focus")
        await pilot.press("t", "escape")
        await until(pilot, lambda: app.bar.input.value == "", "the filter before")


async def test_a_value_that_the_lab_does_not_have_is_named_with_those_that_it_has() -> None:
    app = Host()
    async with app.run_test() as pilot:
        app.bar.set_values({"label": ["slip", "wrong turn"], "by": ["Bo Li"]})
        app.set_focus(app.bar.editable())
        await pilot.press(*"label:")
        await until(pilot, lambda: app.help.endswith("here: slip, wrong turn"), "the labels of the lab")
        await pilot.press(*"sl")
        await until(pilot, lambda: not app.bar.has_class("-wrong"), "a value that may become longer is not wrong")
        await pilot.press("enter")
        expected = "! The lab has no label 'sl'. Did you mean 'slip'? It has slip, wrong turn."
        await until(pilot, lambda: app.help == expected, "what is wrong")
        assert app.posted[-1] == ("label:sl", True, False)  # the list says that nothing matches
        app.bar.set_values({"label": ["slip", "sl"]})
        assert not app.bar.has_class("-wrong")
