"""Groups of runs on the Train screen: all runs of a group are stopped and resumed with one key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from o1lab.app import LabApp
from o1lab.config import init_lab
from o1lab.files import write_json
from o1lab.paths import Lab
from o1lab.train import launch
from o1lab.train.median_rule import MEDIAN_RULE
from o1lab.train.runs.directory import RunDir
from o1lab.widgets.dialogs import ConfirmDialog
from tests.functional.screens.test_train import WIDE, app_on, opened
from tests.support.compare_lab import shown, until
from tests.support.fake_runs import write_run


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return init_lab(tmp_path / "lab", name="test")


def group(lab: Lab, **states: str) -> dict[str, RunDir]:
    """Write the runs of the group `sweep`, the first one the newest, and one that is in no group."""
    found = {}
    for age, (name, state) in enumerate(states.items()):
        run = found[name] = write_run(lab.runs, name, state, steps=5, saved=[5], age=age)
        write_json(run.group_file, {"name": "sweep", "varies": {"seed": age}})
    found["alone"] = write_run(lab.runs, "alone", "running", age=90)
    return found


def said(app: LabApp, words: str) -> bool:
    return any(words in one.message for one in app._notifications)


async def test_all_active_runs_of_a_group_are_stopped_after_a_question(lab: Lab) -> None:
    runs = group(lab, one="running", two="queued", three="finished")
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(pilot, "three")
        await pilot.press("Z")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog), "the question")
        for words in ("Stop 2 runs of the group sweep?", "one running", "two queued", "Left alone: three finished"):
            assert words in shown(pilot)
        await pilot.press("n")
        await until(pilot, lambda: app.screen is screen, "the way back")
        assert not runs["one"].stop_file.exists()
        await pilot.press("Z")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog), "the question again")
        await pilot.press("y")
        await until(pilot, lambda: said(app, "2 of 3 runs were asked to stop"), "the message")
        assert {name for name, run in runs.items() if run.stop_file.exists()} == {"one", "two"}


async def test_the_runs_of_a_group_that_have_not_finished_are_resumed(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = group(lab, one="stopped", two="failed", three="stopped", four="finished")
    runs["three"].write_status(replace(runs["three"].read_status(), stopped_by=MEDIAN_RULE))
    resumed: list[str] = []
    monkeypatch.setattr(launch, "start_worker", lambda run, **_: resumed.append(run.id))
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        await opened(pilot, "four")
        await pilot.press("R")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog), "the question")
        assert "Resume 2 runs of the group sweep?" in shown(pilot)
        assert "three stopped as hopeless" in " ".join(shown(pilot).split())
        await pilot.press("y")
        await until(pilot, lambda: said(app, "2 of 4 runs were resumed"), "the message")
        assert sorted(resumed) == ["one", "two"]


async def test_a_key_for_a_group_says_why_it_does_nothing(lab: Lab) -> None:
    group(lab, one="finished", two="finished")
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        await opened(pilot, "one")
        await pilot.press("Z")
        await until(pilot, lambda: said(app, "Nothing to stop: the runs of the group sweep are finished."), "why")
        await opened(pilot, "alone")
        await pilot.press("R")
        await until(pilot, lambda: said(app, "is in no group"), "why")
