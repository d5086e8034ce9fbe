"""The status line of every screen: what runs, with its time left, and what ended."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.text import Text
from textual.pilot import Pilot

from o1lab import app as app_module
from o1lab.app import LabApp
from o1lab.config import init_lab
from o1lab.distill.run_directory import RunFolder, TeacherRunStatus
from o1lab.paths import Lab
from o1lab.widgets.status_line import StatusLine, fitted
from screens.base.context import open_context
from tests.support.compare_lab import Recording, shown, until
from tests.support.fake_runs import write_run


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    for name in ("SETTLE_S", "WATCH_S", "IDLE_S"):
        monkeypatch.setattr(app_module, name, 0.05)
    monkeypatch.setattr(LabApp, "watches", True)
    return init_lab(tmp_path / "lab", name="test")


def line(pilot: Pilot[int]) -> str:
    return str(pilot.app.screen.query_one(StatusLine).content)


async def test_what_runs_is_on_every_screen(lab: Lab) -> None:
    write_run(lab.runs, "7f3a12cd", "running", steps=40)
    write_run(lab.runs, "22ab0004", "queued", steps=0)
    teacher = RunFolder(lab.distill / "bb11cc22")
    (teacher.path / "control").mkdir(parents=True)
    teacher.settings_file.write_text("{}")
    teacher.about_file.write_text('{"name": "pool \\u001b[31m"}')
    beat = time.time() + 3600
    teacher.write_status(
        TeacherRunStatus(
            "running", os.getpid(), host=socket.gethostname(), heartbeat=beat, requested=20, done=5, seconds_left=30.0
        )
    )
    wanted = "▶ teacher run pool ␛[31m 5/20 30s left · ▶ run 7f3a12cd 40/100 2m52s left · +1"
    app = Recording(open_context(lab), mode="lab")
    async with app.run_test(size=(80, 24)) as pilot:
        for key in ("f1", "f2", "f3", "f4", "f5", "f6", "f7"):
            await pilot.press(key)
            await until(pilot, lambda: line(pilot) == wanted, f"what runs, on {key}")
            assert wanted in shown(pilot)
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: "… run 22ab0004 queued" in shown(pilot), "the third one")


async def test_an_end_is_told_and_stays_until_its_screen_was_seen(lab: Lab) -> None:
    run = write_run(lab.runs, "7f3a12cd", "running", steps=40)
    app = Recording(open_context(lab), mode="lab")
    async with app.run_test(size=(80, 24)) as pilot:
        assert not pilot.app.screen.query_one(StatusLine).display, "it takes no room before anything is known to run"
        await until(pilot, lambda: "run 7f3a12cd 40/100" in shown(pilot), "the run")
        sent: list[str] = []
        assert app._driver is not None
        app._driver.write = sent.append  # type: ignore[method-assign]
        spike = "Loss spikes: 1. The last: Loss spike at step 41: 9."
        run.write_status(replace(run.read_status(), warnings=(spike,)))
        await until(pilot, lambda: app.said, "the spike")
        run.write_status(replace(run.read_status(), state="failed", message="The loss became nan.", hint="Lower it."))
        await until(pilot, lambda: len(app.said) > 1, "the end")
        assert app.said == [
            "Run 7f3a12cd has a loss spike: Loss spike at step 41: 9.",
            "Run 7f3a12cd has failed: The loss became nan.",
        ]
        assert sum("\a" in one for one in sent) == 2
        await until(pilot, lambda: line(pilot) == "✗ run 7f3a12cd failed", "the end on the line")
        run.hooks_file.write_text('{"event": "failed", "ok": false, "fault": "exit status 3"}\n')
        await until(
            pilot, lambda: app.said[2:] == ["The hook for the run 7f3a12cd failed: exit status 3."], "its fault"
        )
        await pilot.press("f4")
        await until(pilot, lambda: not pilot.app.screen.query_one(StatusLine).display, "it was seen")
        await until(pilot, lambda: "! The hook failed: exit status 3." in shown(pilot), "the fault stays with the run")


async def test_events_that_are_not_wanted_are_not_told(lab: Lab) -> None:
    lab.config.write_text('[notify]\non = ["failed"]\n')
    run = write_run(lab.runs, "7f3a12cd", "running", steps=40)
    app = Recording(open_context(lab), mode="lab")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "run 7f3a12cd 40/100" in shown(pilot), "the run")
        run.write_status(replace(run.read_status(), state="finished", message="Finished."))
        await until(pilot, lambda: line(pilot) == "✓ run 7f3a12cd finished", "the end on the line")
        assert app.said == []


def test_as_many_parts_as_fit_are_shown() -> None:
    parts = [Text(word) for word in ("one", "two", "three")]
    assert fitted(parts, 17).plain == "one · two · three"
    assert fitted(parts, 16).plain == "one · two · +1"
    assert fitted(parts, 12).plain == "one · +2"
    assert fitted(parts[:1], 2).plain == "o…"
    assert fitted([], 80).plain == ""
