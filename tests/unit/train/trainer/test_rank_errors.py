"""What the first process of a run says when another one is gone."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from o1lab.errors import LabError
from o1lab.jobs.log import cause_of_death
from o1lab.train.runs.directory import RunDir
from o1lab.train.trainer import rank_errors
from o1lab.train.trainer.distributed import Process, World

FULL = LabError("The disk is full.", "Free some space.", code="disk_full")
HERE = socket.gethostname()


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path)


def explained(run: RunDir, *members: Process) -> LabError | None:
    return rank_errors.explain_loss(run, members, sleep=lambda _: None)


def test_the_first_error_that_was_left_is_reported(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    for_torchrun = run.path / "error.json"
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(for_torchrun))
    rank_errors.leave(run, World(3, 4), OSError("full"), FULL)
    rank_errors.leave(run, World(1, 4), OSError("later"), LabError("Later."))
    os.utime(run.rank_errors / "1.json", (2_000_000_000, 2_000_000_000))
    error = explained(run)
    assert error is not None
    assert (error.message, error.hint, error.code) == (
        f"The disk is full. (process 3 on {HERE})", "Free some space.", "disk_full",
    )  # fmt: skip
    assert json.loads(for_torchrun.read_text("utf-8"))["message"]["message"].startswith("Later.")


def test_a_lost_connection_is_not_a_reason(run: RunDir) -> None:
    lost = RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1203")
    rank_errors.leave(run, World(1, 2), lost, LabError("Connection closed"))
    assert rank_errors.left(run) is None
    assert explained(run) is None


def test_a_process_that_left_nothing_was_killed_or_is_on_a_lost_node(run: RunDir) -> None:
    this = Process.this(0)
    gone = Process(1, HERE, this.pid, (this.started or 0.0) - 60)
    far = Process(2, "node\x1b[31m2", 17, 1.0)
    killed = explained(run, this, gone, far)
    assert killed is not None
    assert killed.message.startswith("Process 1 of the run was killed")
    lost = explained(run, this, far)
    assert lost is not None
    assert "\x1b" not in lost.message
    assert lost.code == "lost_process"


def test_errors_of_an_earlier_session_are_forgotten(run: RunDir) -> None:
    rank_errors.leave(run, World(1, 2), OSError("old"), FULL)
    left = (run.rank_errors / "1.json").stat().st_mtime
    rank_errors.forget_earlier(run, left)
    assert rank_errors.left(run) is not None
    rank_errors.forget_earlier(run, left + 60)
    assert rank_errors.left(run) is None


def test_a_damaged_file_is_ignored(run: RunDir) -> None:
    run.rank_errors.mkdir(parents=True)
    (run.rank_errors / "1.json").write_text("{", "utf-8")
    assert rank_errors.left(run) is None


def test_a_failure_of_another_process_is_reported_although_the_connection_holds(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank_errors, "_WATCH_S", 0.01)
    monkeypatch.setattr(rank_errors, "_GRACE_S", 0.01)
    told: list[LabError] = []
    watch = rank_errors.Watch(run, told.append)
    rank_errors.leave(run, World(1, 2), OSError("full"), FULL)
    watch._thread.join(30)
    assert [error.code for error in told] == ["disk_full"]


REPORT = """\
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
o1lab.train.worker FAILED
------------------------------------------------------------
Failures:
  <NO_OTHER_FAILURES>
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-29_14:02:11
  host      : vm
  rank      : 3 (local_rank: 0)
  exitcode  : -9 (pid: 12345)
  error_file: <N/A>
  traceback : Signal 9 (SIGKILL) received by PID 12345
============================================================
"""


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (REPORT, "Process 3 of the run was killed"),
        (
            "torch.distributed.DistStoreError: Timed out after 901 seconds waiting for clients. 1/2 clients joined.",
            "Only 1 of 2 nodes came",
        ),
        (
            "torch.distributed.DistNetworkError: The client socket has timed out after 900000ms while trying to connect"
            " to (10.0.0.1, 29513).",
            "The first node could not be reached at 10.0.0.1, port 29513.",
        ),
    ],
)
def test_an_error_of_torchrun_in_the_log_is_explained(run: RunDir, log: str, message: str) -> None:
    run.log.write_text(log, "utf-8")
    assert message in cause_of_death(run.log, 2_000_000_000.0)[0]
