"""What the screens remember of a lab: the app is closed and opened again."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot

from o1lab.app import LabApp
from o1lab.paths import Lab
from o1lab.remembered import SavedFilters, session_file
from screens.base.context import open_context
from screens.distill.screen import DistillScreen
from screens.filtering import filter_bar
from screens.filtering.saved import SavedFiltersDialog
from screens.traces.screen import TracesScreen
from store.filters import TraceQuery
from tests.support.compare_lab import Recording, filter_by, paste, shown, until
from tests.support.lab_seed import make_lab

SIZE = (120, 30)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filter_bar, "PAUSE_S", 0.0)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_lab(tmp_path / "lab", 12)


def app_on(lab: Lab, mode: str = "traces", *, fresh: bool = False) -> Recording:
    return Recording(open_context(lab, fresh=fresh), mode=mode)


async def traces_of(pilot: Pilot[int]) -> TracesScreen:
    """The Traces screen once it shows a chain."""
    app = pilot.app
    await until(pilot, lambda: isinstance(app.screen, TracesScreen) and app.screen.shown is not None, "a chain")
    assert isinstance(app.screen, TracesScreen)
    return app.screen


async def test_filters_sort_cursor_theme_and_mode_are_as_they_were(lab: Lab) -> None:
    async with app_on(lab).run_test(size=SIZE) as pilot:
        screen = await traces_of(pilot)
        await filter_by(pilot, "verdict:wrong")
        await until(pilot, lambda: screen.query_now.source == "verdict:wrong", "the first filter")
        await filter_by(pilot, "verdict:correct sort:-chars")
        await until(pilot, lambda: screen.table.total and screen.query_now.descending, "the filter")
        total = screen.table.total
        await pilot.press("j", "j")
        await until(pilot, lambda: screen.table.index == 2 and screen.shown is not None, "the third row")
        kept = screen.table.wanted
        pilot.app.theme = "nord"
    async with app_on(lab).run_test(size=SIZE) as pilot:
        screen = await traces_of(pilot)
        await until(pilot, lambda: screen.table.total == total and screen.table.target == kept, "the same trace")
        assert screen.query_now.source == screen.filter_bar.input.value == "verdict:correct sort:-chars"
        assert (screen.query_now.sort, screen.query_now.descending) == ("chars", True)
        assert screen.shown is not None and screen.shown.row.id == kept
        assert pilot.app.theme == "nord"
        await pilot.press("slash", "up", "up")
        assert screen.filter_bar.input.value == "verdict:wrong"
        await pilot.press("down")
        assert screen.filter_bar.input.value == "verdict:correct sort:-chars"
        await pilot.app.switch_mode("distill")
    session = open_context(lab).session
    assert (session.get("mode", ""), session.get("theme", "")) == ("distill", "nord")
    async with app_on(lab, fresh=True).run_test(size=SIZE) as pilot:
        screen = await traces_of(pilot)
        assert (screen.query_now.source, screen.table.total) == ("", 12)
        assert pilot.app.theme != "nord"


async def test_a_fresh_start_leaves_what_is_remembered(lab: Lab) -> None:
    session = open_context(lab).session
    session.set("mode", "traces")
    session.save()
    app = app_on(lab, "lab", fresh=True)
    async with app.run_test(size=SIZE):
        assert not app.context.session.unsaved
    assert open_context(lab).session.get("mode", "") == "traces"


async def test_the_terminal_s_theme_wins(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    session = open_context(lab).session
    session.set("theme", "nord")
    session.save()
    monkeypatch.setenv("TEXTUAL_THEME", "textual-light")
    async with app_on(lab, "lab").run_test(size=SIZE) as pilot:
        assert pilot.app.theme != "nord"


async def test_a_filter_is_saved_used_listed_and_deleted(lab: Lab) -> None:
    filters = SavedFilters(lab)
    async with app_on(lab).run_test(size=SIZE) as pilot:
        screen = await traces_of(pilot)
        await pilot.press("slash")
        await paste(pilot, "verdict:wrong")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "Name of the filter verdict:wrong" in shown(pilot), "the question")
        await pilot.press(*"bad", "enter")
        await until(pilot, lambda: "use it as saved:bad" in shown(pilot), "the confirmation")
        assert filters.of("traces") == {"bad": "verdict:wrong"}, "it was on the disk before"
        assert screen.focused is screen.filter_bar.input
        await filter_by(pilot, "reflect>0 saved:bad")
        await until(pilot, lambda: screen.query_now.source == "reflect>0 verdict:wrong", "the filter of the name")
        assert screen.filter_bar.input.value == "reflect>0 verdict:wrong"
        await pilot.press("slash", "ctrl+o")
        await until(pilot, lambda: isinstance(pilot.app.screen, SavedFiltersDialog), "the list")
        await until(pilot, lambda: "bad  verdict:wrong" in shown(pilot), "the filter in it")
        await pilot.press("enter")
        await until(pilot, lambda: screen.query_now.source == "verdict:wrong", "the chosen filter")
        await pilot.press("slash", "ctrl+o")
        await until(pilot, lambda: "bad  verdict:wrong" in shown(pilot), "the list again")
        await pilot.press("ctrl+x")
        await until(pilot, lambda: "No filter is saved yet" in shown(pilot), "the empty list")
        assert filters.of("traces") == {}
        await pilot.press("escape")
        await until(pilot, lambda: screen.focused is screen.filter_bar.input, "the bar")
        await pilot.press("escape")
        assert screen.query_now.source == "verdict:wrong"

        # The keys work in the list, too.
        await until(pilot, lambda: screen.table.has_focus, "the list")
        await pilot.press("ctrl+s", *"hard", "enter")
        await until(pilot, lambda: filters.of("traces") == {"hard": "verdict:wrong"}, "the saved filter")
        await until(pilot, lambda: screen.focused is screen.filter_bar.input, "the bar")
        await pilot.press("escape")
        await until(pilot, lambda: screen.table.has_focus, "the list again")
        assert screen.query_now.source == "verdict:wrong", "escape restores no older filter"
        await filter_by(pilot, "verdict:correct")
        await until(pilot, lambda: screen.query_now.source == "verdict:correct" and screen.table.has_focus, "another")
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "hard  verdict:wrong" in shown(pilot), "the filters")
        await pilot.press("enter")
        await until(pilot, lambda: screen.query_now.source == "verdict:wrong", "the chosen filter")
        assert not screen.context.store.db.execute("SELECT count(*) FROM annotations").fetchone()[0]


async def test_a_filter_that_another_program_deleted_is_named(lab: Lab) -> None:
    filters = SavedFilters(lab)
    filters.save(TraceQuery, "bad", "verdict:wrong")
    async with app_on(lab).run_test(size=SIZE, notifications=True) as pilot:
        await traces_of(pilot)
        await pilot.press("slash", "ctrl+o")
        await until(pilot, lambda: "bad  verdict:wrong" in shown(pilot), "the list")
        filters.delete("traces", "bad")
        await pilot.press("ctrl+x")
        await until(pilot, lambda: "There is no saved filter 'bad'" in shown(pilot), "the error")
        assert isinstance(pilot.app.screen, SavedFiltersDialog)


async def test_escape_after_the_dialogs_restores_the_filter_from_before(lab: Lab) -> None:
    SavedFilters(lab).save(TraceQuery, "bad", "verdict:wrong")
    async with app_on(lab).run_test(size=SIZE) as pilot:
        screen = await traces_of(pilot)
        await pilot.press("slash", *"wait", "ctrl+o")
        await until(pilot, lambda: "bad  verdict:wrong" in shown(pilot), "the list")
        await pilot.press("escape")
        await until(pilot, lambda: screen.focused is screen.filter_bar.input, "the bar")
        assert screen.filter_bar.input.value == "wait"
        await pilot.press("escape")
        await until(pilot, lambda: screen.query_now.source == "" and screen.table.total == 12, "all traces")


async def test_a_damaged_file_is_reported_and_ignored(lab: Lab) -> None:
    path = session_file(lab, "tester").path
    path.parent.mkdir()
    path.write_text('{"traces.filter": ')
    app = app_on(lab)
    async with app.run_test(size=SIZE) as pilot:
        await traces_of(pilot)
        assert any("it is not JSON" in one and "the screens start fresh" in one for one in app.said)


async def test_a_filter_that_is_no_longer_valid_is_reported(lab: Lab) -> None:
    session = open_context(lab).session
    session.set("traces.filter", "color:red")
    session.set("traces.cursor", "0123")
    session.save()
    app = app_on(lab)
    async with app.run_test(size=SIZE) as pilot:
        screen = await traces_of(pilot)
        assert screen.table.total == 12
        assert any("The last filter, color:red, is not used. Unknown field 'color'" in one for one in app.said)


async def test_the_border_between_panes_is_where_it_was(lab: Lab) -> None:
    async with app_on(lab).run_test(size=(140, 30)) as pilot:
        screen = await traces_of(pilot)
        before = screen.table.outer_size.width
        await pilot.press(*["left_parenthesis"] * 4)
        await until(pilot, lambda: screen.table.outer_size.width < before - 20, "a narrower list")
        await pilot.press("enter", "right_parenthesis")  # also from the chain
        await until(pilot, lambda: screen.table.outer_size.width > before - 25, "a wider one")
        await pilot.pause()
        kept = screen.table.outer_size.width
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: screen.has_class("-narrow"), "one pane")
        await pilot.press("left_parenthesis", "escape")
        await until(pilot, lambda: screen.table.outer_size.width == 80, "the whole width")
    async with app_on(lab).run_test(size=(140, 30)) as pilot:
        screen = await traces_of(pilot)
        await until(pilot, lambda: screen.table.outer_size.width == kept, "the same width")


async def test_the_pool_is_as_it_was(lab: Lab) -> None:
    async with app_on(lab, "distill").run_test(size=SIZE) as pilot:
        screen = pilot.app.screen
        assert isinstance(screen, DistillScreen)
        await until(pilot, lambda: screen.pool.table.total > 2 and screen.pool.shown is not None, "the problems")
        await filter_by(pilot, "has:answer")
        await until(pilot, lambda: screen.pool.query_now.source == "has:answer", "the filter")
        await pilot.press("j", "j")
        await until(pilot, lambda: screen.pool.table.cursor == 2, "the third problem")
        await until(pilot, lambda: pilot.app.context.session.get("problems.row", 0) == 2, "the row")  # type: ignore[attr-defined]
    async with app_on(lab, "distill").run_test(size=SIZE) as pilot:
        screen = pilot.app.screen
        assert isinstance(screen, DistillScreen)
        await until(pilot, lambda: screen.pool.table.cursor == 2, "the third problem again")
        assert screen.pool.filter_text == screen.pool.filter_bar.input.value == "has:answer"


def test_the_app_opens_in_the_mode_it_was_closed_in(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from o1lab import app as module

    modes: list[str] = []
    monkeypatch.setattr(module.sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(module.sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(LabApp, "run", lambda app: modes.append(app.current_mode))
    session = open_context(lab).session
    for mode in ("traces", "a mode of a newer version"):
        session.set("mode", mode)
        session.save()
        module.run_app(lab)
    module.run_app(lab, fresh=True)
    assert modes == ["traces", "lab", "lab"]
