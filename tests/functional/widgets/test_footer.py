"""The footer: it follows the focus, and is left alone while its keys stay the same."""

from __future__ import annotations

from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets._footer import FooterKey

from o1lab.widgets.key_footer import KeyFooter
from tests.support.compare_lab import until


class Pane(Widget, can_focus=True):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("a", "accept", "Accept")]


class Other(Widget, can_focus=True):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("f", "fold", "Fold"), Binding("h", "hidden", "Hidden", show=False)]


class Panes(App[int]):
    def compose(self) -> ComposeResult:
        yield Pane(id="one")
        yield Pane(id="two")
        yield Other(id="three")
        yield KeyFooter(show_command_palette=False)


def keys(pilot: Pilot[int]) -> list[FooterKey]:
    return list(pilot.app.query(FooterKey))


async def focus(pilot: Pilot[int], name: str) -> None:
    pilot.app.query_one(f"#{name}").focus()
    await until(pilot, lambda: pilot.app.query_one(f"#{name}").has_focus, "the focus")
    for _ in range(3):  # the footer is asked after the next refresh
        await pilot.pause()


async def test_the_footer_shows_what_the_keys_do_where_the_focus_is() -> None:
    async with Panes().run_test() as pilot:
        await focus(pilot, "one")
        await until(pilot, lambda: [key.description for key in keys(pilot)] == ["Accept"], "the pane's keys")
        await focus(pilot, "three")
        await until(pilot, lambda: [key.description for key in keys(pilot)] == ["Fold"], "the other's keys")


async def test_the_footer_is_not_made_anew_for_the_same_keys() -> None:
    async with Panes().run_test() as pilot:
        await focus(pilot, "one")
        await until(pilot, lambda: [key.description for key in keys(pilot)] == ["Accept"], "the pane's keys")
        before = keys(pilot)
        await focus(pilot, "two")
        assert keys(pilot) == before
