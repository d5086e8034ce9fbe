"""``o1lab train --on slurm`` on a Slurm of one node: real jobs, real workers, preemption, requeue and cancellation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import tomlkit

from o1lab.cli.main import run as o1lab
from o1lab.paths import Lab
from o1lab.train.runs.directory import RunDir, find_run
from o1lab.train.runs.metrics_reader import Metrics
from tests.support import slurm_cluster
from tests.support.slurm_cluster import Slurm
from tests.support.training_lab import make_lab
from tests.support.waiting import until

pytest.importorskip("trl", reason="the train extra is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm")]


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    if reason := slurm_cluster.missing():
        pytest.skip(reason)
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(slurm_cluster.running())
        except slurm_cluster.CannotStartError as error:
            pytest.skip(f"Slurm does not start on this machine: {error}")
        yield cluster


@pytest.fixture
def lab(slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("SLURM_CONF", str(slurm.conf))
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    made = make_lab(tmp_path / "a lab")  # a space in the path
    configure(made, partition="main")
    return made


def configure(lab: Lab, **slurm: Any) -> None:
    document = tomlkit.parse(lab.config.read_text("utf-8"))
    document["slurm"] = slurm
    lab.config.write_text(tomlkit.dumps(document), "utf-8")


def train(lab: Lab, base: Path, capsys: pytest.CaptureFixture[str], *more: str, steps: int = 2) -> RunDir:
    words = ["--lab", str(lab.root), "train", "--base", str(base), "--dataset", "sums", "--on", "slurm"]
    for one in (f"steps={steps}", "batch_size=2", "max_length=128", "dtype=fp32", "device=cpu", "eval_steps=0"):
        words += ["--set", one]
    assert o1lab([*words, "--set", "save_steps=0", "--no-check", *more, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["pid"] is None
    run = find_run(lab, answer["run_id"])
    launch = run.launch()
    assert launch is not None
    assert launch.job == answer["job"]
    return run


def job_of(run: RunDir) -> str:
    launch = run.launch()
    assert launch is not None
    return launch.job


def seen(run: RunDir, holds: Callable[[], bool]) -> None:
    until(holds, lambda: (run.info(), run.log_tail(30)))


def steps(run: RunDir) -> list[int]:
    metrics = Metrics(run.metrics)
    metrics.poll()
    return [int(step) for step in metrics.steps]


@pytest.mark.usefixtures("real_python")
def test_a_job_trains_and_ends_as_any_run(
    slurm: Slurm, lab: Lab, tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(lab, tiny_base, capsys)  # with the python of the lab
    seen(run, lambda: not run.info().active)
    assert run.info().state == "finished", (run.info(), run.log_tail(30))
    assert steps(run) == [1, 2]
    assert run.checkpoints()
    assert f"WorkDir={run.path} " in slurm.ask("scontrol", "-o", "show", "job", job_of(run))
    assert not list((tmp := Path(str(lab.root.parent / "cache"))).glob("locks/*")), tmp  # no queue of this machine
    assert o1lab(["--lab", str(lab.root), "runs", "show", run.id, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["state"], shown["launch"]["launcher"], shown["launch"]["job"]) == ("finished", "slurm", job_of(run))


def test_a_preempted_run_saves_goes_back_into_the_queue_and_goes_on(
    slurm: Slurm, lab: Lab, tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(lab, tiny_base, capsys, steps=400)
    seen(run, lambda: len(steps(run)) >= 3)
    urgent = slurm.ask(
        "sbatch", "--parsable", "--partition=high", "--exclusive", "--wrap=sleep 300", "--output=/dev/null"
    )
    seen(run, lambda: run.info().state == "queued")  # after it was interrupted
    assert "back in the queue" in run.info().status.message
    assert run.checkpoints(), run.log_tail(30)
    saved = int(run.checkpoints()[-1].name.removeprefix("step-"))
    slurm.ask("scancel", urgent)
    seen(run, lambda: run.info().state == "running" and bool(steps(run)) and steps(run)[-1] > saved)
    assert steps(run) == list(range(1, steps(run)[-1] + 1)), "no step is lost or doubled"
    assert slurm.field(job_of(run), "Restarts") == "1"

    assert o1lab(["--lab", str(lab.root), "runs", "stop", run.id, "--wait", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "stopped"
    seen(run, lambda: slurm.field(job_of(run), "JobState") == "COMPLETED")

    first = job_of(run)
    assert o1lab(["--lab", str(lab.root), "runs", "resume", run.id, "--json"]) == 0
    capsys.readouterr()
    assert job_of(run) != first
    last = steps(run)[-1]
    seen(run, lambda: steps(run)[-1] > last)
    slurm.ask("scancel", job_of(run))
    seen(run, lambda: not run.info().active)
    found = run.info()
    assert found.state == "stopped"
    assert f"Slurm job {job_of(run)} was cancelled." in found.status.message
    assert "o1lab runs resume" in found.status.hint
    assert o1lab(["--lab", str(lab.root), "runs", "rm", run.id, "--yes", "--json"]) == 0


def test_a_waiting_job_is_cancelled_by_stop_and_its_state_says_why_it_waits(
    slurm: Slurm, lab: Lab, tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    urgent = slurm.ask(
        "sbatch", "--parsable", "--partition=high", "--exclusive", "--wrap=sleep 300", "--output=/dev/null"
    )
    run = train(lab, tiny_base, capsys)
    seen(run, lambda: "waits for free nodes" in run.info().status.message)
    assert run.info().state == "queued"
    assert o1lab(["--lab", str(lab.root), "runs", "stop", run.id, "--json"]) == 0
    assert run.info().state == "stopped"
    assert slurm.field(job_of(run), "JobState") == "CANCELLED"
    slurm.ask("scancel", urgent)


def test_a_run_that_slurm_refuses_has_failed_with_what_to_do(
    slurm: Slurm, lab: Lab, tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(lab, partition="nowhere")
    words = ["--lab", str(lab.root), "train", "--base", str(tiny_base), "--dataset", "sums", "--on", "slurm", "--json"]
    assert o1lab([*words, "--set", "device=cpu", "--no-check"]) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["code"], error["message"]) == ("no_partition", "Slurm has no partition 'nowhere'.")
    run = RunDir(next(lab.runs.iterdir()))
    assert (run.info().state, run.info().status.message) == ("failed", "Slurm has no partition 'nowhere'.")
    assert o1lab(["--lab", str(lab.root), "doctor", "--json"]) == 1
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert (checks["slurm"]["ok"], checks["slurm"]["fix"]) == (False, "There are: main, high.")
    configure(lab, partition="main", options=["--output=/nowhere/log.txt"])
    assert o1lab(["--lab", str(lab.root), "runs", "resume", run.id, "--json"]) == 0
    seen(run, lambda: not run.info().active)
    assert "could not write the log of the run" in run.info().status.message
    shutil.rmtree(run.path)
