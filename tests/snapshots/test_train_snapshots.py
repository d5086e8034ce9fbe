"""Pictures of the Train screen at both sizes: runs, a curve with another laid over it, the form, preflight."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from o1lab.app import LabApp
from o1lab.config import init_lab
from o1lab.files import write_json
from o1lab.jobs import device_queue as devices
from o1lab.paths import Lab
from o1lab.train import run_list
from o1lab.widgets.dialogs import PreviewDialog
from o1lab.widgets.loss_plot import LossPlot
from screens.base.context import open_context
from screens.train import preflight as train_preflight
from screens.train.form import TrainForm
from screens.train.panes import LogPane
from screens.train.screen import TrainScreen
from tests.functional.screens.test_train_form import FOUND
from tests.support.compare_lab import shown, until
from tests.support.fake_runs import CREATED, PROBES, write_run
from tests.support.pictures import pictures

ANSWERS = {0: ("77200", "1000 + 5"), 25: ("1358", "912"), 50: ("1458", "912")}
LOG = "".join(f"{{'loss': {1 / step:.3f}, 'mean_token_accuracy': 0.99}}\n" for step in range(1, 63))


def runs(lab: Lab) -> None:
    """A running, a finished, a queued, a failed and a dead one."""
    samples = [
        {"step": step, "prompt": probe.prompt, "gold": probe.gold, "answer": answer, "final": answer,
         "correct": answer == probe.gold, "tokens": 40 + step}
        for step, answers in ANSWERS.items()
        for probe, answer in zip(PROBES, answers, strict=True)
    ]  # fmt: skip
    write_run(lab.runs, "7f3a12cd", "running", steps=62, samples=samples, log=LOG, saved=[50])
    write_run(lab.runs, "22ab0004", "queued", steps=0, age=50, message="Waiting for run 7f3a12cd of lab test on cpu.")
    write_run(lab.runs, "51c0aa01", seed=2, age=100, saved=[50, 100], log=LOG)
    write_run(lab.runs, "9e00bb02", "running", steps=30, age=200, heartbeat=1.0, pid=2**22 + 1, log="Killed\n")
    write_run(
        lab.runs, "33ab0003", "failed", steps=12, age=300, message="The loss became nan at step 12.",
        hint="Lower the learning rate.",
    )  # fmt: skip


async def chosen(pilot: Pilot[int], run_id: str) -> TrainScreen:
    screen = pilot.app.screen
    assert isinstance(screen, TrainScreen)
    plot = screen.query_one(LossPlot)
    # A curve gets its letter when it is first drawn, so the run that the screen opens with comes first.
    await until(pilot, lambda: screen.jobs.detail, "the runs")
    await until(pilot, lambda: screen.jobs.detail.line.id in str(plot._legend.content), "the first curve")
    screen.open_run(run_id)
    await until(pilot, lambda: screen.jobs.detail and screen.jobs.detail.line.id == run_id, "the run")
    await until(pilot, lambda: run_id in str(plot._legend.content), "its curve")
    return screen


async def settled(pilot: Pilot[int]) -> None:
    """The curve drawn for the last size and the last points it was given."""
    plot = pilot.app.screen.query_one(LossPlot)
    for _ in range(3):  # a drawing may change the legend, and that the size
        await pilot.pause()
        await until(pilot, lambda: plot._timer is None, "the plot")


async def overview(pilot: Pilot[int]) -> None:
    await chosen(pilot, "7f3a12cd")
    await pilot.press("escape")
    await until(pilot, lambda: "5 runs, 2 active" in shown(pilot), "the heading")
    await settled(pilot)


async def laid_over(pilot: Pilot[int]) -> None:
    screen = await chosen(pilot, "51c0aa01")
    await pilot.press("space")
    await chosen(pilot, "7f3a12cd")
    legend = screen.query_one(LossPlot)._legend
    await until(pilot, lambda: "51c0aa01" in str(legend.content), "the other curve")
    await pilot.press("L")
    await until(pilot, lambda: "log" in str(legend.content), "the log scale")
    await settled(pilot)


async def answers(pilot: Pilot[int]) -> None:
    screen = await chosen(pilot, "7f3a12cd")
    log = screen.query_one(LogPane)
    await until(pilot, lambda: log.rows > 1 and log.scroll_offset.y == log.max_scroll_y, "the log's end")
    await pilot.press("tab")
    await settled(pilot)


async def dead(pilot: Pilot[int]) -> None:
    await chosen(pilot, "9e00bb02")
    await until(pilot, lambda: "was killed" in shown(pilot), "the cause")
    await settled(pilot)


async def form(pilot: Pilot[int]) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, TrainScreen), "the runs")
    await pilot.press("ctrl+n")
    await until(pilot, lambda: isinstance(pilot.app.screen, TrainForm) and pilot.app.screen.query("#go"), "the form")
    for line in pilot.app.screen.query(Input):
        line.cursor_blink = False
    await until(pilot, lambda: "Pick" in shown(pilot) or "dataset" in shown(pilot), "its help")
    await pilot.press("ctrl+r")  # there is no dataset: its fault is in the picture
    await until(pilot, lambda: "✗" in shown(pilot), "the fault")
    await pilot.pause()


async def preflight(pilot: Pilot[int]) -> None:
    from o1lab.train.recipes.recipe import Recipe

    screen = pilot.app.screen
    assert isinstance(screen, TrainScreen)
    recipe = Recipe(dataset="sums", max_length=45)
    await pilot.app.push_screen(train_preflight.PreflightScreen(screen.context, recipe, launched=screen.open_run))
    await until(pilot, lambda: "✓ Ready" in shown(pilot), "the verdict")
    await pilot.pause()


async def group(pilot: Pilot[int]) -> None:
    screen = pilot.app.screen
    assert isinstance(screen, TrainScreen)
    for seed, rate in ((1, 1e-4), (2, 1e-4), (1, 5e-4), (2, 5e-4)):
        name = f"rate{round(rate * 1e4)}seed{seed}"
        run = write_run(screen.context.lab.runs, name, seed=seed + round(rate * 1e4), age=10 * seed + rate)
        write_json(run.group_file, {"name": "rates", "varies": {"learning_rate": rate, "seed": seed}})
    await until(pilot, lambda: (line := screen.jobs.line) and line.group == "rates", "the group")
    await until(pilot, lambda: screen.jobs.snapshot and len(screen.jobs.snapshot.lines) == 4, "its runs")
    await screen.run_action("group")
    await until(pilot, lambda: isinstance(pilot.app.screen, PreviewDialog), "the comparison")
    await pilot.pause()


async def empty(pilot: Pilot[int]) -> None:
    await until(pilot, lambda: "No runs yet" in shown(pilot) and "Press" in shown(pilot), "the empty state")
    await pilot.pause()


Picture = Callable[[Pilot[int]], Awaitable[None]]
WITH_RUNS: dict[Picture, bool] = {
    overview: True, laid_over: True, answers: True, dead: True, form: False, preflight: False, group: False,
    empty: False,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _same_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_list, "time", SimpleNamespace(time=lambda: CREATED + 3600, monotonic=time.monotonic))
    monkeypatch.setattr(devices, "visible_gpus", list)
    monkeypatch.setattr("screens.train.form.visible_gpus", list)
    monkeypatch.setattr(train_preflight, "run_preflight", lambda *_, **__: FOUND)


@pictures(WITH_RUNS, at_both=[overview, form, preflight])
def test_train(snap_compare: Any, tmp_path: Path, size: tuple[int, int], picture: Picture) -> None:
    lab = init_lab(tmp_path / "lab", name="demo")
    if WITH_RUNS[picture]:
        runs(lab)
    assert snap_compare(LabApp(open_context(lab), mode="train"), terminal_size=size, run_before=picture)
