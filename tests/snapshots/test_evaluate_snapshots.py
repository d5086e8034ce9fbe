"""What the Evaluate screen looks like, at the smallest and at a comfortable size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from textual.pilot import Pilot

from o1lab.app import LabApp
from o1lab.paths import Lab
from screens.base.context import open_context
from screens.evaluate import text as evaluate_text
from screens.evaluate.form import EvaluateForm
from screens.evaluate.screen import EvaluateScreen
from tests.support.compare_lab import shown, until
from tests.support.evaluate_screen_lab import lab_with_suite, three
from tests.support.pictures import pictures


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return lab_with_suite(tmp_path / "lab")


@pytest.fixture(autouse=True)
def _same_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of an evaluation has the same path on each machine."""
    facts = evaluate_text.facts
    monkeypatch.setattr(
        evaluate_text, "facts", lambda detail: facts(replace(detail, folder=f"/labs/demo/evals/{detail.line.id}"))
    )


def screen_of(pilot: Pilot[int]) -> EvaluateScreen:
    return cast(EvaluateScreen, pilot.app.screen)


async def looked(pilot: Pilot[int]) -> None:
    """Every figure is there."""
    screen = screen_of(pilot)
    jobs = screen.jobs
    await until(pilot, lambda: (now := jobs.snapshot) and now.lines and not now.partial, "the figures")
    await until(pilot, lambda: screen.jobs.detail, "the detail")


async def empty(pilot: Pilot[int]) -> None:
    await until(pilot, lambda: "No evaluations yet" in shown(pilot), "the empty state")


async def evaluations(pilot: Pilot[int]) -> None:
    await looked(pilot)
    await pilot.press("space", "j", "space")
    await until(pilot, lambda: "57ade002" in shown(pilot), "the second one's head")


async def others(pilot: Pilot[int]) -> None:
    await looked(pilot)
    await pilot.press("vertical_line")


async def one(pilot: Pilot[int]) -> None:
    await looked(pilot)
    await pilot.press("tab")
    await until(pilot, lambda: "refusal@1" in shown(pilot), "its facts")


async def tables(pilot: Pilot[int]) -> None:
    await looked(pilot)
    await pilot.press("3")
    await until(pilot, lambda: "7f3a/100, student" in shown(pilot), "the table")


async def plots(pilot: Pilot[int]) -> None:
    await looked(pilot)
    await pilot.press("4")
    await until(pilot, lambda: "accuracy, %" in shown(pilot), "the plot")


async def form(pilot: Pilot[int]) -> None:
    await looked(pilot)
    screen_of(pilot).open_form({"suite": "sums", "model": "teacher"})
    await until(pilot, lambda: isinstance(pilot.app.screen, EvaluateForm) and pilot.app.screen.query("#go"), "the form")
    await until(pilot, lambda: "6 items" in shown(pilot), "the estimate")


@pictures([empty, evaluations, others, one, tables, plots, form], at_both=[one, plots, form])
def test_evaluate(snap_compare: Any, lab: Lab, picture: Any, size: tuple[int, int]) -> None:
    if picture is not empty:
        three(lab)
    assert snap_compare(LabApp(open_context(lab), mode="evaluate"), terminal_size=size, run_before=picture)
