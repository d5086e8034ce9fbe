"""The footer: it follows the focus, and is left alone while its keys stay the same."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets._footer import FooterKey

from o1lab.app import LabApp
from o1lab.widgets.keys import KeyFooter
from screens.traces.screen import TracesScreen
from tests.support.compare_lab import shown, until
from tests.support.lab_seed import seeded_context


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


async def test_the_footer_is_not_made_again_for_the_same_keys() -> None:
    async with Panes().run_test() as pilot:
        await focus(pilot, "one")
        await until(pilot, lambda: [key.description for key in keys(pilot)] == ["Accept"], "the pane's keys")
        before = keys(pilot)
        await focus(pilot, "two")
        assert keys(pilot) == before


class Many(Widget, can_focus=True):
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(letter, f"do('{letter}')", f"Action {letter}") for letter in "abcdefgh"),
        Binding("x", "fold('x')", "Fold x", group=Binding.Group("Fold", compact=True)),
        Binding("y", "fold('y')", "Fold y", group=Binding.Group("Fold", compact=True)),
        Binding("v", "select", "Select"),
        Binding("question_mark", "help", "Help", key_display="?"),
    ]


class ManyKeys(App[int]):
    def compose(self) -> ComposeResult:
        yield Many(id="one")
        yield KeyFooter(show_command_palette=False, compact=True)


async def test_keys_that_do_not_fit_are_left_out_whole_and_the_help_key_says_so() -> None:
    async with ManyKeys().run_test(size=(60, 5)) as pilot:
        await focus(pilot, "one")
        await until(pilot, lambda: "? Help …" in shown(pilot), "the footer")
        assert shown(pilot).splitlines()[-1].rstrip() == "a Action a b Action b c Action c d Action d ? Help …"
        await pilot.resize_terminal(130, 5)
        await until(pilot, lambda: shown(pilot).rstrip().endswith("? Help"), "the wider footer")
        assert "xy Fold v Select ? Help" in shown(pilot)  # the name of the group and the next key are apart


async def test_the_footer_has_no_keys_of_a_selection_when_another_chain_is_shown(tmp_path: Path) -> None:
    app = LabApp(seeded_context(tmp_path / "lab", 4), mode="traces")
    async with app.run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, TracesScreen) and app.screen.shown, "the chain")
        screen = app.screen
        assert isinstance(screen, TracesScreen) and screen.shown is not None
        first = screen.shown.row.id
        await pilot.press("enter", "v")
        await until(pilot, lambda: "Take selection" in shown(pilot), "selecting")
        await pilot.press("full_stop")
        await until(pilot, lambda: screen.shown is not None and screen.shown.row.id != first, "the next chain")
        await until(pilot, lambda: "Take selection" not in shown(pilot), "the footer")
