"""What the reader of samples, the pairs and the blind marks look like, at the smallest and at a comfortable size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import Screen

from o1lab.app import LabApp
from screens.base.context import LabContext, open_context
from screens.evaluate.calibrating import CalibrationScreen
from screens.evaluate.pairs import PairsScreen
from screens.evaluate.rating import RatingScreen
from screens.evaluate.reader import SampleScreen
from screens.evaluate.sample_text import Listing
from screens.evaluate.side_by_side import SamplePairScreen
from tests.support.compare_lab import until
from tests.support.evaluate_lab import SCORER, make_lab
from tests.support.pictures import pictures

PAIR = ("base-1", "student-1")


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabContext:
    monkeypatch.setenv("O1LAB_ANNOTATOR", "ann")
    return open_context(make_lab(tmp_path / "lab"))


def reader(context: LabContext) -> tuple[Screen[None], Callable[[], object]]:
    screen = SampleScreen(context, Listing("student-1", SCORER), 3)
    return screen, lambda: screen.total


def pairs(context: LabContext) -> tuple[Screen[None], Callable[[], object]]:
    screen = PairsScreen(context, *PAIR)
    return screen, lambda: screen.both and screen.table.total


def beside(context: LabContext) -> tuple[Screen[None], Callable[[], object]]:
    screen = SamplePairScreen(context, PAIR, SCORER, ["add:0", "add:2"], 0)
    return screen, lambda: all(column.whole for column in screen.columns)


def rating(context: LabContext) -> tuple[Screen[None], Callable[[], object]]:
    screen = RatingScreen(context, PAIR)
    return screen, lambda: screen.shown is not None


def calibrating(context: LabContext) -> tuple[Screen[None], Callable[[], object]]:
    screen = CalibrationScreen(context, "student-1", SCORER)
    return screen, lambda: screen.shown is not None


@pictures([reader, pairs, beside, rating, calibrating], at_both=[reader, beside])
def test_evaluate_samples(snap_compare: Any, context: LabContext, picture: Any, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[int]) -> None:
        screen, ready = picture(context)
        await pilot.app.push_screen(screen)
        await until(pilot, ready, "what it shows")
        if picture is rating:
            await pilot.press("8", "7")
        await pilot.pause()

    assert snap_compare(LabApp(context), terminal_size=size, run_before=before)
