"""Groups of runs as scripts use them: real workers on a tiny base, and the verbs of runs on a whole group."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from o1lab.cli.main import run as o1lab
from o1lab.files import write_json
from o1lab.jobs.device_queue import Device, acquire_first
from o1lab.paths import Lab
from o1lab.train import groups
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import load
from o1lab.train.runs.directory import GroupTag, RunDir, list_run_dirs
from o1lab.train.runs.metrics_reader import Metrics
from tests.support.fake_runs import append, write_run
from tests.support.training_lab import make_lab

Ask = Callable[..., dict[str, Any]]
QUICK = ["steps=2", "batch_size=4", "max_length=128", "dtype=fp32", "device=cpu", "save_steps=0", "eval_steps=0"]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return make_lab(tmp_path / "lab")


def train(base: Path, *more: str) -> list[str]:
    words = ["train", "--base", str(base), "--dataset", "sums"]
    for setting in QUICK:
        words += ["--set", setting]
    return [*words, *more]


def member(lab: Lab, identity: str, state: str, seed: int) -> RunDir:
    run = write_run(lab.runs, identity, state, steps=3, total=9, pid=2**22 + 1, heartbeat=1.0, age=10 - seed)
    write_json(run.group_file, asdict(GroupTag("sweep", {"seed": seed})))
    return run


@pytest.mark.slow
def test_a_sweep_trains_all_its_runs_and_compares_them(
    lab: Lab, tiny_base: Path, tmp_path: Path, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("trl", reason="the train extra is not installed")
    recipe = tmp_path / "sweep.yaml"
    recipe.write_text(yaml.safe_dump({"learning_rate": [1e-4, 5e-4], "eval_rows": 4}))
    command = train(tiny_base, "--recipe", str(recipe), "--seed", "1,2", "--group", "sweep")
    looked = ask(*command, "--dry-run")
    assert (looked["ok"], looked["runs"], looked["total_steps"], len(looked["settings"])) == (True, 4, 8, 1)
    assert looked["varies"] == ["learning_rate", "seed"]
    assert not list_run_dirs(lab)

    done = ask(*command, "--no-check", "--wait")
    assert done["states"] == {"finished": 4}
    wanted = [{"learning_rate": rate, "seed": seed} for rate in (1e-4, 5e-4) for seed in (1, 2)]
    assert [run["varies"] for run in done["runs"]] == wanted
    for run, varies in zip(done["runs"], wanted, strict=True):
        found = load(RunDir(lab.runs / run["id"]).recipe)
        assert (found.learning_rate, found.seed) == (varies["learning_rate"], varies["seed"])
    for one in done["settings"]:
        assert one["runs"] == one["last_loss"]["runs"] == one["eval_loss"]["runs"] == 2
        assert one["last_loss"]["sd"] > 0  # the seeds draw other rows
        assert one["best_loss"]["mean"] <= one["last_loss"]["mean"]

    shared = ("group", "varies", "states", "step", "total_steps", "settings")
    assert (done["step"], done["total_steps"]) == (8, 8)
    assert ask("runs", "show", "sweep") == {name: done[name] for name in shared} | {"runs": done["runs"]}
    assert {item["group"] for item in ask("runs", "ls", "sweep")["items"]} == {"sweep"}
    assert ask("runs", "ls", "other")["items"] == []
    assert o1lab(["--lab", str(lab.root), "runs", "show", "sweep"]) == 0
    text = capsys.readouterr().out
    assert "group sweep: 4 runs, 4 finished" in text and "±" in text


@pytest.mark.slow
def test_a_group_that_waits_for_its_device_is_stopped_and_resumed_as_one(lab: Lab, tiny_base: Path, ask: Ask) -> None:
    pytest.importorskip("trl", reason="the train extra is not installed")
    with acquire_first([Device("cpu")]):
        started = ask(*train(tiny_base, "--seed", "1,2", "--no-check"))
        assert started["group"] == "sums-seed"
        ids = [run["run_id"] for run in started["runs"]]
        stopped = ask("runs", "stop", "sums-seed", "--wait")
    assert [(one["id"], one["state"]) for one in stopped["items"]] == [(one, "stopped") for one in reversed(ids)]
    assert [one["id"] for one in ask("runs", "resume", "sums-seed")["items"]] == ids
    waited = ask("runs", "wait", "sums-seed")
    assert [(one["id"], one["state"], one["step"]) for one in waited["items"]] == [(one, "finished", 2) for one in ids]
    removed = ask("runs", "rm", "sums-seed", "--yes")
    assert removed["total"] == 2 and all(one["freed_bytes"] > 0 for one in removed["items"])
    assert not list_run_dirs(lab)


@pytest.mark.slow
def test_a_hopeless_run_is_stopped_also_after_a_kill_and_a_person_can_resume_it(
    lab: Lab, tiny_base: Path, ask: Ask
) -> None:
    pytest.importorskip("trl", reason="the train extra is not installed")
    for number in (1, 2, 3):
        other = member(lab, f"aa11000{number}", "finished", number)
        write_json(other.group_file, asdict(GroupTag("sweep", {"learning_rate": number / 100})))
        append(other.metrics, [{"step": 100, "eval_loss": 0.1 * number}])
    values = {"dataset": "sums", "base": str(tiny_base), "learning_rate": [1e-6], "eval_rows": 4}
    values |= {"steps": 300, "eval_steps": 50, "save_steps": 10, "stop_hopeless": 100}
    values |= {"batch_size": 2, "max_length": 128, "dtype": "fp32", "device": "cpu"}
    recipes = groups.resolve_group(*groups.expand(values))
    [(run, _)] = groups.launch_group(lab, "sweep", recipes, ["learning_rate"])
    metrics = Metrics(run.metrics)
    while not (metrics.poll() and metrics.last().get("step", 0) >= 25):
        assert run.info().active
    os.kill(run.read_status().pid or 0, signal.SIGKILL)
    assert ask("runs", "wait", run.id, status=1)["items"][0]["state"] == "dead"

    assert [one["id"] for one in ask("runs", "resume", "sweep")["items"]] == [run.id]
    (ended,) = ask("runs", "wait", run.id, status=1)["items"]
    assert (ended["state"], ended["step"]) == ("stopped", 101), "it was judged at step 100"
    shown = ask("runs", "show", run.id)
    assert shown["message"].startswith("Stopped as hopeless: best eval_loss 5.")
    assert shown["message"].endswith(" at step 100, but 0.2 is the median of 3 other runs of the group.")
    assert shown["hint"] == f"`o1lab runs resume {run.id}` continues it, and it is not judged again."
    assert (shown["stopped_by"], shown["checkpoints"][-1]) == ("median_rule", "step-101")
    seen = json.loads(run.early_stop.read_text())
    assert (seen["rule"], seen["step"], seen["median"]) == ("median_rule", 100, pytest.approx(0.2))
    assert seen["others"] == {f"aa11000{seed}": pytest.approx(0.1 * seed) for seed in (1, 2, 3)}
    found = {one["id"]: one for one in ask("runs", "show", "sweep")["runs"]}
    assert [one for one in found if found[one]["hopeless"]] == [run.id]

    refused = ask("runs", "resume", "sweep", status=2)["error"]["message"]
    assert refused.endswith("of the group sweep are finished, stopped as hopeless (resume it by its id).")
    ask("runs", "resume", run.id)
    (ended,) = ask("runs", "wait", run.id)["items"]
    assert (ended["state"], ended["step"]) == ("finished", 300)
    assert ask("runs", "show", run.id)["stopped_by"] is None


@pytest.mark.slow
def test_a_dataset_and_its_control_are_trained_by_one_command(
    lab: Lab, tiny_base: Path, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("trl", reason="the train extra is not installed")
    command = train(tiny_base, "--with-control")
    assert "run_id" not in ask(*command, "--dry-run")  # nothing is made
    assert [one["name"] for one in ask("dataset", "ls")["items"]] == ["sums"]
    done = ask(*command, "--wait")
    assert (done["group"], done["states"]) == ("dataset", {"finished": 2})
    assert [run["varies"] for run in done["runs"]] == [{"dataset": "sums"}, {"dataset": "sums-control"}]
    long, short = (load(RunDir(lab.runs / run["id"]).recipe) for run in done["runs"])
    assert (long.phase, short.phase) == (2, 1)
    rows = RunDir(lab.runs / done["runs"][1]["id"]).data.read_text().splitlines()
    assert [bool(json.loads(row)["thought"]) for row in rows] == [False] * 24
    looked = ask(*command, "--seed", "1,2", "--dry-run")
    assert (looked["runs"], looked["varies"], len(looked["settings"])) == (4, ["dataset", "seed"], 2)


def test_a_verb_leaves_runs_alone_that_it_does_not_apply_to(lab: Lab, ask: Ask) -> None:
    member(lab, "aa110000", "stopped", 1)
    member(lab, "bb110000", "finished", 2)
    refused = ask("runs", "stop", "sweep", status=2)["error"]
    assert refused["message"] == "Nothing to do: all 2 runs of the group sweep are finished, stopped."
    write_run(lab.runs, "cc110000", "finished", recipe=Recipe(dataset="d", init_from="bb110000/step-3"))
    assert ask("runs", "rm", "sweep", status=2)["error"]["hint"] == "Add --yes."
    removed = ask("runs", "rm", "sweep", "--yes", status=1)
    assert [one["id"] for one in removed["items"]] == ["aa110000"]
    assert removed["failed"][0]["id"] == "bb110000"
    assert "Other runs start from the run bb110000" in removed["failed"][0]["error"]["message"]
    assert {run.id for run in list_run_dirs(lab)} == {"bb110000", "cc110000"}


def test_a_group_is_watched_and_gets_a_note(lab: Lab, ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    member(lab, "aa110000", "stopped", 1)
    member(lab, "bb110000", "failed", 2)
    noted = ask("runs", "note", "sweep", "too hot")
    assert [(one["id"], one["notes"]) for one in noted["items"]] == [
        ("aa110000", ["too hot"]),
        ("bb110000", ["too hot"]),
    ]
    assert ask("runs", "watch", "sweep", status=1)["states"] == {"failed": 1, "stopped": 1}
    assert o1lab(["--lab", str(lab.root), "runs", "watch", "sweep"]) == 1
    out, err = capsys.readouterr()
    assert "step 3/9" in out and "group sweep: 2 runs" in out and "Run bb110000 is failed." in err


def test_the_name_of_a_run_goes_before_that_of_a_group(lab: Lab, ask: Ask) -> None:
    member(lab, "aa110000", "finished", 1)
    write_run(lab.runs, "bb110000", "finished")
    ask("runs", "rename", "bb110000", "sweep")
    assert ask("runs", "show", "sweep")["id"] == "bb110000"


def test_a_damaged_group_file_is_named_in_the_list(lab: Lab, ask: Ask) -> None:
    member(lab, "aa110000", "finished", 1).group_file.write_text("{")
    item = ask("runs", "ls")["items"][0]
    assert item["group"] is None and item["unreadable"].startswith("group.json: it is not JSON")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--set", "device=[cpu, 'cuda:0']", "--seed", "1,2"], "a device is auto, cpu or cuda:N"),
        (["--seed", "1,1"], "The group has a run twice: seed 1."),
        (["--seed", ",".join(map(str, range(25)))], "These are 25 runs"),
        (["--group", "x"], "--group names a group of runs"),
        (["--sample", "2"], "--sample draws runs of a group"),
        (["--sample", "2", "--seed", "1,2,3", "--with-control"], "--sample draws runs of a group"),
        (["--sample", "4", "--seed", "1,2,3"], "The recipe has 3 combinations, fewer than the 4 to draw."),
    ],
)
def test_what_makes_no_group_is_a_usage_error(lab: Lab, ask: Ask, more: list[str], words: str) -> None:
    assert words in ask("train", "--dataset", "sums", *more, status=2)["error"]["message"]
    assert not list_run_dirs(lab)


def test_a_sample_of_the_combinations_is_started(
    lab: Lab, ask: Ask, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("o1lab.train.launch.require_trainer", lambda: None)
    monkeypatch.setattr("o1lab.train.launch.start_worker", lambda _: 1)
    started = ask(*train(tiny_base, "--seed", ",".join(map(str, range(30))), "--lora-r", "4,8"),
                  "--no-check", "--sample", "3", "--sample-seed", "5")  # fmt: skip
    assert (started["combinations"], len(started["runs"]), started["varies"]) == (60, 3, ["lora_r", "seed"])
    settings = [tuple(sorted(run["varies"].items())) for run in started["runs"]]
    assert len(set(settings)) == 3
    assert {run.group().name for run in list_run_dirs(lab)} == {started["group"]}  # type: ignore[union-attr]


def test_a_recipe_with_phases_has_no_lists(lab: Lab, ask: Ask, tmp_path: Path) -> None:
    recipe = tmp_path / "two.yaml"
    recipe.write_text(yaml.safe_dump({"phases": [{"dataset": "sums"}, {"dataset": "sums", "seed": [1, 2]}]}))
    found = ask("train", "--recipe", str(recipe), status=2)["error"]
    assert found["message"] == "A recipe with phases is not a group of runs, but it has several values of seed."
