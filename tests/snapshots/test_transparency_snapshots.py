"""The Transparency screen as it looks: the leaderboard with the lab, and a work that several persons scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from o1lab.app import LabApp
from o1lab.ingest.measuring import measure_pending
from o1lab.transparency.framework import DEFAULT
from screens.base.context import open_context
from screens.transparency.screen import TransparencyScreen
from store import open_store
from store import transparency as log
from tests.support import curve_lab, evaluate_lab, lab_seed, training_lab
from tests.support.compare_lab import shown, until
from tests.support.pictures import sizes


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
@pytest.mark.parametrize("keys", [(), ("tab",)], ids=["lab", "items"])
def test_transparency(
    snap_compare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], keys: tuple[str, ...]
) -> None:
    monkeypatch.setattr(log, "now", lambda: "2026-11-29T08:00:00.000000+00:00")
    lab = evaluate_lab.make_lab(tmp_path / "lab")
    store = open_store(lab.database)
    for scorer, answer in (("ann", "yes"), ("bo", "no"), ("cy", "yes")):
        log.add(store.db, DEFAULT, "A replication", "data.sources", answer, scorer=scorer, evidence="section 3")
    log.add(store.db, DEFAULT, "A replication", "method.rl", "not_used", scorer="ann", evidence="page 2")
    store.close()

    async def before(pilot: Pilot[int]) -> None:
        screen = pilot.app.screen
        assert isinstance(screen, TransparencyScreen)
        await until(pilot, lambda: screen.board is not None, "the works")
        if keys:
            await pilot.press(*"jjjjjjjjj")
            await until(pilot, lambda: "A replication" in screen.work_key and "section 3" in shown(pilot), "the work")
            await pilot.press(*keys)
            await until(pilot, lambda: screen.query_one("#items").has_focus, "the items")
        await pilot.pause()

    assert snap_compare(LabApp(open_context(lab), mode="transparency"), terminal_size=size, run_before=before)


@sizes()
def test_methods(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    lab = evaluate_lab.make_lab(tmp_path / "lab")
    store = open_store(lab.database)
    lab_seed.fill(store, 8)
    store.close()

    async def before(pilot: Pilot[int]) -> None:
        screen = pilot.app.screen
        assert isinstance(screen, TransparencyScreen)
        await until(pilot, lambda: screen.board is not None, "the works")
        await pilot.press("j")
        await until(pilot, lambda: screen.methods is not None and "8 chains" in shown(pilot), "the methods")
        await pilot.press("tab", "G")
        await until(pilot, lambda: screen.item_id == "solver" and "missing" in shown(pilot), "the figures")

    assert snap_compare(LabApp(open_context(lab), mode="transparency"), terminal_size=size, run_before=before)


@sizes()
@pytest.mark.parametrize("keys", ["", "jj"], ids=["curve", "run"])
def test_lesson(snap_compare: Any, tmp_path: Path, size: tuple[int, int], keys: str) -> None:
    lab = training_lab.make_lab(tmp_path / "lab")
    store = open_store(lab.database)
    curve_lab.add_curve(lab, store)
    measure_pending(store)  # now, so that no message about it covers the screen
    store.close()

    async def before(pilot: Pilot[int]) -> None:
        screen = pilot.app.screen
        assert isinstance(screen, TransparencyScreen)
        await until(pilot, lambda: screen.board is not None, "the works")
        await pilot.press("j", "j")
        await until(pilot, lambda: "chains of sums" in shown(pilot), "the curve")
        await pilot.press("tab", *keys)
        if keys:
            await until(pilot, lambda: "the ceiling" in shown(pilot), "the lesson of a run")

    assert snap_compare(LabApp(open_context(lab), mode="transparency"), terminal_size=size, run_before=before)
