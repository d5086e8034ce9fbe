"""The app apart from its screens: the palette, and what it does in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.binding import Binding
from textual.filter import Monochrome, NoColor

import o1lab.app as app_module
from o1lab.app import MODES, LabApp
from o1lab.errors import LabError
from o1lab.ingest.importer import import_files
from o1lab.ingest.measuring import MEASURED_BY
from screens.base.upkeep import Upkeep
from store import Store, labelling, traces
from store.errors import BusyError
from store.filters import TraceQuery
from tests.support.compare_lab import shown, until
from tests.support.lab_seed import seeded_context
from tests.unit.ingest.test_import import lines

THOUGHT = "The tank drips slowly at the bottom.\nWait, is it the tap? Let me check: 4 * 3 = 12.\nSo the answer is 12."


async def test_the_app_starts_with_the_screen_of_its_mode_and_makes_no_other(tmp_path: Path) -> None:
    app = LabApp(seeded_context(tmp_path / "lab", 2), mode="distill")
    async with app.run_test() as pilot:
        assert [type(one).__name__ for one in app._screens()] == ["DistillScreen"]
        await pilot.press("f1")
        await until(pilot, lambda: app.current_mode == "lab", "the lab")
        assert {type(one).__name__ for one in app._screens()} == {"DistillScreen", "OverviewScreen"}


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


async def test_chains_that_come_while_the_app_is_open_are_measured_and_labelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SETTLE_S", "WATCH_S", "IDLE_S"):
        monkeypatch.setattr(app_module, name, 0.05)
    monkeypatch.setattr(LabApp, "watches", True)
    context = seeded_context(tmp_path / "lab", 4)
    rows = [{"problem": f"Tank {n}", "raw": f"<think>\n{THOUGHT}\n</think>\n\n12", "gold_answer": "12"} for n in (1, 2)]
    app = LabApp(context)
    async with app.run_test() as pilot:
        await until(pilot, lambda: labelling.by_whom(context.store.db)["pending"] == 0, "the first pass")
        for number, row in enumerate(rows, 1):
            await asyncio.to_thread(import_files, context.store, [lines(tmp_path / f"{number}.jsonl", row)])
            await until(pilot, lambda: labelled(context.store) == number, "that it is labelled")  # noqa: B023


def labelled(store: Store) -> int:
    return len(traces.page(store.db, TraceQuery.parse("moves-by:model drips")))


async def test_the_upkeep_waits_while_traces_come_and_does_not_repeat_what_it_cannot_do(tmp_path: Path) -> None:
    context = seeded_context(tmp_path / "lab", 2)
    told: list[str] = []
    upkeep = Upkeep(context, told.append, lambda: False)
    upkeep.catch_up()
    upkeep.poll()
    told.clear()
    for number in (1, 2):
        row = {"problem": f"Tank {number}", "raw": f"<think>\n{THOUGHT}\n</think>\n\n12"}
        import_files(context.store, [lines(tmp_path / f"{number}.jsonl", row)])
        upkeep.poll()  # it differs from the last look: an import runs
    assert labelled(context.store) == 0
    upkeep.poll()
    assert labelled(context.store) == 2
    assert told == ["Measuring 2 traces in the background.", "Measured 2 traces. Reload a list to see the new values."]
    context.lab.moves_classifier.write_bytes(b"damaged")
    upkeep.poll()
    with pytest.raises(LabError, match="cannot be used"):
        upkeep.poll()
    upkeep.poll()  # it has been told
    context.lab.moves_classifier.unlink()
    upkeep.poll()
    upkeep.poll()
    assert labelling.by_whom(context.store.db)["pending"] == 0


async def test_the_upkeep_tries_again_after_the_database_was_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = seeded_context(tmp_path / "lab", 2)
    upkeep = Upkeep(context, lambda _: None, lambda: False)
    upkeep.catch_up()
    upkeep.poll()
    row = {"problem": "Tank 1", "raw": f"<think>\n{THOUGHT}\n</think>\n\n12"}
    import_files(context.store, [lines(tmp_path / "1.jsonl", row)])
    upkeep.poll()
    with monkeypatch.context() as busy:
        busy.setattr(Upkeep, "_measure", raising(BusyError("Another process writes.")))
        for _ in range(2):
            with pytest.raises(BusyError):
                upkeep.poll()
    upkeep.poll()
    assert labelled(context.store) == 1


async def test_an_error_of_the_upkeep_is_shown_once_and_does_not_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = LabApp(seeded_context(tmp_path / "lab", 2))
    async with app.run_test() as pilot:
        for error in (ValueError("odd"), ValueError("odd"), BusyError("Another process writes.")):
            await asyncio.to_thread(app._reported, raising(error))
            await pilot.pause()
        shown = [notification.message for notification in app._notifications]
        assert shown == ["ValueError('odd')", "Another process writes."]


def raising(error: Exception) -> Callable[..., int]:
    """A function that raises an error."""

    def fail(*_: object) -> int:
        raise error

    return fail


async def test_the_palette_goes_to_each_screen_and_has_its_actions(tmp_path: Path) -> None:
    app = LabApp(seeded_context(tmp_path / "lab", 4))
    async with app.run_test(size=(120, 40)) as pilot:
        for key, mode, label, *_ in reversed(MODES):
            commands = {command.title: command for command in app.get_system_commands(app.screen)}
            await commands[f"{label} ({key.replace(',', ', ')})"].callback()
            await until(pilot, lambda mode=mode: app.current_mode == mode and app.screen.is_running, label)
            assert app.screen is app.get_screen_stack(mode)[-1]
            check_commands(app)


def check_commands(app: LabApp) -> None:
    """Check that the palette has each mode and each declared action of the screen once, with help for people."""
    commands = list(app.get_system_commands(app.screen))
    titles = [command.title for command in commands]
    assert len(set(titles)) == len(titles)
    assert [f"{one.label} ({one.key.replace(',', ', ')})" for one in MODES] == titles[: len(MODES)]
    assert not [command.title for command in commands if not command.help or command.help.startswith("On ")]
    own = {active.binding.description for active in app.screen.active_bindings.values() if active.enabled}
    screen = type(app.screen)
    declared = {binding.description for binding in screen.BINDINGS if isinstance(binding, Binding)} & own
    assert declared, screen
    assert not [name for name in declared if name and not any(title.startswith(f"{name} (") for title in titles)]
    assert not any(type(node).__name__ in command.help for command in commands for node in app.screen.query("*"))


async def test_the_screenshot_of_the_palette_needs_no_folder_for_downloads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # it does not exist
    monkeypatch.setenv("XDG_DOWNLOAD_DIR", str(tmp_path / "home" / "Downloads"))
    context = seeded_context(tmp_path / "lab", 4)
    app = LabApp(context)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        commands = {command.title: command for command in app.get_system_commands(app.screen)}
        commands["Screenshot"].callback()
        await until(pilot, lambda: "Saved the screenshot" in shown(pilot), "where it is")
        [picture] = context.lab.exports.glob("*.svg")
        assert "<svg" in picture.read_text("utf-8")
        app.deliver_screenshot(path=str(tmp_path / "lab" / "lab.db"))  # not a folder
        await until(pilot, lambda: "No screenshot" in shown(pilot), "that it failed")


@pytest.mark.parametrize("theme", ["ansi-dark", "ansi-light"])
async def test_themes_of_the_terminal_leave_its_colours_alone_and_without_colours_none_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theme: str
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = LabApp(seeded_context(tmp_path / "lab", 4), mode="traces", theme=theme)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "add:" in shown(pilot), "the list")
        assert app.current_theme.name == theme and app.native_ansi_color
        [colours] = [one for one in app._filters if isinstance(one, NoColor | Monochrome)]
        assert isinstance(colours, NoColor)  # not the one that turns colours into greys
