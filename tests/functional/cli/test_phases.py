"""Two phases out of one recipe, as scripts start them: real workers, a tiny base."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from o1lab.cli.main import run as o1lab
from o1lab.jobs.device_queue import Device, acquire_first
from o1lab.paths import Lab
from o1lab.train.recipes.recipe_file import load
from o1lab.train.runs.directory import find_run
from store import datasets, open_store
from store.filters import TraceQuery
from tests.support.programs import said
from tests.support.training_lab import make_lab
from tests.support.waiting import until

pytest.importorskip("trl", reason="the train extra is not installed")
pytestmark = [pytest.mark.slow]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    made = make_lab(tmp_path / "lab")
    store = open_store(made.database)
    datasets.create(store.db, "format", TraceQuery(), phase=1)
    store.close()
    return made


def recipe_file(base: Path, folder: Path, *, first_steps: int) -> Path:
    path = folder / "two.yaml"
    quick = {
        "base": str(base), "batch_size": 4, "max_length": 128, "dtype": "fp32", "device": "cpu", "save_steps": 0,
        "eval_steps": 0, "lora_r": 4, "lora_alpha": 8,
    }  # fmt: skip
    two = [{"dataset": "format", "steps": first_steps}, {"dataset": "sums", "steps": 3, "learning_rate": 1e-4}]
    path.write_text(yaml.safe_dump({**quick, "phases": two}))
    return path


def test_one_recipe_trains_phase_1_and_then_phase_2_from_its_adapter(
    lab: Lab, tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--lab", str(lab.root), "train", "--recipe", str(recipe_file(tiny_base, tmp_path, first_steps=4))]
    assert o1lab([*command, "--dry-run", "--json"]) == 0
    looked = said(capsys)
    assert looked["ok"] is True
    assert [phase["total_steps"] for phase in looked["phases"]] == [4, 3]
    assert (looked["total_steps"], looked["rows"]) == (7, 48)
    assert looked["phases"][0]["trained_tokens"] < looked["phases"][1]["trained_tokens"]  # the thought is phase 2's

    assert o1lab([*command, "--no-check", "--wait", "--json"]) == 0
    told = said(capsys)
    first, second = (find_run(lab, item["run_id"]) for item in told["runs"])
    assert (told["run_id"], told["dir"], told["pid"]) == (second.id, str(second.path), told["runs"][1]["pid"])
    assert [item["state"] for item in told["runs"]] == ["finished", "finished"]
    assert load(second.recipe).init_from == f"{first.id}/step-4"
    assert load(second.recipe).lora_r == 4
    assert (load(first.recipe).phase, load(second.recipe).phase) == (1, 2)
    assert first.checkpoint(4).is_dir()
    assert second.checkpoint(3).is_dir()
    assert second.read_status().after == ""


def test_the_second_fails_with_the_first_and_both_go_on_by_resuming(
    lab: Lab, tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recipe_file(tiny_base, tmp_path, first_steps=4)
    with acquire_first([Device("cpu")]):  # the first cannot start before it is asked to stop
        assert o1lab(["--lab", str(lab.root), "train", "--recipe", str(path), "--no-check", "--json"]) == 0
        first, second = (find_run(lab, item["run_id"]) for item in said(capsys)["runs"])
        until(lambda: second.read_status().after == first.id, "the second waits for the first")
        until(lambda: "another run" in first.read_status().message, "the first waits for the device")
        assert o1lab(["--lab", str(lab.root), "runs", "stop", first.id, "--wait", "--json"]) == 0
        assert said(capsys)["state"] == "stopped"
    until(lambda: not second.info().active, "the second to end")
    ended = second.read_status()
    assert (ended.state, ended.after) == ("failed", "")
    assert f"The run {first.id}, which this run starts from, was stopped" in ended.message

    for run in (first, second):
        assert o1lab(["--lab", str(lab.root), "runs", "resume", run.id, "--json"]) == 0
    capsys.readouterr()
    until(lambda: not second.info().active, "the second to end")
    assert (first.info().state, second.info().state) == ("finished", "finished")
    assert load(second.recipe).init_from == f"{first.id}/step-4"
