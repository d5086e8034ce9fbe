"""What all screens share: handlers, headings, reading the database in a thread."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from textual import events

from o1lab.app import LabApp
from o1lab.errors import LabError
from o1lab.widgets.columns import Page
from o1lab.widgets.paged_table import PagedTable
from screens.base.screen import LabScreen, reported
from store import traces
from store.errors import StoreError
from store.filters import TraceQuery
from store.sqlite import Database
from tests.support.compare_lab import shown, until
from tests.support.lab_seed import seeded_context

SCREENS = ("lab", "traces", "distill", "train", "compare", "evaluate")


async def test_a_resize_event_calls_the_base_handler_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[events.Resize] = Counter()  # Textual itself sends a screen more than one event for a resize
    handler = LabScreen.on_resize

    def counted(screen: LabScreen, event: events.Resize) -> None:
        calls[event] += screen is app.screen and event.size.width == 100
        handler(screen, event)

    monkeypatch.setattr(LabScreen, "on_resize", counted)
    app = LabApp(seeded_context(tmp_path / "lab", 4))
    async with app.run_test(size=(120, 40)) as pilot:
        for mode in SCREENS:
            await app.switch_mode(mode)
            await pilot.resize_terminal(120, 40)
            await until(pilot, lambda: app.screen.is_running and app.screen.size.width == 120, "the screen")
            calls.clear()
            await pilot.resize_terminal(100, 30)
            await until(pilot, calls.total, "the resize")
            await pilot.pause()
            assert set((+calls).values()) == {1}, mode


async def test_the_heading_keeps_its_right_end_at_the_edge(tmp_path: Path) -> None:
    app = LabApp(seeded_context(tmp_path / "lab", 4))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = app.screen
        assert isinstance(screen, LabScreen)
        screen.set_heading("4 traces")
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: shown(pilot).splitlines()[0].endswith(" " * 40 + "4 traces "), "the wider heading")


async def test_read_runs_a_query_in_a_thread_over_a_connection_of_that_thread(tmp_path: Path) -> None:
    context = seeded_context(tmp_path / "lab", 4)

    def query(db: Database, factor: int, *, more: int) -> tuple[Any, int, int]:
        return db, threading.get_ident(), factor * traces.count(db, TraceQuery.parse("")) + more

    def broken(db: Database) -> None:
        db.execute("SELECT nothing FROM nowhere")

    app = LabApp(context)
    async with app.run_test():
        screen = app.screen
        assert isinstance(screen, LabScreen)
        db, thread, number = await screen.read(query, 10, more=2)
        assert db is not context.store.db and thread != threading.get_ident() and number == 42
        with pytest.raises(StoreError):
            await screen.read(broken)


async def test_a_page_that_cannot_be_read_is_reported_by_the_screen(tmp_path: Path) -> None:
    def broken(db: Database, offset: int, limit: int) -> Page:
        raise StoreError("The page cannot be read.")

    app = LabApp(seeded_context(tmp_path / "lab", 4), mode="traces")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "Sky-T1" in shown(pilot) or "solver" in shown(pilot), "the list")
        screen = app.screen
        assert isinstance(screen, LabScreen)
        screen.query_one(PagedTable).set_source(screen.pages(broken))
        await until(pilot, lambda: app._notifications, "the message")
        assert [one.message for one in app._notifications] == ["The page cannot be read."]


async def test_reported_shows_errors_and_passes_programming_errors_on_in_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @reported
    async def work(screen: LabScreen, error: Exception) -> None:
        raise error

    app = LabApp(seeded_context(tmp_path / "lab", 4))
    async with app.run_test() as pilot:
        screen = app.screen
        assert isinstance(screen, LabScreen)
        for number, error in enumerate((LabError("The lab is gone."), StoreError("It is busy."), OSError("No disk."))):
            await work(screen, error)
            await until(pilot, lambda count=number: len(app._notifications) == count + 1, "the report")
        with pytest.raises(KeyError):
            await work(screen, KeyError("name"))
        monkeypatch.setattr(type(app), "is_headless", False)  # in a terminal one fault does not end the app
        await work(screen, KeyError("name"))
        await until(
            pilot, lambda: any("Something went wrong" in one.message for one in app._notifications), "the report"
        )
