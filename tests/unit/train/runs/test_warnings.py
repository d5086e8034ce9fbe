"""Warnings of a training run: kept in status.json, shown by `runs show` and the Train screen."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from o1lab.cli.main import run
from o1lab.config import init_lab
from o1lab.jobs.heartbeat import Heartbeat
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.rows import TrainingRow
from o1lab.train.runs.directory import RunDir, RunStatus
from o1lab.train.runs.warnings import Warnings
from tests.support.fake_runs import write_run

TEXTS = ("4 rows were cut at 64 tokens.", "Evil \x1b[31m warning.")


@pytest.fixture
def made(tmp_path: Path) -> RunDir:
    folder = RunDir(tmp_path / "aaaa0001")
    folder.path.mkdir()
    return folder


def test_warnings_stay_in_the_status_and_equal_ones_count_once(made: RunDir) -> None:
    heartbeat = Heartbeat(made, RunStatus("running", warnings=("Of an earlier session.",)))
    warnings = Warnings(heartbeat)
    warnings.add("One.")
    warnings.add("One.")
    warnings.spike("Loss spike at step 3: 9.")
    warnings.spike("Loss spike at step 7: 8.")
    heartbeat.update(message="Something else.")
    heartbeat.end(state="finished", message="Finished.")
    expected = ("Of an earlier session.", "One.", "Loss spikes: 2. The last: Loss spike at step 7: 8.")
    assert made.read_status().warnings == expected
    for number in range(50):
        warnings.add(f"Number {number}.")
    assert len(heartbeat.status.warnings) == 20


def test_rows_that_are_changed_are_warned_of(made: RunDir) -> None:
    heartbeat = Heartbeat(made, RunStatus("running"))
    row = TrainingRow("a", "Q", "t", "", cut_off="thought")
    Warnings(heartbeat).rows([row, row], SimpleNamespace(truncated=1, dropped=3), Recipe(dataset="d", max_length=64))
    heartbeat.end()
    assert heartbeat.status.warnings == (
        "1 row was cut at 64 tokens.",
        "3 rows were left out: longer than 64 tokens.",
        "2 rows were cut off before the end.",
    )


def test_runs_show_prints_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab = init_lab(tmp_path / "lab")
    write_run(lab.runs, "aaaa0001", warnings=TEXTS)
    assert run(["--lab", str(lab.root), "runs", "show", "aaaa", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == list(TEXTS)
    assert run(["--lab", str(lab.root), "runs", "show", "aaaa"]) == 0
    printed = capsys.readouterr().out
    assert f"warning      {TEXTS[0]}\n" in printed and "\x1b" not in printed


@pytest.mark.skipif(find_spec("trl") is None, reason="the train extra is not installed")
@pytest.mark.parametrize("on", ["local", "hand"])
def test_a_resume_keeps_them_and_continues_counting_spikes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on: str
) -> None:
    lab = init_lab(tmp_path / "lab")
    texts = (TEXTS[0], "Loss spikes: 2. The last: Loss spike at step 7: 8.")
    recipe = Recipe(dataset="d", steps=20, on=on)
    made = write_run(lab.runs, "aaaa0001", "stopped", steps=10, total=20, saved=[10], warnings=texts, recipe=recipe)
    monkeypatch.setattr("o1lab.jobs.spawn.start", lambda *_a, **_k: os.getpid())  # the worker's process
    assert run(["--lab", str(lab.root), "runs", "resume", "aaaa", "--json"]) == 0
    status = made.read_status()
    assert status.warnings == texts
    assert (status.step, status.total_steps, status.pid) == (10, 20, os.getpid() if on == "local" else None)
    heartbeat = Heartbeat(made, status)
    Warnings(heartbeat).spike("Loss spike at step 12: 9.")
    heartbeat.end()
    assert made.read_status().warnings == (TEXTS[0], "Loss spikes: 3. The last: Loss spike at step 12: 9.")
