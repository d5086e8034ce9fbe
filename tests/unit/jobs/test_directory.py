"""Job directories: which jobs are active, stale or dead, what damaged files mean, and the lock."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from o1lab.errors import NotFoundError
from o1lab.jobs import manage
from o1lab.jobs.directory import STALE_S, CountedStatus, JobFolder, find_directory, list_directories
from o1lab.process import started_at
from o1lab.small_files import UnreadableError

HERE = socket.gethostname()
NOW = 1_790_000_000.0


@dataclass(frozen=True)
class Job(JobFolder[CountedStatus, None]):
    noun = "job"
    verb = "o1lab job"
    status_type = CountedStatus
    marker = "status.json"
    created_file = "made.txt"


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return make(tmp_path, "0a1b", "finished")


def make(parent: Path, identity: str, state: str, made: float = NOW, **status: Any) -> Job:
    job = Job(parent / identity)
    job.path.mkdir(parents=True)
    job.write_status(CountedStatus(state, **status))
    (job.path / "made.txt").touch()
    os.utime(job.path / "made.txt", (made, made))
    return job


def ended_process() -> tuple[int, float | None]:
    """The id and the start of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = started_at(child.pid)
    child.communicate(b"\n")
    return child.pid, started


@pytest.mark.parametrize("state", ["queued", "starting", "running", "paused", "stopping"])
def test_an_active_job_whose_process_is_alive_has_the_state_of_its_status(job: Job, state: str) -> None:
    mine = started_at(os.getpid())
    job.write_status(CountedStatus(state, os.getpid(), mine, HERE, NOW))
    info = job.info(now=NOW + 1)
    assert (info.state, info.active, info.stale, info.heartbeat_age_s) == (state, True, False, 1.0)
    late = job.info(now=NOW + STALE_S + 1)
    assert (late.state, late.stale) == (state, True)


def test_a_job_whose_process_has_ended_is_dead(job: Job) -> None:
    pid, started = ended_process()
    job.write_status(CountedStatus("running", pid, started, HERE, NOW))
    info = job.info(now=NOW + 1)
    assert (info.state, info.active) == ("dead", False)


def test_a_reused_process_id_does_not_keep_a_job_alive(job: Job) -> None:
    job.write_status(CountedStatus("running", os.getpid(), 1.0, HERE, NOW))
    assert job.info(now=NOW + 1).state == "dead"


def test_a_job_without_a_process_is_dead_once_its_heartbeat_is_old(job: Job) -> None:
    job.write_status(CountedStatus("starting", host=HERE, heartbeat=NOW))
    assert job.info(now=NOW + 1).state == "starting"
    assert job.info(now=NOW + STALE_S + 1).state == "dead"


def test_a_job_on_another_host_is_stale_and_never_dead(job: Job) -> None:
    pid, started = ended_process()
    job.write_status(CountedStatus("running", pid, started, "elsewhere", NOW))
    fresh, late = job.info(now=NOW + 1), job.info(now=NOW + STALE_S + 1)
    assert (fresh.state, fresh.stale) == ("running", False)
    assert (late.state, late.stale, late.active) == ("running", True, True)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"state": 3}', '{"pid": 1}'])
def test_a_damaged_status_is_a_failed_job(job: Job, content: str) -> None:
    job.status_file.write_text(content)
    assert job.status() is None
    info = job.info()
    assert info.state == "failed" and info.status.message.startswith("unreadable: status.json: ")
    assert info.unreadable.startswith("status.json: ")


def test_unknown_keys_of_a_status_are_ignored(job: Job) -> None:
    job.status_file.write_text(json.dumps({"state": "finished", "done": 3, "of_a_later_version": 1}))
    assert (job.info().state, job.info().status.done) == ("finished", 3)


def test_the_lock_is_held_by_one_process_and_ends_with_it(job: Job) -> None:
    with job.exclusive_lock() as ours:
        assert ours
        with job.exclusive_lock() as again:
            assert not again
    holder = subprocess.Popen(
        [
            sys.executable, "-c",
            "import fcntl, sys; file = open(sys.argv[1]); fcntl.flock(file, fcntl.LOCK_EX); print('held', flush=True);"
            "input()",
            str(job.stop_file.parent / "lock"),
        ],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    with job.exclusive_lock() as ours:
        assert not ours
    holder.kill()
    holder.communicate()
    with job.exclusive_lock() as ours:
        assert ours


def test_a_refused_lock_names_its_holder_with_a_hint(job: Job) -> None:
    code = (
        "import sys; from pathlib import Path; from o1lab.jobs.lock import exclusive_lock\n"
        "with exclusive_lock(Path(sys.argv[1])): print(flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(job.lock_file), "--endpoint", "a b"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline()
        with job.exclusive_lock() as ours:
            error = job.locked("running")
            assert not ours
        other.communicate(b"\n")
    assert error.message.startswith(f"Process {other.pid} on {socket.gethostname()} (-c ")
    assert ", since 2" in error.message
    assert error.message.endswith(f"is running the {job.noun} {job.id}.")
    assert f"{job.verb} stop {job.id}" in error.hint
    job.lock_file.write_bytes(b"\xff\x1b[31m no holder")
    assert job.locked("running").message.startswith("Another process is running"), "a damaged file names nobody"


def test_where_locks_cannot_be_used_a_job_runs_without(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with job.exclusive_lock() as ours:
        assert ours


def test_jobs_are_listed_newest_first_and_hidden_ones_are_not(tmp_path: Path) -> None:
    for at, name in enumerate(("ff", "00", ".removed-11", "77")):
        make(tmp_path, name, "finished", NOW + at)
    (tmp_path / "empty").mkdir()
    assert [job.id for job in list_directories(tmp_path, Job)] == ["77", "00", "ff"]
    assert list_directories(tmp_path / "missing", Job) == []


def test_a_job_is_found_by_id_by_name_and_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    for name in ("aa11", "aa22", "bb33"):
        make(tmp_path, name, "finished")
    (tmp_path / "aa22" / "about.json").write_text(json.dumps({"name": "bb"}))
    assert [find_directory(tmp_path, wanted, Job).id for wanted in ("aa11", "bb", "bb3")] == ["aa11", "aa22", "bb33"]
    for wanted, message in (("aa", "Several jobs begin"), ("zz", "No job begins"), ("", "No job begins")):
        with pytest.raises(NotFoundError, match=message):
            find_directory(tmp_path, wanted, Job)


@pytest.mark.parametrize("content", ["{", "[]", '{"name": 1, "notes": 2}', '{"notes": [1, {"text": 2}]}'])
def test_a_damaged_about_file_is_reported_and_not_replaced(job: Job, content: str) -> None:
    job.about_file.write_text(content)
    info = job.info()
    assert (info.state, info.name, info.notes) == ("finished", "", ())
    assert info.unreadable.startswith("about.json: ")
    for change in (lambda: manage.rename(job, "new"), lambda: manage.add_note(job, "new")):
        with pytest.raises(UnreadableError, match=r"about\.json cannot be read"):
            change()
    assert job.about_file.read_text() == content


def test_a_job_without_its_marker_is_listed(job: Job) -> None:
    job.status_file.unlink()
    (job.path / "settings.json").write_text("{}")
    assert list_directories(job.path.parent, Job) == []  # it may be being created
    old = time.time() - 2 * STALE_S
    os.utime(job.path, (old, old))
    assert [one.info().unreadable for one in list_directories(job.path.parent, Job)] == ["status.json: it is missing"]


def test_the_age_of_a_heartbeat_is_never_negative(job: Job) -> None:
    job.write_status(CountedStatus("finished", heartbeat=time.time() + 3600))
    assert job.info().heartbeat_age_s == 0.0
