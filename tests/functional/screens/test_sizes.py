"""Small terminals: every screen works at 60x18 and in half of a split terminal, and nothing stops below that."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1lab.app import MODES, LabApp
from screens.base.screen import LabScreen
from screens.traces.screen import TracesScreen
from tests.support.compare_lab import shown, until
from tests.support.lab_seed import seeded_context


async def test_screens_are_used_in_small_terminals_and_survive_tiny_ones(tmp_path: Path) -> None:
    app = LabApp(seeded_context(tmp_path / "lab", 4))
    async with app.run_test(size=(60, 18)) as pilot:
        for mode in MODES:
            await app.switch_mode(mode.name)
            title = type(app.screen).TITLE
            assert isinstance(app.screen, LabScreen) and title
            await until(pilot, lambda title=title: title in shown(pilot).splitlines()[0], "the heading")
            await pilot.resize_terminal(80, 12)
            await until(pilot, lambda title=title: title not in shown(pilot).splitlines()[0], "its line used otherwise")
            assert "too small" not in shown(pilot)
            for width, height in ((20, 5), (1, 1), (39, 30), (200, 7)):
                await pilot.resize_terminal(width, height)
                await until(pilot, lambda: app.screen.has_class("-too-small"), "that it is too small")
            await pilot.resize_terminal(20, 5)
            await until(pilot, lambda: "20x5 is too small:" in shown(pilot) and "ctrl+q leaves." in shown(pilot), "why")
            await pilot.resize_terminal(60, 18)
            await until(pilot, lambda title=title: title in shown(pilot).splitlines()[0], "the screen again")


@pytest.mark.parametrize(
    ("size", "lines"),
    [((80, 12), 8), ((120, 12), 7)]
    + [pytest.param(*case, marks=pytest.mark.exhaustive) for case in (((60, 12), 8), ((60, 18), 9))],
)
async def test_the_reader_keeps_most_lines_for_the_chain(tmp_path: Path, size: tuple[int, int], lines: int) -> None:
    app = LabApp(seeded_context(tmp_path / "lab", 4), mode="traces")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, TracesScreen) and app.screen.shown, "the chain")
        screen = app.screen
        assert isinstance(screen, TracesScreen)
        await pilot.press("enter")
        await until(pilot, lambda: screen.reader.has_focus_within, "the reader")
        await pilot.pause()
        assert screen.reader.body.size.height >= lines
        await pilot.press("i")  # the statement, which is folded away in half a terminal
        await until(pilot, lambda: screen.query_one("#statement").size.height > 0, "the statement")
