"""How the Traces screen looks, at 80x24 and 120x40."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from o1lab.app import LabApp
from screens.traces.dialogs import BulkDialog
from screens.traces.screen import TracesScreen
from screens.traces.side_by_side import Column, SideBySideScreen
from tests.functional.screens.test_traces import ready, until
from tests.support.compare_lab import filter_by
from tests.support.lab_seed import seeded_context

SIZES = [(80, 24), (120, 40)]


async def _settled(pilot: Pilot[int]) -> TracesScreen:
    screen = await ready(pilot, pilot.app)  # type: ignore[arg-type]
    await until(pilot, lambda: screen.table.total > 0 and not screen.table.loading)
    await until(pilot, lambda: "to do" in str(screen.query_one("#heading").content))  # type: ignore[attr-defined]
    return screen


@pytest.mark.parametrize("size", SIZES)
def test_list(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        await pilot.press("j")
        await pilot.pause()

    app = LabApp(seeded_context(tmp_path / "lab", 60), mode="traces")
    assert snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", SIZES)
def test_reader(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[int]) -> None:
        screen = await _settled(pilot)
        await pilot.press("j")
        await until(pilot, lambda: screen.shown is not None and screen.shown.row.model == "Sky-T1-14B")
        await pilot.press("enter", "r")
        await until(pilot, lambda: screen.reader.body.has_focus)
        await pilot.pause()

    app = LabApp(seeded_context(tmp_path / "lab", 60), mode="traces")
    assert snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", SIZES)
def test_filter_that_means_nothing(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        await filter_by(pilot, "verdict:maybe")
        pilot.app.screen.query_one("#filter-line").cursor_blink = False  # type: ignore[attr-defined]
        await pilot.pause()

    app = LabApp(seeded_context(tmp_path / "lab", 60), mode="traces")
    assert snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", SIZES)
def test_bulk_preview(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        await pilot.press("D")
        await until(pilot, lambda: isinstance(pilot.app.screen, BulkDialog))
        await pilot.pause()

    app = LabApp(seeded_context(tmp_path / "lab", 60), mode="traces")
    assert snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", SIZES)
def test_side_by_side(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        await pilot.press("c")
        await until(
            pilot, lambda: isinstance(pilot.app.screen, SideBySideScreen) and bool(pilot.app.screen.query(Column))
        )
        await until(pilot, lambda: all(column.chain is not None for column in pilot.app.screen.query(Column)))
        await until(pilot, lambda: next(iter(pilot.app.screen.query(Column))).reader.body.has_focus)
        await pilot.pause()

    app = LabApp(seeded_context(tmp_path / "lab", 60), mode="traces")
    assert snap_compare(app, terminal_size=size, run_before=before)
