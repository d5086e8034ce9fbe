"""``o1lab train --processes``, with real processes and a tiny base."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from o1lab.cli.main import run as o1lab
from o1lab.train.launch import RESUME_CHANGES
from o1lab.train.recipes.recipe_file import load
from o1lab.train.runs.directory import list_run_dirs
from tests.support.training_lab import make_lab
from tests.support.waiting import until

pytest.importorskip("trl", reason="the train extra is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("torchrun")]
QUICK = ["--steps", "100000", "--batch-size", "2", "--max-length", "128", "--dtype", "fp32", "--device", "cpu"]


def test_a_run_of_two_processes_is_stopped_and_continued_in_one(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    lab = make_lab(tmp_path / "lab")
    words = ["--lab", str(lab.root)]
    train = [*words, "train", "--base", str(tiny_base), "--dataset", "sums", *QUICK, "--json"]
    assert o1lab([*train, "--nodes", "2", "--no-check"]) == 5
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "several_nodes"
    assert o1lab([*train, "--processes", "2"]) == 0
    (run,) = list_run_dirs(lab)
    created = run.created_at()
    until(lambda: run.read_status().step > 2, run.info)
    assert run.read_status().processes == load(run.recipe).processes == 2
    assert o1lab([*words, "runs", "resume", run.id, "--processes", "1"]) == 2  # it runs
    assert o1lab([*words, "runs", "stop", run.id]) == 0
    until(lambda: run.info().state == "stopped", run.info)
    stopped = run.read_status().step
    assert load(run.recipe).processes == 2
    assert o1lab([*words, "runs", "resume", run.id, "--processes", "1"]) == 0
    until(lambda: run.read_status().step > stopped, run.info)
    assert run.read_status().processes == load(run.recipe).processes == 1
    assert run.created_at() == created
    run.ask_to_stop()
    until(lambda: run.info().state == "stopped", run.info)


def test_a_resume_offers_what_it_may_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert o1lab(["runs", "resume", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"--{name}" in shown for name in RESUME_CHANGES)
    assert "--learning-rate" not in shown
