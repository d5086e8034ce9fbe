"""Waiting for jobs of any kind, and what runs."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from o1lab.config import init_lab
from o1lab.distill.run_directory import RunFolder, TeacherRunStatus
from o1lab.jobs import spawn
from o1lab.paths import Lab
from tests.support.fake_runs import write_run

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return init_lab(tmp_path / "lab", name="test")


def teacher_run(lab: Lab, identity: str, state: str, **values: Any) -> RunFolder:
    folder = RunFolder(lab.distill / identity)
    (folder.path / "control").mkdir(parents=True)
    folder.settings_file.write_text("{}")
    beat = time.time() + 3600
    here: dict[str, Any] = {"pid": os.getpid(), "host": socket.gethostname(), "heartbeat": beat}
    folder.write_status(TeacherRunStatus(state, **here | values))
    return folder


def test_jobs_of_any_kind_are_waited_for_until_all_have_ended(
    lab: Lab, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(lab.runs, "aa11", "running", steps=40)
    teacher = teacher_run(lab, "bb11", "running", requested=20, done=5)
    looks = threading.Event()
    monkeypatch.setattr(spawn, "reap", looks.set)

    def end() -> None:
        assert looks.wait(60)
        run.write_status(replace(run.read_status(), state="finished", step=100))
        teacher.write_status(replace(teacher.read_status(), state="finished", done=20))

    threading.Thread(target=end, daemon=True).start()
    found = ask("eval", "wait", "aa1", "bb11")
    assert not found["timed_out"] and found["total"] == 2
    assert [(one["kind"], one["id"], one["state"], one["done"]) for one in found["items"]] == [
        ("run", "aa11", "finished", 100),
        ("teacher run", "bb11", "finished", 20),
    ]


@pytest.mark.parametrize(("state", "status"), [("finished", 0), ("failed", 1), ("stopped", 1)])
def test_the_first_end_is_enough_with_any(lab: Lab, ask: Ask, state: str, status: int) -> None:
    write_run(lab.runs, "aa11", "running", steps=40)
    teacher_run(lab, "bb11", state, requested=20)
    found = ask("runs", "wait", "aa11", "bb11", "--any", status=status)
    assert [one["state"] for one in found["items"]] == ["running", state] and not found["timed_out"]


def test_the_time_can_be_over_first(lab: Lab, ask: Ask) -> None:
    write_run(lab.runs, "aa11", "running", steps=40)
    write_run(lab.runs, "aa22")
    assert ask("runs", "wait", "aa11", "aa22", "--timeout", "0.1", status=124)["timed_out"]
    assert not ask("runs", "wait", "aa11", "aa22", "--timeout", "0.1", "--any")["timed_out"]
    assert ask("runs", "wait", "zz", status=4)["error"]["code"] == "not_found"


def test_what_runs_is_listed(lab: Lab, ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    from o1lab.cli.main import run as o1lab

    assert ask("status") == {"items": [], "total": 0}
    write_run(lab.runs, "aa11", "running", steps=40, message="Asking probes 3/8.")
    teacher_run(lab, "bb11", "paused", requested=20, done=5)
    found = ask("status")
    assert [(one["kind"], one["state"], one["seconds_left"]) for one in found["items"]] == [
        ("run", "running", pytest.approx(60 * 2.87, abs=0.1)),
        ("teacher run", "paused", None),
    ]
    assert o1lab(["--lab", str(lab.root), "status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["run", "aa11", "running", "40/100", "2m52s", "Asking", "probes", "3/8."]


def test_the_machine_is_shown(lab: Lab, ask: Ask, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from o1lab.cli.main import run as o1lab
    from o1lab.jobs import hardware
    from tests.support.fake_nvml import FakeGpu, FakeNvml

    write_run(lab.runs, "aa11", "running", steps=40)
    teacher_run(lab, "bb11", "running", host="elsewhere")
    found = ask("hardware")
    assert [one["job"] for one in found["processes"]] == ["run aa11"] and found["memory_bytes"] > 0
    gpus = [FakeGpu("NVIDIA H200", 87, 61_200_000_000, 412_000, 71, [os.getpid()]), FakeGpu(refuses={"Power"})]
    monkeypatch.setattr(hardware, "driver", lambda: FakeNvml(gpus))
    assert [one["users"] for one in ask("hardware")["gpus"]] == [["run aa11"], []]
    capsys.readouterr()
    assert o1lab(["--lab", str(lab.root), "hardware"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[1:3] == [
        "0 NVIDIA H200 87 % 61.2/80 GB 412/700 W 71 °C run aa11",
        "1 A GPU 0 % 0.0/80 GB - 40 °C free",
    ]
    assert lines[4].startswith("CPU ") and lines[5].startswith("run aa11 CPU ")
