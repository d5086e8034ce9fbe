"""Runs whose worker a person starts: a worker that is gone, a command that is given again, Ctrl-C."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from o1lab.config import init_lab
from o1lab.jobs import manage
from o1lab.paths import Lab
from o1lab.train import launch, worker
from o1lab.train.launcher import forget_end
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.runs import silent_jobs
from o1lab.train.runs.directory import Launch, RunDir, RunStatus
from tests.support.training_lab import prepared


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(silent_jobs, "_ASK_EVERY_S", 0.0)
    return init_lab(tmp_path / "lab")


def make_checkpoint(run: RunDir, step: int) -> None:
    run.checkpoint(step).mkdir(parents=True)
    (run.checkpoint(step) / "adapter_config.json").write_text("{}")
    (run.checkpoint(step) / "adapter_model.safetensors").touch()


def by_hand(lab: Lab, *, host: str, pid: int) -> RunDir:
    """A run of a person on a host, whose worker has saved step 5 and has not reported for a minute."""
    run = prepared(lab.root, "0d0d0d0d", Recipe(dataset="sums", on="hand", device="cpu"))
    launch.start_worker(run)
    make_checkpoint(run, 5)
    run.write_status(RunStatus("running", pid=pid, host=host, heartbeat=time.time() - 60, step=5))
    return run


@pytest.mark.skipif(find_spec("trl") is None, reason="the train extra is not installed")
def test_a_worker_that_a_person_started_here_is_dead_after_its_end(lab: Lab) -> None:
    gone = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True)
    run = by_hand(lab, host=socket.gethostname(), pid=int(gone.stdout))
    found = run.info()
    assert (found.state, found.active) == ("dead", False)
    assert "resume" in found.status.hint
    launch.RUNS.resume(lab, run)
    assert run.info().state == "queued"
    assert "--resume" in (run.launch() or Launch("")).commands[0]


def test_a_worker_that_a_person_started_and_that_lives_is_left_alone(lab: Lab) -> None:
    assert by_hand(lab, host=socket.gethostname(), pid=os.getpid()).info().state == "running"


def test_stop_ends_a_run_of_a_host_that_is_silent(lab: Lab) -> None:
    run = by_hand(lab, host="node7", pid=1)
    found = run.info()
    assert (found.state, found.stale) == ("running", True)
    assert f"o1lab runs stop {run.id}" in found.status.hint
    stopped = manage.stop(run)
    assert (stopped.state, stopped.active) == ("stopped", False)
    assert "Stopped without an answer from its worker on node7." in stopped.status.message
    run.write_status(RunStatus("running", pid=1, host="node7", heartbeat=time.time(), step=6))
    assert run.info().state == "stopping", "it was there after all, and sees the stop file"
    run.write_status(RunStatus("running", pid=1, host="node7", heartbeat=time.time() - 60, step=6))
    launch.RUNS.removal(lab, run)


def test_a_repeated_command_continues_the_run_and_a_local_process_begins(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[bool] = []
    monkeypatch.setattr("o1lab.train.worker._lead", lambda _run, _world, *, resuming: begun.append(resuming) or 0)
    run = prepared(lab.root, "0e0e0e0e", Recipe(dataset="sums", device="cpu"))
    make_checkpoint(run, 5)
    worker.work(run, resuming=False)  # a process of this machine, which was not asked to resume
    run = by_hand(lab, host="node7", pid=1)
    worker.work(run, resuming=False)
    for checkpoint in run.checkpoints():
        shutil.rmtree(checkpoint)
    worker.work(run, resuming=False)
    assert begun == [False, True, False]


def test_the_end_of_a_run_is_deleted_when_its_command_is_repeated(lab: Lab) -> None:
    run = by_hand(lab, host="node7", pid=1)
    manage.stop(run)
    forget_end(run)
    run.stop_file.unlink()
    assert run.info().state == "running"


def test_the_status_of_a_failed_run_is_written_although_the_traceback_cannot_be(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = prepared(lab.root, "0f0f0f0f", Recipe(dataset="sums", device="cpu"))
    run.recipe.write_text("not: [a recipe")
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    reads, writes = os.pipe()
    os.close(reads)
    try:
        with os.fdopen(writes, "w", buffering=1) as closed, monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", closed)
            try:
                assert worker.work(run, resuming=False) == 1
            finally:
                with suppress(OSError):
                    closed.flush()
    except BrokenPipeError:  # what is left in the buffer, when it is closed
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert run.read_status().state == "failed"
