"""The verbs train and runs, as scripts use them, with real processes and a tiny base."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run as o1lab
from o1lab.locations import Lab
from o1lab.train.follow import Metrics
from o1lab.train.rundir import STALE_S, RunDir, find_run, process_lives
from tests.tiny_model import make_tiny_model
from tests.training_lab import make_lab, prepared, recipe

pytest.importorskip("trl", reason="the train extra is not installed")
pytestmark = pytest.mark.slow

QUICK = ["steps=4", "batch_size=4", "max_length=128", "dtype=fp32", "device=cpu", "save_steps=0", "eval_steps=0"]
PATIENCE_S = 240


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "base")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return make_lab(tmp_path_factory.mktemp("lab"))


@pytest.fixture(autouse=True)
def _own_queue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def command(lab: Lab, base: Path, *more: str, settings: list[str] | None = None) -> list[str]:
    words = ["--lab", str(lab.root), "train", "--base", str(base), "--dataset", "sums"]
    for setting in settings if settings is not None else QUICK:
        words += ["--set", setting]
    return [*words, *more, "--json"]


def until(holds: Any, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.05)


def steps(run: RunDir) -> int:
    metrics = Metrics(run.metrics)
    metrics.poll()
    return int(metrics.steps[-1]) if metrics.steps else 0


def test_a_dry_run_tells_what_the_trainer_will_see(lab: Lab, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert o1lab(command(lab, base, "--dry-run")) == 0
    found = said(capsys)
    assert found["ok"] is True
    assert (found["rows"], found["over_length"], found["problems"], found["total_steps"]) == (24, 0, [], 4)
    assert found["tokens"]["p50"] <= found["tokens"]["p95"] <= found["tokens"]["max"]
    assert sum(b["count"] for b in found["histogram"]) == 24
    assert 0 < found["trained_tokens"] < found["tokens"]["total"]
    assert found["memory_bytes"] > 0
    assert found["thought_survives"] is True
    assert found["end_of_turn_trained"] is True
    assert f"--base {base}" in found["command"]
    assert "--set steps=4" in found["command"]
    text = "".join(token["text"] for token in found["sample"])
    trained = "".join(token["text"] for token in found["sample"] if token["trained"])
    assert "What is" in text
    assert trained.startswith("<think>\nones:")
    assert trained.rstrip().endswith("<|im_end|>")
    assert list(lab.runs.iterdir()) == []


def test_rows_over_length_are_refused_with_exit_5(lab: Lab, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert o1lab(command(lab, base, "--dry-run", "--set", "max_length=40")) == 5
    found = said(capsys)
    assert found["ok"] is False
    assert found["over_length"] > 0
    assert [problem["code"] for problem in found["problems"]] == ["over_length"]
    assert o1lab(command(lab, base, "--set", "max_length=40")) == 5
    assert said(capsys)["error"]["code"] == "over_length"
    assert list(lab.runs.iterdir()) == []


def test_a_template_that_strips_thoughts_and_ends_is_found_out(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stripping = (
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
        "{{ message['content'].split('</think>')[-1].strip() }}\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    base = make_tiny_model(tmp_path / "stripping", template=stripping)
    assert o1lab(command(lab, base, "--dry-run")) == 5
    codes = {problem["code"] for problem in said(capsys)["problems"]}
    assert codes == {"thought_stripped", "no_end_of_turn"}


@pytest.mark.parametrize("broken", ["absent", "no_weights"])
def test_a_base_that_cannot_be_used_is_named(
    broken: str, lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    if broken == "no_weights":
        make_tiny_model(folder)
        (folder / "model.safetensors").unlink()
    assert o1lab(command(lab, folder, "--dry-run")) == 5
    expected = "no_weights" if broken == "no_weights" else "base_missing"
    assert [problem["code"] for problem in said(capsys)["problems"]] == [expected]


def test_train_show_watch_and_go_on_in_a_second_phase(lab: Lab, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert o1lab(command(lab, base, "--no-check", "--wait", "--set", "phase=1")) == 0
    first = said(capsys)
    assert (first["state"], first["step"]) == ("finished", 4)
    assert Path(first["dir"]).is_dir()
    assert o1lab(["--lab", str(lab.root), "runs", "ls", "--json"]) == 0
    listed = said(capsys)
    assert listed["total"] == 1
    item = listed["items"][0]
    assert set(item) == {
        "id", "state", "step", "total_steps", "loss", "base", "dataset_hash", "heartbeat_age_s"
    }  # fmt: skip
    assert (item["id"], item["state"], item["base"]) == (first["run_id"], "finished", str(base))
    assert item["loss"] > 0
    assert o1lab(["--lab", str(lab.root), "runs", "show", first["run_id"][:4], "--json"]) == 0
    shown = said(capsys)
    assert shown["checkpoints"] == ["step-4"]
    assert shown["last_metrics"]["step"] == 4
    assert shown["recipe"]["phase"] == 1
    assert shown["log_tail"]
    assert o1lab(["--lab", str(lab.root), "runs", "watch", first["run_id"]]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[:4]] == [f"step {n}/4" for n in range(1, 5)]
    assert o1lab(["--lab", str(lab.root), "runs", "stop", first["run_id"], "--json"]) == 2
    assert o1lab(["--lab", str(lab.root), "runs", "resume", first["run_id"], "--json"]) == 2
    capsys.readouterr()
    second = command(lab, base, "--wait", "--no-check", "--init-from", first["run_id"])
    assert o1lab(second) == 0
    run = find_run(lab, said(capsys)["run_id"])
    assert f"init_from: {first['run_id']}/step-4" in run.recipe.read_text()


def test_what_is_not_there_is_said_with_its_exit_status(
    lab: Lab, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, status in (
        (["runs", "show", "zzzz"], 4),
        (["runs", "watch", "zzzz"], 4),
        (["runs", "stop", "zzzz"], 4),
        (["runs", "resume", "zzzz"], 4),
        (["train", "--dataset", "absent", "--dry-run"], 4),
        (["train", "--dry-run"], 2),
        (["train", "--dataset", "sums", "--set", "lora_r=0"], 2),
        (["train", "--dataset", "sums", "--init-from", "zzzz", "--dry-run"], 4),
        (["train", "--dataset", "sums", "--set", "dataset_hash=other", "--dry-run"], 2),
    ):
        assert o1lab(["--lab", str(lab.root), *words, "--json"]) == status, words
        assert set(said(capsys)["error"]) == {"code", "message", "hint"}


def test_a_killed_launcher_leaves_its_run_and_a_killed_worker_is_dead_until_resumed(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = make_lab(tmp_path / "lab")
    settings = [*QUICK[1:], "steps=400", "save_steps=5"]
    words = [sys.executable, "-P", "-m", "o1lab", *command(lab, base, "--wait", "--no-check", settings=settings)]
    launcher = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    until(lambda: lab.runs.is_dir() and any((path / "status.json").exists() for path in lab.runs.iterdir()), "a run")
    run = RunDir(next(path for path in lab.runs.iterdir() if not path.name.startswith(".")))
    until(lambda: run.read_status().state == "running", "the worker runs")
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    seen = steps(run)
    until(lambda: steps(run) > seen + 5 and bool(run.checkpoints()), "it goes on without its launcher")
    worker = run.read_status()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    until(lambda: not process_lives(worker.pid, worker.pid_started), "the worker is gone")
    dead = run.state(now=time.time() + STALE_S + 1)
    assert dead.state == "dead"
    assert "loss" in dead.status.message
    until(lambda: run.state().state == "dead", "the heartbeat is stale")
    assert o1lab(["--lab", str(lab.root), "runs", "show", run.id, "--json"]) == 0
    assert said(capsys)["state"] == "dead"
    reached = run.checkpoints()[-1].name
    assert o1lab(["--lab", str(lab.root), "runs", "resume", run.id, "--json"]) == 0
    resumed = said(capsys)
    assert (resumed["id"], resumed["checkpoint"]) == (run.id, reached)
    until(
        lambda: run.read_status().state == "running" and steps(run) > int(reached.removeprefix("step-")), "it goes on"
    )
    assert o1lab(["--lab", str(lab.root), "runs", "stop", run.id, "--wait", "--json"]) == 0
    stopped = said(capsys)
    assert stopped["state"] == "stopped"
    assert stopped["checkpoint"] == f"step-{stopped['step']}"


def test_two_runs_on_one_device_queue_up(base: Path, tmp_path: Path) -> None:
    from o1lab.train.launch import start_worker

    first = prepared(tmp_path, "first", recipe(base, steps=5000))
    second = prepared(tmp_path, "second", recipe(base, steps=2))
    start_worker(first)
    try:
        until(lambda: first.read_status().state == "running", "the first runs")
        start_worker(second)
        until(lambda: "another run" in second.read_status().message, "the second waits")
        assert second.state().state == "queued"
        assert first.state().state == "running"
    finally:
        first.ask_to_stop()
    until(lambda: second.read_status().state == "finished", "the second has had its turn")
    assert first.read_status().state == "stopped"
