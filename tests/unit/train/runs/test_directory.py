"""The run directory: state, death, log tails, and following files that grow."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from o1lab.errors import NotFoundError
from o1lab.jobs.directory import STALE_S
from o1lab.paths import Lab
from o1lab.process import started_at
from o1lab.train.runs.directory import RunDir, RunStatus, find_run, list_run_dirs
from o1lab.train.runs.metrics_reader import Metrics, Samples, last_metrics


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    made = RunDir(tmp_path / "runs" / "0a1b")
    made.checkpoints_dir.mkdir(parents=True)
    return made


def line(step: int, **values: object) -> bytes:
    return json.dumps({"step": step, "loss": 1.0 / step if step else 1.0} | values).encode() + b"\n"


def test_status_is_replaced_in_one_move_and_reads_back(run: RunDir) -> None:
    status = RunStatus("running", pid=1, host="h", heartbeat=5.0, step=3, total_steps=9, message="m")
    run.write_status(status)
    assert run.read_status() == status
    assert [path.name for path in run.path.iterdir() if "status" in path.name] == ["status.json"]


def test_a_living_worker_is_never_dead(run: RunDir) -> None:
    mine = started_at(os.getpid())
    run.write_status(RunStatus("running", pid=os.getpid(), host=socket.gethostname(), heartbeat=1.0, pid_started=mine))
    state = run.info()
    assert (state.state, state.stale) == ("running", True)


def test_an_ended_process_is_dead_whatever_its_heartbeat(run: RunDir) -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    started = started_at(child.pid)
    child.wait()
    run.log.write_text("Step 4\nKilled\n")
    beat = time.time()
    run.write_status(
        RunStatus("running", pid=child.pid, host=socket.gethostname(), heartbeat=beat, pid_started=started)
    )
    for now in (beat + 1, beat + STALE_S + 1):
        state = run.info(now=now)
        assert (state.state, state.stale) == ("dead", now > beat + STALE_S)
    assert not state.active
    assert "was killed" in state.status.message
    assert "no checkpoint to resume from" in state.status.hint


def test_a_process_id_that_was_used_again_does_not_keep_a_run_alive(run: RunDir) -> None:
    run.write_status(RunStatus("running", pid=os.getpid(), host=socket.gethostname(), heartbeat=1.0, pid_started=1.0))
    assert run.info().state == "dead"


def test_another_host_is_only_called_stale(run: RunDir) -> None:
    run.write_status(RunStatus("running", pid=1, host="elsewhere", heartbeat=1.0))
    state = run.info()
    assert (state.state, state.stale) == ("running", True)


def test_an_ended_run_stays_what_it_is(run: RunDir) -> None:
    run.write_status(RunStatus("finished", pid=1, host=socket.gethostname(), heartbeat=1.0))
    assert run.info().state == "finished"


def test_a_broken_status_is_a_failed_run(run: RunDir) -> None:
    run.status_file.write_text('{"state": "run')
    assert run.info().state == "failed"


def test_the_log_is_read_from_its_end_only(run: RunDir) -> None:
    with run.log.open("wb") as file:
        file.truncate(1 << 30)  # a sparse gigabyte: reading all of it would be felt
        file.seek(0, os.SEEK_END)
        file.write(b"\n10%\r20%\rdone\nlast \xff\n")
    assert run.log_tail(2) == ["done", "last \ufffd"]


def test_checkpoints_are_by_number_and_whole(run: RunDir) -> None:
    for name in ("step-9", "step-10", "step-x", ".saving"):
        (run.checkpoints_dir / name).mkdir()
        for file in ("adapter_config.json", "adapter_model.safetensors"):
            (run.checkpoints_dir / name / file).touch()
    for name, file in (("step-11", "adapter_config.json"), ("step-12", "adapter_model.safetensors")):
        (run.checkpoints_dir / name).mkdir()
        (run.checkpoints_dir / name / file).touch()
    assert [path.name for path in run.checkpoints()] == ["step-9", "step-10"]


def test_runs_are_found_by_the_beginning_of_their_id(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    assert list_run_dirs(lab) == []
    for name in ("aa11", "aa22", "bb33", ".preflight"):
        made = RunDir(lab.runs / name)
        made.path.mkdir(parents=True)
        made.write_status(RunStatus("finished"))
    assert find_run(lab, "bb").id == "bb33"
    assert len(list_run_dirs(lab)) == 3
    with pytest.raises(NotFoundError, match="Several"):
        find_run(lab, "aa")
    for nothing in ("zz", ""):
        with pytest.raises(NotFoundError):
            find_run(lab, nothing)


def test_a_half_written_last_line_waits_for_its_end(run: RunDir) -> None:
    metrics = Metrics(run.metrics)
    assert not metrics.poll()
    whole = line(1) + line(2)
    run.metrics.write_bytes(whole[:-7])
    assert metrics.poll()
    assert list(metrics.steps) == [1]
    with run.metrics.open("ab") as file:
        file.write(whole[-7:])
    metrics.poll()
    assert list(metrics.steps) == [1, 2]
    assert metrics.bad_lines == 0
    assert not metrics.poll()


def test_byte_by_byte_gives_the_same_as_at_once(run: RunDir) -> None:
    data = b"".join(line(n, learning_rate=n / 10) for n in range(1, 30)) + line(29, eval_loss=0.5) + b"not json\n[1]\n"
    slow, quick = Metrics(run.metrics), Metrics(run.metrics)
    with run.metrics.open("ab", buffering=0) as file:
        for byte in data:
            file.write(bytes([byte]))
            slow.poll()
    quick.poll()
    assert slow.steps == quick.steps
    assert str(slow.columns) == str(quick.columns)
    assert slow.bad_lines == quick.bad_lines == 2
    assert quick.last()["eval_loss"] == 0.5


def test_a_resumed_run_supersedes_what_came_after_its_checkpoint(run: RunDir) -> None:
    before = b"".join(line(n, loss=9.0) for n in range(1, 8))
    run.metrics.write_bytes(before)
    metrics = Metrics(run.metrics)
    metrics.poll()
    with run.metrics.open("ab") as file:
        file.write(b'{"event": "resumed", "step": 5}\n' + b"".join(line(n, loss=1.0) for n in range(6, 10)))
    metrics.poll()
    assert list(metrics.steps) == list(range(1, 10))
    assert list(metrics.column("loss")) == [9.0] * 5 + [1.0] * 4
    assert metrics.generation == 1
    fresh = Metrics(run.metrics)
    fresh.poll()
    assert fresh.steps == metrics.steps
    assert last_metrics(run.metrics) == {"step": 9, "loss": 1.0}


def test_samples_after_the_checkpoint_are_superseded(run: RunDir) -> None:
    lines = [{"step": 0}, {"step": 5}, {"step": 10}, {"event": "resumed", "step": 5}, {"step": 10, "answer": "new"}]
    run.samples.write_text("".join(json.dumps(item) + "\n" for item in lines))
    samples = Samples(run.samples)
    assert samples.poll()
    assert [(item["step"], item.get("answer")) for item in samples.items] == [(0, None), (5, None), (10, "new")]


def test_a_null_loss_is_a_gap_and_new_metrics_begin_late(run: RunDir) -> None:
    run.metrics.write_bytes(line(1) + line(2, loss=None, alert="nan") + line(3, gpu_util=40))
    metrics = Metrics(run.metrics)
    metrics.poll()
    loss, gpu = metrics.column("loss"), metrics.column("gpu_util")
    assert [math.isnan(value) for value in loss] == [False, True, False]
    assert [math.isnan(value) for value in gpu] == [True, True, False]
    assert all(math.isnan(value) for value in metrics.column("absent"))


def test_a_file_that_begins_again_is_read_again(run: RunDir) -> None:
    run.metrics.write_bytes(b"".join(line(n) for n in range(1, 9)))
    metrics = Metrics(run.metrics)
    metrics.poll()
    run.metrics.write_bytes(line(1))
    metrics.poll()
    assert list(metrics.steps) == [1]


def test_last_metrics_of_nothing(run: RunDir) -> None:
    assert last_metrics(run.metrics) == {}
    run.metrics.write_bytes(b'{"step": 1, "loss"')
    assert last_metrics(run.metrics) == {}
