"""Trackers of a run: what they record, where, without the packages, without keys, and when they break."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from o1lab.errors import RefusedError, UsageError
from o1lab.train import groups
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import override, resolve
from o1lab.train.runs.directory import RunDir
from o1lab.train.runs.metrics_reader import Metrics
from o1lab.train.trainer import trackers
from tests.support.training_lab import prepared, recipe

TRAINS = pytest.mark.skipif(find_spec("trl") is None, reason="the train extra is not installed")
KEY = "f00dface" * 5


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Workers run in this process here; what they set is undone, and there is no key of a person."""
    for name in [name for name in os.environ if name.startswith(("WANDB_", "TRACKIO_", "TENSORBOARD_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    before = dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for name in [name for name in os.environ if name not in before]:
        del os.environ[name]
    for number, handler in handlers.items():
        signal.signal(number, handler)


def broken_wandb(folder: Path) -> None:
    """Write a package of W&B that is installed, but whose import fails."""
    (folder / "wandb").mkdir(parents=True)
    (folder / "wandb" / "__init__.py").write_text('raise ImportError("numpy is too new")\n')


def work(run: RunDir, *, resuming: bool = False) -> int:
    from o1lab.train import worker

    return worker.work(run, resuming=resuming)


def files_with(folder: Path, text: str) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Read event files back with TensorBoard itself: the values of each tag by step."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return {tag: {one.step: one.value for one in found.Scalars(tag)} for tag in found.Tags()["scalars"]}


@TRAINS
@pytest.mark.slow
def test_tensorboard_has_the_metrics_of_the_run(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("HF_TOKEN", KEY)
    chosen = recipe(tiny_base, report_to=["tensorboard"], eval_rows=4, eval_steps=4, lens_traces=2)
    run = prepared(tmp_path, "r", chosen)
    assert work(run) == 0
    written = scalars(run.trackers / "tensorboard")
    metrics = Metrics(run.metrics)
    metrics.poll()

    def ours(name: str) -> dict[int, float]:
        measured = zip(map(int, metrics.steps), metrics.column(name), strict=True)
        return {step: value for step, value in measured if not math.isnan(value)}

    losses = ours("loss")
    assert len(losses) == 8
    assert {step: written["train/loss"][step] for step in losses} == pytest.approx(losses, rel=1e-5)
    assert {*ours("eval_loss")} == {4, 8}
    held_out = {"eval_loss", *(name for name in metrics.columns if name.startswith("eval_loss_"))}
    assert {"eval_loss_thought", "eval_loss_solution"} < held_out
    for name in held_out:
        assert written[name.replace("_", "/", 1)] == pytest.approx(ours(name), rel=1e-5)
    assert 0 in ours("eval_loss_thought"), "they are measured before the first step, too"
    assert trackers.recorded(run) == [
        f"TensorBoard: event files in {run.trackers / 'tensorboard'}. See all runs: tensorboard --logdir "
        f"{run.path.parent}"
    ]
    assert files_with(tmp_path, KEY) == []


@TRAINS
@pytest.mark.slow
def test_a_tracker_that_breaks_is_a_warning_and_the_run_finishes(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from transformers.integrations import TensorBoardCallback

    def full(*_: Any, **__: Any) -> None:
        raise OSError("No route\x1b[2J to the disk")

    monkeypatch.setattr(TensorBoardCallback, "on_log", full)
    run = prepared(tmp_path, "r", recipe(tiny_base, report_to=["tensorboard"], steps=3))
    assert work(run) == 0
    status = run.read_status()
    assert (status.state, status.step) == ("finished", 3)
    (warning,) = [one for one in status.warnings if "TensorBoard" in one]
    assert warning == "TensorBoard gets no more of this run: OSError: No route␛[2J to the disk"


@TRAINS
@pytest.mark.slow
def test_a_tracker_that_cannot_be_made_is_a_warning_and_the_run_finishes(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from transformers.integrations import TensorBoardCallback

    def unusable(*_: Any, **__: Any) -> None:
        raise ImportError("No protobuf\x1b[2J")

    monkeypatch.setattr(TensorBoardCallback, "__init__", unusable)
    run = prepared(tmp_path, "r", recipe(tiny_base, report_to=["tensorboard"], steps=3))
    assert work(run) == 0
    (warning,) = [one for one in run.read_status().warnings if "TensorBoard" in one]
    assert warning == "TensorBoard gets nothing of this run: ImportError: No protobuf␛[2J"


@TRAINS
@pytest.mark.slow
@pytest.mark.parametrize("reported", [["wandb"], pytest.param([], marks=pytest.mark.exhaustive)])
def test_a_tracker_that_cannot_be_imported_does_not_end_the_run(
    reported: list[str], tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_wandb(tmp_path / "packages")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"), prepend=os.pathsep)
    run = prepared(tmp_path, "r", recipe(tiny_base, report_to=reported, steps=3))
    # A process of its own, as for real: trl has not been imported, and imports W&B.
    told = [sys.executable, "-P", "-m", "o1lab.train.preflight.worker", str(run.path)]
    report = json.loads(subprocess.run(told, capture_output=True, text=True, check=True).stdout)
    found = [one["message"] for one in report["warnings"] if one["code"] == "tracker_broken"]
    codes = [one["code"] for one in report["warnings"]]
    assert report["ok"] and codes.count("tracker_broken") == len(reported)
    assert len(found) == len(reported) and all("ImportError: numpy is too new" in one for one in found)
    worker = [sys.executable, "-P", "-m", "o1lab.train.worker", str(run.path)]
    subprocess.run(worker, capture_output=True, check=True)
    status = run.read_status()
    assert (status.state, status.step) == ("finished", 3)
    assert [one for one in status.warnings if "Biases" in one] == [
        "Weights & Biases gets nothing of this run: ImportError: numpy is too new" for _ in reported
    ]


@TRAINS
@pytest.mark.slow
@pytest.mark.parametrize("keyed", [False, True])
def test_wandb_works_offline_and_no_file_has_the_key(
    keyed: bool, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="Weights & Biases is not installed")
    monkeypatch.setenv("HF_TOKEN", KEY)
    if keyed:
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_MODE", "offline")
    run = prepared(tmp_path, "r", recipe(tiny_base, report_to=["wandb"], steps=3))
    assert work(run) == 0
    assert not [one for one in run.read_status().warnings if "Biases" in one]
    (folder,) = (run.trackers / "wandb").glob("offline-run-*")
    assert list(folder.glob("*.wandb"))
    assert "wandb sync" in trackers.recorded(run)[0]
    assert files_with(tmp_path, KEY) == []


@TRAINS
@pytest.mark.slow
def test_without_the_package_preflight_and_worker_say_what_to_install(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from o1lab.train.preflight.worker import inspect

    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    run = prepared(tmp_path, "r", recipe(tiny_base, report_to=["tensorboard", "wandb"]))
    report = inspect(run, run.path.parent)
    (problem,) = [one for one in report.problems if one.code == "tracker_missing"]
    assert not report.ok
    assert "TensorBoard and Weights & Biases" in problem.message
    assert "pip install tensorboard wandb" in problem.hint and "o1lab[trackers]" in problem.hint
    assert work(run) == 1
    assert "not installed" in run.read_status().message


@TRAINS
@pytest.mark.slow
def test_preflight_warns_that_wandb_will_be_offline(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from o1lab.train.preflight.worker import inspect

    monkeypatch.setattr(trackers, "find_spec", lambda name: object())
    run = prepared(tmp_path, "r", recipe(tiny_base, report_to=["wandb"]))
    report = inspect(run, run.path.parent)
    assert report.ok
    assert [one.code for one in report.warnings if one.code == "tracker_offline"]
    assert not run.trackers.exists()


def test_the_packages_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    trackers.require([])
    with pytest.raises(RefusedError, match="reports to trackio, but the package") as refused:
        trackers.require(["trackio"])
    assert refused.value.code == "tracker_missing"


def test_wandb_is_online_only_with_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = {"NETRC": str(tmp_path / "netrc")}
    assert trackers.wandb_mode(env) == "offline"
    assert trackers.wandb_mode(env | {"WANDB_API_KEY": KEY}) == "online"
    assert trackers.wandb_mode(env | {"WANDB_API_KEY": KEY, "WANDB_MODE": "disabled"}) == "disabled"
    (tmp_path / "netrc").write_text(f"machine api.wandb.ai login user password {KEY}\n")
    assert trackers.wandb_mode(env) == "online"
    assert trackers.wandb_mode(env | {"WANDB_BASE_URL": "https://wandb.example.org"}) == "offline"
    monkeypatch.setenv("O1LAB_OFFLINE", "1")
    assert trackers.wandb_mode(env) == "offline"


def test_everything_is_written_below_the_run(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "runs" / "r")
    given = trackers.environment(run, "sums", {"WANDB_API_KEY": KEY})
    folders = [given[name] for name in ("TENSORBOARD_LOGGING_DIR", "WANDB_DIR", "TRACKIO_DIR")]
    assert all(Path(one).is_relative_to(run.trackers) for one in folders)
    assert KEY not in json.dumps(given)
    assert trackers.environment(run, "sums", {"WANDB_DIR": "/elsewhere", "WANDB_PROJECT": "own"}).keys().isdisjoint({
        "WANDB_DIR", "WANDB_PROJECT",
    })  # fmt: skip
    empty = dict.fromkeys(given, "")
    assert trackers.environment(run, "sums", empty) == trackers.environment(run, "sums", {})  # nothing is not a value
    (sent,) = trackers.places(["wandb"], run, {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": f"https://u:{KEY}@w.org/"})
    assert "sent to https://w.org" in sent and KEY not in sent


def test_a_recipe_names_its_trackers() -> None:
    values = {"dataset": "d"}
    for given in ("tensorboard, wandb", ["tensorboard,wandb"], ["tensorboard", "wandb", "wandb"]):
        assert resolve(values | {"report_to": given}).report_to == ["tensorboard", "wandb"]
    assert resolve(values | {"report_to": "none"}).report_to == []
    assert resolve(override(values, ["report_to=trackio"])).report_to == ["trackio"]
    assert not groups.has_lists(values | {"report_to": ["tensorboard", "wandb"]})
    with pytest.raises(UsageError, match="'tensorboard', 'wandb' or 'trackio'"):
        resolve(values | {"report_to": "mlflow"})
    assert {"report_to", "tracker_project"} <= Recipe.FIXED
