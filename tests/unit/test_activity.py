"""What runs in a lab of all kinds, how long it takes, and what has happened between two looks."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from o1lab.activity import ActivityPoller, find, running
from o1lab.config import init_lab
from o1lab.distill.run_directory import RunFolder, TeacherRunStatus
from o1lab.errors import NotFoundError
from o1lab.evaluate.run.directory import EvalFolder, EvalStatus
from o1lab.paths import Lab
from o1lab.train.runs import metrics_reader
from o1lab.train.runs.metrics_reader import Metrics, time_left
from tests.support.fake_runs import append, metric_line, write_run


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return init_lab(tmp_path / "lab", name="test")


def alive(state: str = "running", **values: Any) -> dict[str, Any]:
    return {"state": state, "pid": os.getpid(), "host": socket.gethostname(), "heartbeat": time.time() + 3600} | values


def teacher_run(lab: Lab, identity: str, **values: Any) -> RunFolder:
    folder = RunFolder(lab.distill / identity)
    (folder.path / "control").mkdir(parents=True)
    folder.settings_file.write_text("{}")
    folder.write_status(TeacherRunStatus(**alive(**values)))
    return folder


def evaluation(lab: Lab, identity: str, **values: Any) -> EvalFolder:
    folder = EvalFolder(lab.evals / identity)
    (folder.path / "control").mkdir(parents=True)
    folder.settings_file.write_text("{}")
    folder.write_status(EvalStatus(**alive(**values)))
    return folder


def test_what_runs_is_listed_with_its_time_left_the_first_to_end_first(lab: Lab) -> None:
    write_run(lab.runs, "aa11", "running", steps=40)
    write_run(lab.runs, "aa22", "queued", steps=0)
    write_run(lab.runs, "aa33")
    teacher_run(lab, "bb11", requested=20, done=4, failed=1, seconds_left=30.0)
    evaluation(lab, "cc11", requested=9)
    stopping = teacher_run(lab, "bb22", requested=20, seconds_left=10.0)
    stopping.ask_to_stop()
    found = [(one.info.id, one.info.state, one.done, one.total, one.seconds_left) for one in running(lab)]
    assert found == [
        ("bb11", "running", 5, 20, 30.0),
        ("aa11", "running", 40, 100, pytest.approx(60 * 2.87)),
        ("bb22", "stopping", 0, 20, None),
        ("cc11", "running", 0, 9, None),
        ("aa22", "queued", 0, 100, None),
    ]


def test_the_time_left_follows_a_resume(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(lab.runs, "aa11", "running", steps=60)
    assert time_left(run.metrics, 100) == pytest.approx(40 * 2.87)
    append(run.metrics, [{"event": "resumed", "step": 50}, {"step": 50, "eval_loss": 1.0}, metric_line(51, 100)])
    whole = Metrics(run.metrics)
    whole.poll()
    assert list(whole.steps)[-2:] == [50, 51]
    assert time_left(run.metrics, 100) == pytest.approx(49 * 2.87)
    append(run.metrics, [metric_line(step, 100) for step in (52, 53)])
    lines = run.metrics.read_bytes().splitlines(keepends=True)
    for whole_lines, left in ((2, pytest.approx(47 * 2.87)), (1, None)):  # one line has no pace
        # The end of the file: the end of a line, and this many more.
        monkeypatch.setattr(metrics_reader, "_PACE_BYTES", sum(map(len, lines[-whole_lines:])) + 20)
        assert time_left(run.metrics, 100) == left
    run.metrics.write_text("damaged\n[]\n")
    assert time_left(run.metrics, 100) is None


def test_each_event_is_seen_once(lab: Lab) -> None:
    run = write_run(lab.runs, "aa11", "running", steps=40)
    teacher = teacher_run(lab, "bb11", requested=20)
    write_run(lab.runs, "aa00", "failed", message="Before the first look.")
    poller = ActivityPoller(lab)
    assert poller.poll()[1] == []
    run.write_status(replace(run.read_status(), warnings=("Loss spikes: 1. The last: Loss spike at step 41: 9.",)))
    teacher.write_status(replace(teacher.read_status(), state="stopped", stopped_by="budget_usd", message="Spent."))
    active, happened = poller.poll()
    assert [one.info.id for one in active] == ["aa11"]
    assert [(one.event, one.job.info.id, one.cause) for one in happened] == [
        ("spike", "aa11", "Loss spike at step 41: 9."),
        ("budget", "bb11", "Spent."),
    ]
    assert poller.poll()[1] == []
    run.write_status(replace(run.read_status(), state="finished", message="Finished after 100 steps."))
    quick = evaluation(lab, "cc11", state="failed", message="No model.")
    assert [(one.event, one.job.info.id, one.cause) for one in poller.poll()[1]] == [
        ("finished", "aa11", ""),
        ("failed", "cc11", "No model."),
    ]
    quick.write_status(replace(quick.read_status(), heartbeat=time.time() + 3601))  # it was resumed, and failed again
    assert [(one.event, one.job.info.id) for one in poller.poll()[1]] == [("failed", "cc11")]
    assert poller.poll() == ([], [])


def test_a_job_of_any_kind_is_found(lab: Lab) -> None:
    run = write_run(lab.runs, "aa11")
    teacher = teacher_run(lab, "aa22", state="finished")
    teacher.about_file.write_text('{"name": "pool"}')
    assert find(lab, "aa11") == run and find(lab, "pool") == teacher and find(lab, "aa2") == teacher
    with pytest.raises(NotFoundError, match="Several jobs begin with 'aa'"):
        find(lab, "aa")
    with pytest.raises(NotFoundError, match="No job begins"):
        find(lab, "zz")
