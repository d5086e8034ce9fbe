"""How the Traces screen looks, at 80x24 and 120x40."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from o1lab.app import LabApp
from o1lab.chains.trees.walk import TreeRules
from o1lab.distill.search import search_problems
from o1lab.ingest.labelling import label_pending, labeller_of
from o1lab.ingest.measuring import measure_pending, moves_of
from o1lab.ingest.trees import walk_trees
from screens.traces.dialogs import BulkDialog
from screens.traces.lens import LensScreen
from screens.traces.screen import TracesScreen
from screens.traces.side_by_side import Column, SideBySideScreen
from screens.traces.tree import TreeDialog
from store import annotations, problems, traces, trees
from store.filters import ProblemQuery
from store.records import NewProblem
from tests.functional.screens.test_traces import ready, until
from tests.support.compare_lab import filter_by, shown
from tests.support.lab_seed import all_ids, seeded_context
from tests.support.lens_lab import add_scores
from tests.support.pictures import sizes

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


@sizes(named=False)
def test_filter_that_means_nothing(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        await filter_by(pilot, "verdict:maybe")
        pilot.app.screen.query_one("#filter-line").cursor_blink = False  # type: ignore[attr-defined]
        await pilot.pause()

    app = LabApp(seeded_context(tmp_path / "lab", 60), mode="traces")
    assert snap_compare(app, terminal_size=size, run_before=before)


@sizes(named=False)
def test_bulk_preview(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        await pilot.press("asterisk")
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


@sizes(named=False)
def test_first_wrong_step(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    context = seeded_context(tmp_path / "lab", 8)
    trace = next(iter(all_ids(context.store)))
    moves = moves_of(traces.text(context.store.db, trace))
    annotate = annotations.annotate
    annotate(context.store.db, trace, "wrong_step", "3", annotator="m of judge", span=moves[2][1:], run_id="r1")
    annotate(context.store.db, trace, "wrong_step", "none", annotator="ben")

    async def before(pilot: Pilot[int]) -> None:
        screen = await _settled(pilot)
        await pilot.press("tab", "]", "]")
        await until(pilot, lambda: "first wrong step" in shown(pilot))
        screen.say("")
        await pilot.pause()

    assert snap_compare(LabApp(context, mode="traces"), terminal_size=size, run_before=before)


@sizes(named=False)
def test_labels_and_corrected_kinds(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    context = seeded_context(tmp_path / "lab", 8)
    trace = next(iter(all_ids(context.store)))
    moves = moves_of(traces.text(context.store.db, trace))
    annotate = annotations.annotate
    annotate(context.store.db, trace, "span", "gap", annotator="tester", span=(moves[1].start, moves[2].end))
    annotate(context.store.db, trace, "move", "verify", annotator="ben", span=moves[2][1:])

    async def before(pilot: Pilot[int]) -> None:
        screen = await _settled(pilot)
        await pilot.press("tab", "]", "]", "]", "J")
        await until(pilot, lambda: "SELECT 1 move" in shown(pilot))
        screen.say("")
        await pilot.pause()

    assert snap_compare(LabApp(context, mode="traces"), terminal_size=size, run_before=before)


@sizes(named=False)
def test_search_tree(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    context = seeded_context(tmp_path / "lab", 4)
    problem = NewProblem("What is 964 + 494?", "sums", "964+494", "1458")
    with context.store.db.atomic():
        problems.add(context.store.db, [problem])
    made = search_problems(context.store, ProblemQuery.parse("source:sums"))
    [one] = walk_trees(
        context.store, [trees.get(context.store.db, made.trees[0])], TreeRules(), count=lambda tree, raw: None
    )
    measure_pending(context.store)
    label_pending(context.store, labeller_of(context.lab))  # now, so that the list does not change during the test

    async def before(pilot: Pilot[int]) -> None:
        screen = await _settled(pilot)
        await pilot.press("G")
        await until(pilot, lambda: screen.shown is not None and screen.shown.row.id == one.trace_id)
        await pilot.press("H")
        await until(pilot, lambda: isinstance(pilot.app.screen, TreeDialog))
        await until(pilot, lambda: "boxed{1458}" in shown(pilot))
        await pilot.pause()

    assert snap_compare(LabApp(context, mode="traces"), terminal_size=size, run_before=before)


@sizes(named=False)
def test_lens(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    context = seeded_context(tmp_path / "lab", 4)
    add_scores(context.store.db, next(all_ids(context.store)), "base")

    async def before(pilot: Pilot[int]) -> None:
        await _settled(pilot)
        await pilot.press("percent_sign")
        await until(pilot, lambda: isinstance(pilot.app.screen, LensScreen) and bool(pilot.app.screen.views))
        await pilot.press("n", "n")
        await pilot.pause()

    assert snap_compare(LabApp(context, mode="traces"), terminal_size=size, run_before=before)
