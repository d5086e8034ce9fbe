"""The verbs train and runs, as scripts use them, with real processes and a tiny base."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from o1lab.cli.main import run as o1lab
from o1lab.cli.train_output import preflight_text
from o1lab.paths import Lab
from o1lab.process import is_alive
from o1lab.train.preflight.report import Preflight, Problem
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.runs.directory import RunDir, find_run, list_run_dirs
from o1lab.train.runs.metrics_reader import Metrics
from screens.train.preflight_text import report_text
from store import open_store
from tests.support import votes
from tests.support.programs import program, said
from tests.support.tiny_model import make_tiny_model
from tests.support.training_lab import add_replay, make_lab
from tests.support.waiting import until

pytest.importorskip("trl", reason="the train extra is not installed")
pytestmark = pytest.mark.slow

QUICK = ["steps=4", "batch_size=4", "max_length=128", "dtype=fp32", "device=cpu", "save_steps=0", "eval_steps=0"]


@pytest.fixture
def base(tiny_base: Path) -> Path:
    return tiny_base


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return make_lab(tmp_path_factory.mktemp("lab"))


@pytest.fixture(autouse=True)
def _own_queue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))


def command(lab: Lab, base: Path, *more: str, settings: list[str] | None = None) -> list[str]:
    words = ["--lab", str(lab.root), "train", "--base", str(base), "--dataset", "sums"]
    for setting in settings if settings is not None else QUICK:
        words += ["--set", setting]
    return [*words, *more, "--json"]


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
    assert not list(lab.runs.glob("*"))


def test_a_dry_run_counts_the_answers_of_the_base(
    tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = make_lab(tmp_path / "lab")
    wanted = command(lab, base, "--dry-run", "--replay", "0.25")
    assert o1lab(wanted) == 4
    refused = said(capsys)["error"]
    assert (refused["code"], f"o1lab dataset replay --base {base}" in refused["hint"]) == ("no_replay", True)
    store = open_store(lab.database)
    made = add_replay(store, str(base), 12)
    store.close()
    assert o1lab(wanted) == 0
    found = said(capsys)
    assert (found["rows"], found["train_rows"], found["replay_rows"]) == (32, 32, 8)
    assert 0 < found["replay_tokens"] < found["trained_tokens"]
    assert f"--set replay=0.25 --set replay_dataset={made.name} --set replay_hash={made.hash}" in found["command"]
    line = next(line for line in preflight_text(Preflight(**found)).splitlines() if line.startswith("replay"))
    assert "8 rows (25%)" in line
    assert (
        "answers of the base itself (replay): 8 rows (25%)"
        in report_text(Preflight(**found), Recipe(dataset="d")).plain
    )
    assert not list(lab.runs.glob("*"))


def test_a_dry_run_prints_nothing_that_was_not_measured() -> None:
    problem = Problem(code="base_missing", message="No base model is called x.", hint="Choose another.")
    lines = preflight_text(Preflight(rows=24, problems=[problem], command="o1lab train")).splitlines()
    assert [line.split(maxsplit=1)[0] for line in lines if line] == ["rows", "command", "base_missing:", "Choose"]


def test_everything_that_is_wrong_is_found_at_once_with_exit_5(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows over length, and a template without an end: one process finds all of it. Its stripping of thoughts does not
    reach the rows."""
    stripping = (
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
        "{{ message['content'].split('</think>')[-1].strip() }}\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    base = make_tiny_model(tmp_path / "stripping", template=stripping)
    assert o1lab(command(lab, base, "--dry-run", "--set", "max_length=20")) == 5
    found = said(capsys)
    assert found["ok"] is False
    assert found["over_length"] > 0
    codes = {problem["code"] for problem in found["problems"]}
    assert codes == {"over_length", "no_end_of_turn"}
    assert found["thought_survives"] is True


@pytest.mark.parametrize("broken", ["absent", "no_weights"])
def test_a_base_that_cannot_be_used_is_named_and_nothing_starts(
    broken: str, lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    if broken == "no_weights":
        make_tiny_model(folder)
        (folder / "model.safetensors").unlink()
    expected = "no_weights" if broken == "no_weights" else "base_missing"
    before = sorted(lab.runs.glob("*"))
    assert o1lab(command(lab, folder, "--dry-run")) == 5
    assert [problem["code"] for problem in said(capsys)["problems"]] == [expected]
    assert o1lab(command(lab, folder)) == 5
    assert said(capsys)["error"]["code"] == expected
    assert sorted(lab.runs.glob("*")) == before


def test_train_show_and_watch(
    lab: Lab, base: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(base.parent)  # the worker runs elsewhere: a relative path must mean the same there
    assert o1lab(command(lab, Path(base.name), "--no-check", "--wait", "--set", "phase=1")) == 0
    first = said(capsys)
    assert (first["state"], first["step"]) == ("finished", 4)
    assert Path(first["dir"]).is_dir()
    assert o1lab(["--lab", str(lab.root), "runs", "ls", "--json"]) == 0
    listed = said(capsys)
    assert listed["total"] == 1
    item = listed["items"][0]
    assert set(item) >= {
        "id", "name", "state", "step", "total_steps", "loss", "base", "dataset_hash", "heartbeat_age_s",
        "unreadable", "group", "varies",
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


@pytest.mark.usefixtures("real_python")
def test_a_run_outlives_its_launcher_and_its_own_death_and_the_next_one_waits(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One long run: its launcher is killed, then its worker; it is resumed; a second phase waits behind it."""
    lab = make_lab(tmp_path / "lab")
    try:
        _outlive(lab, base, capsys)
    finally:  # nothing must train on behind a failed test
        for left in list_run_dirs(lab):
            left.ask_to_stop()


def _outlive(lab: Lab, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = [*QUICK[1:], "steps=1000000", "save_steps=20"]  # they never end by themselves
    words = program(*command(lab, base, "--wait", "--no-check", settings=settings))
    launcher = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    until(lambda: bool(list_run_dirs(lab)), "a run")
    run = list_run_dirs(lab)[0]
    until(lambda: run.read_status().state == "running", "the worker runs")
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    seen = steps(run)
    until(lambda: steps(run) > seen + 5 and bool(run.checkpoints()), "it goes on without its launcher")
    worker = run.read_status()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    until(lambda: not is_alive(worker.pid, worker.pid_started), "the worker is gone")
    run.write_status(replace(run.read_status(), heartbeat=time.time() - 60))  # as if some time had passed
    assert o1lab(["--lab", str(lab.root), "runs", "show", run.id, "--json"]) == 0
    shown = said(capsys)
    assert shown["state"] == "dead"
    assert "was killed" in shown["message"]
    assert f"runs resume {run.id}" in shown["hint"]
    reached = run.checkpoints()[-1].name
    assert o1lab(["--lab", str(lab.root), "runs", "resume", run.id, "--json"]) == 0
    resumed = said(capsys)
    assert (resumed["id"], resumed["checkpoint"]) == (run.id, reached)
    until(
        lambda: run.read_status().state == "running" and steps(run) > int(reached.removeprefix("step-")), "it goes on"
    )
    next_one = command(lab, base, "--no-check", "--init-from", run.id, settings=[*QUICK[1:], "steps=2"])
    assert o1lab(next_one) == 0
    second = find_run(lab, said(capsys)["run_id"])
    assert f"init_from: {run.id}/step-" in second.recipe.read_text()
    waits = f"Waiting for run {run.id} of lab "
    until(lambda: second.read_status().message.startswith(waits), "the second waits")
    assert second.info().state == "queued"
    assert run.info().state == "running"
    assert o1lab(["--lab", str(lab.root), "runs", "stop", run.id, "--wait", "--json"]) == 0
    stopped = said(capsys)
    assert stopped["state"] == "stopped"
    assert stopped["checkpoint"] == f"step-{stopped['step']}"
    until(lambda: second.read_status().state == "finished", "the second has had its turn")


@pytest.fixture(scope="module")
def with_pairs(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A lab with the dataset ``sums``, and the pairs ``better`` of eight blind votes."""
    made = make_lab(tmp_path_factory.mktemp("pairs"))
    store = open_store(made.database)
    for number in range(8):
        votes.voted(store, f"What is {number} + 1?", f"<think>\nI count.\n</think>\n\n{number + 1}", "No idea.")
    store.close()
    assert o1lab(["--lab", str(made.root), "dataset", "pairs", "better", "--from", "votes"]) == 0
    return made


def test_from_votes_to_a_dpo_run(with_pairs: Lab, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = [*QUICK, "objective=dpo", "learning_rate=2e-3"]
    words = ["--lab", str(with_pairs.root), "train", "--base", str(base), "--dataset", "better"]
    words += [word for setting in settings for word in ("--set", setting)]
    capsys.readouterr()
    assert o1lab([*words, "--dry-run", "--json"]) == 0
    found = said(capsys)
    assert (found["rows"], found["train_rows"], found["total_steps"]) == (8, 8, 4)
    assert found["reference"] == f"the base {base}"
    assert {"from_the_base", "learning_rate"} <= {one["code"] for one in found["warnings"]}
    assert "reference       the base" in preflight_text(Preflight.model_validate(found))
    assert (
        "compared with its reference: the base"
        in report_text(Preflight.model_validate(found), Recipe(dataset="d")).plain
    )
    assert o1lab([*words, "--wait", "--no-check", "--json"]) == 0
    ended = said(capsys)
    assert ended["state"] == "finished"
    metrics = Metrics(find_run(with_pairs, ended["run_id"]).metrics)
    metrics.poll()
    assert metrics.last()["reward_margin"] > 0


def test_the_dataset_must_be_of_the_kind_that_the_objective_needs(
    with_pairs: Lab, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for dataset, objective in (("sums", "dpo"), ("sums", "kto"), ("better", "sft")):
        words = ["--lab", str(with_pairs.root), "train", "--base", str(base), "--dataset", dataset]
        capsys.readouterr()
        assert o1lab([*words, "--set", f"objective={objective}", "--json"]) == 5
        error = said(capsys)["error"]
        assert error["code"] == "dataset_kind"
        assert "`o1lab dataset " in error["hint"]
