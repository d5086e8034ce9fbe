"""The app apart from its screens: the palette, and what it does in the background."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.binding import Binding

from o1lab.app import MODES, LabApp
from o1lab.ingest.measuring import MEASURED_BY
from screens.base.screen import LabScreen
from store import traces
from store.filters import TraceQuery
from tests.support.compare_lab import until
from tests.support.lab_seed import seeded_context


async def test_traces_of_an_older_segmenter_are_measured_in_the_background(tmp_path: Path) -> None:
    context = seeded_context(tmp_path / "lab", 4)
    with context.store.db.atomic():
        context.store.db.conn.execute("UPDATE traces SET measured_by = 'moves 0, measures 1, verifier 1'")

    def measured() -> bool:
        return all(row.measured_by == MEASURED_BY for row in traces.page(context.store.db, TraceQuery.parse("")))

    assert not measured()
    app = LabApp(context)
    async with app.run_test() as pilot:
        await until(pilot, measured, "the traces were never measured")
        await until(pilot, lambda: any("Measured 4" in one.message for one in app._notifications), "no word of it")


@pytest.mark.parametrize("mode", [mode for _, mode, _ in MODES])
async def test_the_palette_has_the_actions_of_each_screen(mode: str, tmp_path: Path) -> None:
    app = LabApp(seeded_context(tmp_path / "lab", 4), mode=mode)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, LabScreen) and app.screen.is_running, "the screen")
        commands = list(app.get_system_commands(app.screen))
        titles = [command.title for command in commands]
        assert len(set(titles)) == len(titles)
        assert [f"{label} ({key})" for key, _, label in MODES] == titles[: len(MODES)]
        own = {active.binding.description for active in app.screen.active_bindings.values() if active.enabled}
        screen = type(app.screen)
        declared = {binding.description for binding in screen.BINDINGS if isinstance(binding, Binding)} & own
        assert declared, screen
        assert not [name for name in declared if name and not any(title.startswith(f"{name} (") for title in titles)]
        assert not any(type(node).__name__ in command.help for command in commands for node in app.screen.query("*"))


async def test_the_palette_goes_to_each_screen(tmp_path: Path) -> None:
    app = LabApp(seeded_context(tmp_path / "lab", 4))
    async with app.run_test(size=(120, 40)) as pilot:
        for key, mode, label in reversed(MODES):
            commands = {command.title: command for command in app.get_system_commands(app.screen)}
            await commands[f"{label} ({key})"].callback()
            await until(pilot, lambda mode=mode: app.current_mode == mode, label)
            assert app.screen is app.get_screen_stack(mode)[-1]
