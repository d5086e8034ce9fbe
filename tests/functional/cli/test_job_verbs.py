"""The verbs that training runs, teacher runs and evaluations share."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run as o1lab
from o1lab.distill import runs as teacher
from o1lab.distill.run_directory import RunFolder
from o1lab.evaluate.run import control
from o1lab.evaluate.run.directory import EvalFolder
from o1lab.jobs import preparing
from o1lab.jobs.about import About
from o1lab.jobs.directory import JobFolder
from o1lab.paths import Lab
from o1lab.process import started_at
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.runs.directory import RunDir
from store import evaluations, open_store, runs, teacher_runs
from store.records import RunRecord, now
from tests.support import distill_lab, eval_lab
from tests.support.eval_lab import EvalServer
from tests.support.fake_runs import write_run

Ask = Callable[..., dict[str, Any]]
Job = JobFolder[Any, Any]


@pytest.fixture
def server() -> Iterator[EvalServer]:
    with EvalServer() as server:
        yield server


@pytest.fixture
def lab(tmp_path: Path, server: EvalServer) -> Lab:
    made = eval_lab.make_lab(tmp_path / "lab", server.url, 4)
    distill_lab.add_sums(made, 4)
    return made


def training(lab: Lab, identity: str = "aa110000", state: str = "finished", **recipe: Any) -> RunDir:
    values = {"dataset": "d", "dataset_hash": "ab12cd34ef56ab12"} | recipe
    run = write_run(lab.runs, identity, state, steps=3, total=9, pid=2**22 + 1, heartbeat=1.0, recipe=Recipe(**values))
    store = open_store(lab.database)
    runs.add(store.db, RunRecord(identity, f"runs/{identity}", "base", "d", "ab12", None, now()))
    store.close()
    return run


def begin(kind: str, lab: Lab) -> Job:
    """A job of a kind that has not done anything yet and was stopped."""
    if kind == "runs":
        return training(lab, state="stopped")
    job: Job = distill_lab.start(lab) if kind == "distill" else eval_lab.begin(lab)
    job.write_status(job.status_of({"state": "stopped", "requested": 4}))
    return job


def rows(lab: Lab) -> dict[str, list[str]]:
    """The ids that the database has of each kind."""
    store = open_store(lab.database)
    found = {
        "runs": [one.id for one in runs.all_runs(store.db)],
        "distill": [one.id for one in teacher_runs.all_runs(store.db)],
        "eval": [one.id for one in evaluations.all_evaluations(store.db)],
    }
    store.close()
    return found


KINDS = pytest.mark.parametrize("kind", ["runs", "distill", "eval"])


@KINDS
def test_a_job_has_a_name_and_notes(kind: str, lab: Lab, ask: Ask) -> None:
    job = begin(kind, lab)
    named = ask(kind, "rename", job.id[:5], "first try")
    about = {"id": job.id, "state": "stopped", "name": "first try", "path": str(job.path)}
    about |= {"tags": [], "archived": False}
    assert named == about | {"notes": []}
    assert ask(kind, "note", "first try", "with a low budget") == about | {"notes": ["with a low budget"]}
    shown = ask(kind, "show", "first try")
    assert (shown["id"], shown["name"], shown["notes"]) == (job.id, "first try", ["with a low budget"])
    assert ask(kind, "ls")["items"][0]["name"] == "first try"
    assert ask(kind, "rename", job.id, "")["name"] == ""
    assert ask(kind, "show", "first try", status=4)["error"]["code"] == "not_found"


@KINDS
def test_a_job_is_tagged_and_archived(kind: str, lab: Lab, ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    job = begin(kind, lab)
    assert ask(kind, "tag", job.id, "Keep", "paper", "keep")["tags"] == ["keep", "paper"]
    assert ask(kind, "tag", job.id, "keep", "--remove")["tags"] == ["paper"]
    assert "no tag 'keep'" in ask(kind, "tag", job.id, "keep", "--remove", status=2)["error"]["message"]
    assert "not a valid tag" in ask(kind, "tag", job.id, "two words", status=2)["error"]["message"]
    for text, number in (("tag:paper", 1), ("tag:keep", 0), ("state:stopped", 1), ("pape", 1), ("state:dead", 0)):
        assert ask(kind, "ls", text)["total"] == number
    archived = ask(kind, "archive", job.id)
    assert (archived["archived"], archived["tags"]) == (True, ["paper"])
    listed = ask(kind, "ls")
    assert (listed["items"], listed["hidden_archived"]) == ([], 1)
    assert [one["id"] for one in ask(kind, "ls", "archived:yes")["items"]] == [job.id]
    assert o1lab(["--lab", str(lab.root), kind, "ls"]) == 0
    assert "1 archived" in capsys.readouterr().out
    assert ask(kind, "show", job.id)["archived"] is True
    assert ask(kind, "archive", job.id, "--undo")["archived"] is False
    assert ask(kind, "ls", "--sort", "-name")["total"] == 1
    job.write_status(job.status_of({"state": "running", "heartbeat": time.time(), "host": "elsewhere"}))
    assert "is running" in ask(kind, "archive", job.id, status=2)["error"]["message"]


@KINDS
def test_columns_of_a_list_are_chosen(kind: str, lab: Lab, ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    job = begin(kind, lab)
    assert o1lab(["--lab", str(lab.root), kind, "ls", "--columns", "state,ID"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [["STATE", "ID"], ["stopped", job.id]]
    assert "There is no column 'stat'" in ask(kind, "ls", "--columns", "stat", status=2)["error"]["message"]


@KINDS
def test_a_job_is_deleted_with_its_rows(kind: str, lab: Lab, ask: Ask) -> None:
    job = begin(kind, lab)
    (job.path / "log.txt").write_bytes(b"x" * 5000)
    assert rows(lab)[kind] == [job.id]
    assert ask(kind, "rm", job.id, status=2)["error"]["hint"] == "Add --yes."
    assert job.path.exists()
    removed = ask(kind, "rm", job.id, "--yes")
    assert {name: removed[name] for name in ("id", "state", "path")} == {
        "id": job.id,
        "state": "stopped",
        "path": str(job.path),
    }
    assert removed["freed_bytes"] > 5000
    assert not job.path.exists() and rows(lab)[kind] == [] and ask(kind, "ls")["items"] == []


@KINDS
def test_an_active_job_is_not_deleted(kind: str, lab: Lab, ask: Ask) -> None:
    job = begin(kind, lab)
    mine = {"pid": os.getpid(), "pid_started": started_at(os.getpid()), "host": socket.gethostname()}
    job.write_status(job.status_of({"state": "running", "heartbeat": time.time()} | mine))
    assert "is running" in ask(kind, "rm", job.id, "--yes", status=2)["error"]["message"]
    assert job.path.exists() and rows(lab)[kind] == [job.id]


@KINDS
def test_a_job_is_deleted_when_the_person_says_so(
    kind: str, lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = begin(kind, lab)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for answer, stays in ((False, True), (True, False)):
        monkeypatch.setattr("typer.confirm", lambda *_, answer=answer, **__: answer)
        assert o1lab(["--lab", str(lab.root), kind, "rm", job.id]) == 0
        assert job.path.exists() is stays
    assert "was deleted" in capsys.readouterr().out


def test_a_run_that_another_starts_from_is_not_deleted(lab: Lab, ask: Ask) -> None:
    parent = training(lab, "aa110000")
    child = training(lab, "bb220000", init_from="aa110000/step-9")
    refused = ask("runs", "rm", parent.id, "--yes", status=5)["error"]
    assert child.id in refused["message"] and parent.path.exists()
    ask("runs", "rm", child.id, "--yes")
    ask("runs", "rm", parent.id, "--yes")
    assert rows(lab)["runs"] == []


def test_deleting_an_evaluation_takes_its_samples_and_leaves_others(lab: Lab, ask: Ask) -> None:
    made, other = (ask("eval", "sums", "-m", "teacher", *more)["id"] for more in ((), ("--no-reuse",)))
    ask("eval", "rename", made, "mine")
    assert ask("eval", "figures", "mine")["id"] == made
    ask("eval", "rm", "mine", "--yes")
    assert ask("eval", "samples", made, status=4)["error"]["code"] == "not_found"
    assert ask("eval", "samples", other)["total"] == 4


def test_the_traces_of_a_deleted_teacher_run_stay_with_where_they_came_from(lab: Lab, ask: Ask) -> None:
    made = ask("distill", "--endpoint", "teacher", "--max-tokens", "64")
    folder = RunFolder(lab.distill / made["id"])
    ask("distill", "rm", made["id"], "--yes")
    assert ask("distill", "ls")["total"] == 0
    assert ask("traces", "ls")["total"] == 4
    assert sorted(path.name for path in folder.path.iterdir()) == ["asked.json", "prompts.json"]
    assert rows(lab)["distill"] == [made["id"]]
    ask("dataset", "create", "kept", "--keep", "verified")
    card = ask("dataset", "card", "kept")["card"]
    assert "no longer in the lab" not in card and "were not recorded when the run started" not in card


@pytest.mark.parametrize("kind", ["distill", "eval"])
@pytest.mark.parametrize("verb", ["resume", "go-on"])
def test_a_stopped_job_is_resumed_here(kind: str, verb: str, lab: Lab, ask: Ask, server: EvalServer) -> None:
    job = begin(kind, lab)
    ended = ask(kind, verb, job.id, "--budget-tokens", "100000")
    assert (ended["id"], ended["state"], ended["done"], server.asked.total()) == (job.id, "finished", 4, 4)
    assert job.settings().budget_tokens == 100_000


@pytest.mark.parametrize(("kind", "given"), [("distill", "teacher"), ("eval", "sums")])
def test_the_old_option_still_resumes(kind: str, given: str, lab: Lab, ask: Ask) -> None:
    job = begin(kind, lab)
    assert ask(kind, "--resume", job.id)["state"] == "finished"
    refused = ask(kind, *(["-e", given] if kind == "distill" else [given]), "--resume", job.id, status=2)
    assert "cannot change" in refused["error"]["message"]


@pytest.mark.parametrize("kind", ["distill", "eval"])
def test_a_detached_worker_is_told(kind: str, lab: Lab, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    job = begin(kind, lab)
    launched: list[str] = []
    monkeypatch.setattr("o1lab.jobs.spawn.start", lambda folder, _command: launched.append(folder.id) or 4711)
    assert ask(kind, "resume", job.id, "--detach")["pid"] == 4711
    assert launched == [job.id]


def test_the_settings_that_resume_changes_are_those_that_may_change() -> None:
    from o1lab.cli import compare, distill
    from o1lab.cli.evaluate import run

    assert set(distill.JOBS.changes) == set(teacher.CHANGEABLE)
    assert set(run.JOBS.changes) == set(control.CHANGEABLE)
    assert set(compare.JOBS.changes) == set(preparing.CHANGEABLE)


def test_a_run_is_resumed_detached(lab: Lab, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    training(lab, state="stopped", steps=9)
    (lab.runs / "aa110000" / "checkpoints" / "step-3").mkdir(parents=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (lab.runs / "aa110000" / "checkpoints" / "step-3" / name).touch()
    monkeypatch.setattr("o1lab.train.launch.require_trainer", lambda: None)
    monkeypatch.setattr("o1lab.jobs.spawn.start", lambda *_, **__: os.getpid())
    ask("runs", "rename", "aa11", "night")
    resumed = ask("runs", "resume", "night")
    assert resumed == {
        "id": "aa110000", "state": "starting", "step": 3, "checkpoint": "step-3", "pid": os.getpid(),
    }  # fmt: skip


def test_a_damaged_evaluation_costs_its_own_row(lab: Lab, ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = eval_lab.begin(lab), eval_lab.begin(lab)
    store = open_store(lab.database)
    evaluations.remove(store.db, bad.id)
    store.close()
    bad.suite_file.write_text("{")
    items = {item["id"]: item for item in ask("eval", "ls")["items"]}
    assert set(items) == {good.id, bad.id}
    assert items[good.id]["suite"] == "sums"
    assert items[bad.id]["message"].startswith("unreadable: ") and "suite.json" in items[bad.id]["message"]
    assert o1lab(["--lab", str(lab.root), "eval", "ls"]) == 0
    assert any(line.startswith(bad.id) and "unreadable: " in line for line in capsys.readouterr().out.splitlines())


def test_listing_evaluations_opens_the_database_once_and_writes_nothing(
    lab: Lab, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [eval_lab.begin(lab) for _ in range(3)]
    store = open_store(lab.database)
    evaluations.remove(store.db, made[0].id)  # as after a kill between the directory and its row
    store.close()
    opened: list[Path] = []
    monkeypatch.setattr("store.open_store", lambda path, **options: opened.append(path) or open_store(path, **options))
    items = {item["id"]: item for item in ask("eval", "ls")["items"]}
    assert {items[one.id]["missing"] for one in made} == {4}
    assert len(opened) == 1
    assert made[0].id not in rows(lab)["eval"]


def test_a_job_of_a_lab_that_was_copied_is_not_confused_with_its_original(lab: Lab, ask: Ask, tmp_path: Path) -> None:
    job: EvalFolder = eval_lab.begin(lab)
    shutil.copytree(lab.root, tmp_path / "copy")
    ask("eval", "rename", job.id, "original")
    assert EvalFolder(tmp_path / "copy" / "evals" / job.id).about() == About()
