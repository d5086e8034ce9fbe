"""Stopping, pausing, resuming, naming and removing jobs of a pretend kind."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import pytest

from o1lab.errors import LabError, UsageError
from o1lab.files import locked
from o1lab.jobs import manage, spawn
from o1lab.jobs.about import About
from o1lab.jobs.directory import CountedStatus
from o1lab.jobs.manage import JobKind
from o1lab.paths import Lab
from o1lab.process import started_at
from tests.unit.jobs.test_directory import Job, make


class Calls:
    """What a kind was asked for; ``kept`` is what it wants to keep of a removed directory."""

    def __init__(self) -> None:
        self.made: list[Any] = []
        self.kept: tuple[str, ...] = ()

    def prepare(self, _lab: Lab, job: Job, changes: Mapping[str, Any]) -> None:
        self.made.append(("prepare", job.id, dict(changes)))

    def launch(self, job: Job) -> int:
        self.made.append(("launch", job.id))
        return 7

    def forget(self, _lab: Lab, job: Job) -> tuple[str, ...]:
        self.made.append(("forget", job.id))
        return self.kept


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


@pytest.fixture
def kind(calls: Calls) -> JobKind[Job]:
    return JobKind(Job, lambda lab: lab.root / "jobs", calls.prepare, calls.launch, calls.forget)


def active(lab: Lab, identity: str = "aa11", state: str = "running", **status: Any) -> Job:
    """A job that this process works on."""
    values = {"pid": os.getpid(), "pid_started": started_at(os.getpid()), "host": socket.gethostname()}
    return make(lab.root / "jobs", identity, state, **values | {"heartbeat": time.time()} | status)


def test_stopping_and_pausing_ask_by_files(lab: Lab) -> None:
    job = active(lab)
    assert manage.pause(job).state == "running"
    assert job.pause_file.exists() and not job.stop_file.exists()
    assert manage.stop(job).state == "stopping", "until it has stopped"
    assert job.stop_file.exists() and job.info().status.state == "running"
    job.write_status(CountedStatus("stopped"))
    assert job.info().state == "stopped"


def test_a_job_that_is_not_active_cannot_be_stopped_or_paused(lab: Lab) -> None:
    job = make(lab.root / "jobs", "aa11", "finished")
    for ask in (manage.stop, manage.pause):
        with pytest.raises(UsageError, match="finished, not running"):
            ask(job)


def test_a_paused_job_continues_in_its_own_process(lab: Lab, kind: JobKind[Job], calls: Calls) -> None:
    job = active(lab, state="paused")
    job.ask_to_pause()
    with pytest.raises(UsageError, match="cannot change while"):
        kind.resume(lab, job, {"budget_usd": 2.0})
    assert kind.resume(lab, job, {"budget_usd": None}).pid is None
    assert not job.pause_file.exists() and calls.made == []


@pytest.mark.parametrize("state", ["stopped", "failed", "running"])
def test_a_job_that_ended_or_died_gets_a_new_process(state: str, lab: Lab, kind: JobKind[Job], calls: Calls) -> None:
    job = make(lab.root / "jobs", "aa11", state, pid=2**22 + 1, host=socket.gethostname(), heartbeat=1.0)
    assert kind.resume(lab, job, {"budget_usd": 2.0}).pid == 7
    assert calls.made == [("prepare", "aa11", {"budget_usd": 2.0}), ("launch", "aa11")]


def test_a_running_job_is_not_resumed(lab: Lab, kind: JobKind[Job], calls: Calls) -> None:
    with pytest.raises(UsageError, match="already running"):
        kind.resume(lab, active(lab))
    assert calls.made == []


def test_a_job_is_found_by_its_name_which_can_be_changed_and_removed(lab: Lab, kind: JobKind[Job]) -> None:
    job, other = (make(lab.root / "jobs", name, "finished") for name in ("aa11", "bb22"))
    assert manage.rename(job, " best so far ").name == "best so far"
    assert kind.find(lab, "best so far").id == "aa11"
    for taken in ("best so far", "aa11"):
        with pytest.raises(UsageError, match="already"):
            manage.rename(other, taken)
    manage.rename(job, "best so far")  # its own
    manage.rename(job, "")
    assert manage.rename(other, "best so far").name == "best so far"


@pytest.mark.parametrize("name", ["a/b", "-x", "a\nb", "x" * 81, "\x1b[2J"])
def test_a_name_that_could_not_be_typed_is_refused(lab: Lab, name: str) -> None:
    job = make(lab.root / "jobs", "aa11", "finished")
    with pytest.raises(UsageError, match="not a valid name"):
        manage.rename(job, name)
    assert job.about() == About()


def test_notes_are_appended_and_survive_a_new_name(lab: Lab) -> None:
    job = make(lab.root / "jobs", "aa11", "finished")
    manage.add_note(job, "first")
    manage.rename(job, "named")
    assert manage.add_note(job, "second\nline").notes == ("first", "second\nline")
    assert (job.info().name, job.info().notes) == ("named", ("first", "second\nline"))
    with pytest.raises(UsageError, match="empty"):
        manage.add_note(job, "  ")


def test_changes_at_the_same_time_are_all_kept(lab: Lab) -> None:
    job, together = make(lab.root / "jobs", "aa11", "finished"), Barrier(8)

    def change(number: int) -> None:
        together.wait(30)
        manage.tag(job, [f"tag-{number}"])
        manage.add_note(job, f"note {number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(change, range(8)))
    assert set(job.about().tags) == {f"tag-{number}" for number in range(8)}
    assert {note.text for note in job.about().notes} == {f"note {number}" for number in range(8)}


def test_a_change_waits_for_the_one_before_it(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    job, waits = make(lab.root / "jobs", "aa11", "finished"), Event()
    job.about_lock.parent.mkdir()

    def flock(file: object, how: int, lock: Any = fcntl.flock) -> None:
        waits.set()
        lock(file, how)

    with ThreadPoolExecutor(1) as pool:
        with locked(job.about_lock):
            monkeypatch.setattr(fcntl, "flock", flock)
            tagged = pool.submit(manage.tag, job, ["new"])
            assert waits.wait(30)
            job.about_file.write_text(json.dumps({"tags": ["earlier"]}))
        assert tagged.result(30).tags == ("earlier", "new")


def test_a_removed_job_does_not_come_back_by_a_note(lab: Lab, kind: JobKind[Job]) -> None:
    job = make(lab.root / "jobs", "aa11", "finished")
    kind.remove(lab, job)
    with pytest.raises(LabError, match="Cannot write"):
        manage.add_note(job, "late")
    assert not job.path.exists()


def test_removing_frees_the_directory(lab: Lab, kind: JobKind[Job], calls: Calls) -> None:
    job = make(lab.root / "jobs", "aa11", "finished")
    (job.path / "big").write_bytes(b"x" * 10_000)
    removed = kind.remove(lab, job)
    assert removed.freed_bytes >= 10_000 and removed.info.state == "finished"
    assert list((lab.root / "jobs").iterdir()) == [] and calls.made == [("forget", "aa11")]


def test_files_that_other_data_need_stay_and_the_job_is_no_longer_listed(
    lab: Lab, kind: JobKind[Job], calls: Calls
) -> None:
    job = make(lab.root / "jobs", "aa11", "finished")
    (job.path / "deep").mkdir()
    (job.path / "deep" / "big").write_bytes(b"x" * 10_000)
    (job.path / "kept.json").write_text(json.dumps({}))
    calls.kept = ("kept.json",)
    assert kind.remove(lab, job).freed_bytes >= 10_000
    assert [path.name for path in job.path.iterdir()] == ["kept.json"]
    assert kind.directories(lab) == []


def test_an_active_job_and_one_in_use_are_not_removed(lab: Lab, kind: JobKind[Job], calls: Calls) -> None:
    job = active(lab)
    with pytest.raises(UsageError, match="is running"):
        kind.remove(lab, job)
    ended = make(lab.root / "jobs", "bb22", "finished")
    with ended.exclusive_lock(), pytest.raises(UsageError, match=r"Process \d+ on .* is (using|running)"):
        kind.remove(lab, ended)
    assert job.path.exists() and ended.path.exists() and calls.made == []


def test_a_stale_job_of_another_host_has_a_hint(lab: Lab, kind: JobKind[Job]) -> None:
    job = active(lab, host="elsewhere", heartbeat=1.0)
    with pytest.raises(UsageError) as refused:
        kind.remove(lab, job)
    assert str(job.path) in refused.value.hint


def test_waiting_for_a_stop_ends_at_its_deadline(lab: Lab) -> None:
    with pytest.raises(LabError, match="has not stopped yet"):
        manage.stop(active(lab), wait=True, timeout_s=0.0)


def test_waiting_for_a_stop_returns_the_final_state(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    job = active(lab)
    monkeypatch.setattr(spawn.time, "sleep", lambda _: job.write_status(CountedStatus("stopped")))
    assert manage.stop(job, wait=True).state == "stopped"
