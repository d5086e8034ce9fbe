"""Runs of several processes, with real torchrun over gloo and a tiny base."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from o1lab.errors import LabError
from o1lab.jobs.log import begin_session
from o1lab.process import QUIET_ENVIRONMENT
from o1lab.train import torchrun
from o1lab.train.runs.directory import RunDir
from o1lab.train.trainer import rank_errors
from o1lab.train.trainer.distributed import World
from tests.support.training_lab import prepared, recipe, rows

pytest.importorskip("trl", reason="the train extra is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("torchrun")]
PATIENCE_S = 300


@pytest.fixture(autouse=True)
def _own_queue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@contextmanager
def start(run: RunDir, processes: int, *, resuming: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """Start the processes of a run on this machine, as every launcher does; a test that fails ends them."""
    run.clear_control_files()
    command = torchrun.worker_command(run, processes=processes, resuming=resuming)
    with run.log.open("ab") as log:
        begin_session(log)
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=run.path, env=os.environ | QUIET_ENVIRONMENT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def finish(run: RunDir, processes: int, *, resuming: bool = False) -> int:
    with start(run, processes, resuming=resuming) as process:
        return process.wait(PATIENCE_S)


def until(holds: Callable[[], Any], run: RunDir) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, run.log_tail(100)
        time.sleep(0.05)


def lines(run: RunDir) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.metrics.read_text("utf-8").splitlines()]


def column(run: RunDir, name: str) -> list[float]:
    return [line[name] for line in lines(run) if name in line]


def test_two_processes_train_as_one_does(tiny_base: Path, tmp_path: Path) -> None:
    measured = {"steps": 4, "eval_rows": 5, "eval_steps": 2, "save_steps": 2, "probes": ["What is 1 + 2? => 3"]}
    measured["length_grouping"] = False  # its order depends on the batches of a process
    one = prepared(tmp_path, "one", recipe(tiny_base, batch_size=4, **measured))
    two = prepared(tmp_path, "two", recipe(tiny_base, batch_size=2, processes=2, **measured))
    assert (finish(one, 1), finish(two, 2)) == (0, 0), two.log_tail(100)
    status = two.read_status()
    assert (status.state, status.step, status.total_steps, status.processes) == ("finished", 4, 4, 2)
    assert status.warnings == ()
    assert [line.get("step") for line in lines(two)] == [line.get("step") for line in lines(one)]
    assert len(two.samples.read_text("utf-8").splitlines()) == len(one.samples.read_text("utf-8").splitlines()) == 3
    for name in ("loss", "eval_loss", "eval_mean_token_accuracy", "grad_norm", "mean_token_accuracy"):
        assert column(two, name) == pytest.approx(column(one, name), abs=1e-5), name
    assert column(two, "num_tokens") == column(one, "num_tokens")
    assert [path.name for path in two.checkpoints()] == ["step-2", "step-4"]
    assert sorted(path.name for path in two.checkpoints_dir.iterdir()) == ["step-2", "step-4"]
    assert {"rng_state_0.pth", "rng_state_1.pth", "optimizer.pt", "o1lab.json"} <= {
        path.name for path in two.checkpoint(4).iterdir()
    }


def process_of_rank(run: RunDir, rank: int) -> psutil.Process:
    """Return the process that torchrun started for a rank."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it has ended, or is of another user
            if process.cwd() == str(run.path) and process.environ().get("RANK") == str(rank):
                found.append(process)
    assert len(found) == 1, found
    return found[0]


def test_a_stop_and_a_resume_with_as_many_and_with_fewer_processes(tiny_base: Path, tmp_path: Path) -> None:
    chosen = recipe(tiny_base, batch_size=2, processes=2, steps=None, epochs=100, save_steps=0)
    run = prepared(tmp_path, "run", chosen)
    with start(run, 2) as agent:
        until(lambda: len(column(run, "loss")) > 2, run)
        run.ask_to_stop()
        assert agent.wait(PATIENCE_S) == 0
    stopped = run.read_status()
    assert (stopped.state, stopped.total_steps) == ("stopped", 600)
    assert [path.name for path in run.checkpoints()] == [f"step-{stopped.step}"]
    with start(run, 2, resuming=True) as agent:
        until(lambda: column(run, "step")[-1] > stopped.step + 2, run)
        agent.send_signal(signal.SIGTERM)  # as a scheduler does: torchrun passes it on
        agent.wait(PATIENCE_S)
    again = run.read_status()
    assert (again.state, again.warnings) == ("stopped", ())
    assert "rng_state_1.pth" in {path.name for path in run.checkpoints()[-1].iterdir()}
    with start(run, 1, resuming=True) as process:
        until(lambda: column(run, "step")[-1] > again.step + 2, run)
        run.ask_to_stop()
        assert process.wait(PATIENCE_S) == 0
    last = run.read_status()
    assert (last.state, last.total_steps, last.processes) == ("stopped", 1200, 1)
    assert any(f"From step {again.step} on it trains in 1 process instead of 2" in text for text in last.warnings)
    steps = [line["step"] for line in lines(run) if "loss" in line]
    assert steps == list(range(1, last.step + 1))


def test_processes_have_the_time_of_the_command_to_save_after_a_signal(tmp_path: Path) -> None:
    """torchrun alone kills them after 30 s; here it is told 1 s, and each process would take for ever."""
    run = RunDir(tmp_path / "run")
    command = torchrun.worker_command(run, processes=2, shutdown_s=1)
    saves = 'trap "touch $RANK.told" TERM; touch $RANK.up; while :; do sleep 0.1; done'
    agent = subprocess.Popen([*command[: command.index("--no-python") + 1], "bash", "-c", saves], cwd=tmp_path)
    try:
        until(lambda: len([*tmp_path.glob("*.up")]) == 2, run)
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(25) != 0
    finally:
        for one in (process_of_rank(run, rank) for rank in range(2) if agent.poll() is None):
            one.kill()
        agent.terminate()
        agent.wait()
    assert sorted(path.name for path in tmp_path.glob("*.told")) == ["0.told", "1.told"]


@pytest.mark.parametrize("says", [True, False])
def test_a_run_reports_why_one_of_its_processes_ended(tiny_base: Path, tmp_path: Path, says: bool) -> None:
    run = prepared(tmp_path, "run", recipe(tiny_base, batch_size=2, processes=2, steps=100_000))
    with start(run, 2) as agent:
        until(lambda: len(column(run, "loss")) > 2, run)
        if says:
            error = LabError("The GPU ran out of memory.", "Lower batch_size.", code="out_of_memory")
            rank_errors.leave(run, World(1, 2), error, error)
        process_of_rank(run, 1).kill()
        assert agent.wait(PATIENCE_S) != 0
    info = run.info()
    assert info.state == "failed"
    if says:
        assert info.status.message == f"The GPU ran out of memory. (process 1 on {socket.gethostname()})"
        assert info.status.hint == "Lower batch_size."
    else:
        assert "Process 1 of the run was killed" in info.status.message


def test_the_death_of_the_first_process_is_explained_by_the_log(tiny_base: Path, tmp_path: Path) -> None:
    run = prepared(tmp_path, "run", recipe(tiny_base, batch_size=2, processes=2, steps=100_000))
    with start(run, 2) as agent:
        until(lambda: len(column(run, "loss")) > 2, run)
        process_of_rank(run, 0).kill()
        assert agent.wait(PATIENCE_S) != 0
    until(lambda: run.info().state == "dead", run)
    assert "Process 0 of the run was killed" in run.info().status.message


def test_more_processes_than_rows_are_refused(tiny_base: Path, tmp_path: Path) -> None:
    run = prepared(tmp_path, "run", recipe(tiny_base, processes=2), rows(1))
    assert finish(run, 2) != 0
    status = run.read_status()
    assert (status.state, status.message) == (
        "failed", "1 training row is fewer than the 2 processes of the run.",
    )  # fmt: skip
