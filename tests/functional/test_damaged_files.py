"""One damaged file costs its own row: every file of a job, a server, a suite, a prompt and o1lab.toml, in every way."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
import yaml

from o1lab.app import LabApp
from o1lab.cli import distill, train
from o1lab.cli.evaluate import run as evaluate
from o1lab.cli.jobs.commands import JobCommands
from o1lab.cli.main import run
from o1lab.errors import LabError
from o1lab.evaluate.run import control
from o1lab.evaluate.run.directory import EvalFolder
from o1lab.files import write_json
from o1lab.paths import Lab
from o1lab.serve.records import ServerRecord, live_records, write_record
from o1lab.train.runs.columns import COLUMNS
from screens.base.context import open_context
from screens.distill import poller as distill_poller
from screens.distill import text as distill_text
from screens.evaluate import poller as evaluate_poller
from screens.evaluate import text as evaluate_text
from screens.train import poller as train_poller
from screens.train import text as train_text
from store import open_store
from tests.support import distill_lab
from tests.support.compare_lab import until
from tests.support.evaluate_screen_lab import lab_with_suite
from tests.support.fake_runs import write_run
from tests.support.hostile_lab import drawn

Ask = Callable[..., dict[str, Any]]
DEEP = 20_000
BYTES = {
    "empty": b"",
    "garbage": b"\x00\x01 {]",
    "latin-1": "\u00e9".encode("latin-1") * 9,
    "utf-16": '{"state": "running"}'.encode("utf-16"),
    "a list": b"[1, 2]",
    "null": b"null",
    "a text": b'"text"',
    "a long number": b"9" * 10_000,
    "deep": b"[" * DEEP,
    "deep object": b'{"a":' * DEEP,
    "an impossible date": b"a: 2026-99-99\n",
    "an odd tag": b"!!int x",
    "an alias bomb": b"a: &a [0,0,0,0,0,0,0,0,0,0]\n"
    + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 10)) for c in range(98, 107)),
    "a cycle": b"a: &a [*a]",
}  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, [], {}, "x", "", -1, 10**400, 1e308, float("nan"), float("inf"), True, [[{"a": [None]}]], {"name": 3}
)  # fmt: skip
EACH = pytest.mark.parametrize("each", [1, pytest.param(3, marks=pytest.mark.exhaustive)])
"""How many of the values each key gets, in turn."""


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


PLACES: dict[str, Callable[[Path], None]] = {
    "a folder": _folder, "missing": Path.unlink, "a dangling link": _link, "a pipe": _pipe
}  # fmt: skip


def damages(file: Path, each: int = 3) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Yield ways to damage a file: all content, what is in its place, and each value in it."""
    yield from ((name, lambda path, content=content: path.write_bytes(content)) for name, content in BYTES.items())  # type: ignore[misc]
    yield from PLACES.items()
    text = file.read_text("utf-8")
    is_yaml, line = file.suffix == ".yaml", text.split("\n")[0] if file.suffix == ".jsonl" else text
    try:
        values = yaml.safe_load(text) if is_yaml else json.loads(line)
    except ValueError:
        return
    turn = cycle(VALUES)
    for key in values if isinstance(values, dict) else ():
        for value in islice(turn, each):
            changed = values | {key: value}
            dumped = yaml.safe_dump(changed) if is_yaml else json.dumps(changed)
            yield f"{key}={value!r:.20}", lambda path, dumped=dumped: path.write_text(dumped + "\n")  # type: ignore[misc]


def spoil(job: Path, each: int) -> dict[str, tuple[str, str]]:
    """Copy a job once for each way to damage each of its files; return file and damage by id."""
    made = {}
    old = job.stat().st_mtime - 3600
    files = [path.relative_to(job) for path in job.rglob("*") if path.is_file() and path.suffix != ".safetensors"]
    for file in sorted(files):
        for name, damage in damages(job / file, each):
            copy = job.with_name(f"{len(made):04}{job.name}")
            shutil.copytree(job, copy, symlinks=True)
            damage(copy / file)
            os.utime(copy, (old, old))
            made[copy.name] = (str(file), name)
    return made


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return lab_with_suite(tmp_path / "lab")


@pytest.fixture
def ask(lab: Lab, capsys: pytest.CaptureFixture[str]) -> Ask:
    def ask(*arguments: str, expect: tuple[int, ...] = (0,)) -> dict[str, Any]:
        status = run(["--lab", str(lab.root), *arguments, "--json"])
        out, err = capsys.readouterr()
        assert status in expect, (arguments, status, out, err)
        assert "Something went wrong" not in out + err, (arguments, out)
        return dict(json.loads(out))

    return ask


def check_rows(lab: Lab, ask: Ask, jobs: JobCommands, made: dict[str, tuple[str, str]], *needed: str) -> None:
    """Every job has its row; one whose needed file is damaged as a whole says so; each can be shown."""
    kind = jobs.kind()
    group = kind.directory.verb.split()[1]
    rows = {row["id"]: row for row in ask(group, "ls")["items"]}
    assert rows.keys() - made.keys() == {"good"}
    assert rows["good"]["unreadable"] is None
    gone = made.keys() - rows.keys()
    assert not gone, [made[one] for one in gone]
    whole = BYTES.keys() | PLACES.keys()
    for identity, (file, damage) in made.items():
        if file in needed and damage in whole:
            assert rows[identity]["unreadable"], (file, damage)
            assert file in rows[identity]["unreadable"]
        folder = kind.directory(kind.parent(lab) / identity)
        with suppress(LabError):
            jobs.show(lab, folder, folder.info())
    ask(group, "show", next(iter(made)), expect=(0, 3))


@pytest.mark.slow
@EACH
def test_training_runs(lab: Lab, ask: Ask, each: int) -> None:
    sample = {"step": 3, "prompt": "What?", "gold": "1", "text": "1", "answer": "1", "correct": True, "tokens": 4}
    good = write_run(lab.runs, "good", steps=5, total=5, saved=(5,), samples=[sample], log="Done.\n", message="Ok.")
    write_json(good.about_file, {"name": "best", "notes": [{"text": "first", "created_at": "2026-01-01"}]})
    (good.checkpoint(5) / "o1lab.json").write_text('{"elapsed_s": 3.5, "num_tokens": 7}')
    made = spoil(good.path, each)
    check_rows(lab, ask, train.JOBS, made, "status.json", "recipe.yaml")
    ask("doctor", expect=(0, 1, 3))
    store = open_store(lab.database)
    poller = train_poller.Poller(lab, store)
    lines = poller.poll(None, (), train_poller.View()).lines
    assert len(lines) == len(made) + 1
    for line in lines:
        poller._follow(line.run).metrics.poll()
        detail = poller._detail(line)
        for show in (train_text.header, train_text.notice, train_text.facts):
            show(detail)
        train_text.figures(detail.last)
        train_text.state_words(line)
        assert all(isinstance(column.cell(line.figures), str) for column in COLUMNS.values())
    store.close()


@EACH
def test_teacher_runs(lab: Lab, ask: Ask, each: int) -> None:
    distill_lab.add_sums(lab, 2)
    good = distill_lab.start(lab)
    journal = {"key": "a/0/0", "state": "failed", "answer": "x", "input_tokens": 3, "cost_usd": 0.5,
               "fault": {"code": "html", "sentence": "A page.", "retryable": True}, "raw": "<html>"}  # fmt: skip
    good.journal.write_text(json.dumps(journal) + "\n")
    good.write_status(good.status_of({"state": "stopped", "requested": 4, "done": 1, "faults": {"html": 1}}))
    made = spoil(good.path.rename(good.path.with_name("good")), each)
    check_rows(lab, ask, distill.JOBS, made, "status.json", "settings.json")
    store = open_store(lab.database)
    poller = distill_poller.Poller(lab, store)
    lines = poller.poll(None).lines
    assert len(lines) == len(made) + 1
    for line in lines:
        detail = poller._detail(line)
        distill_text.header(detail)
        distill_text.facts(detail)
        distill_text.list_cell(line, marked=False)
    store.close()


def test_a_run_of_a_method_that_is_not_installed_says_so(lab: Lab, ask: Ask) -> None:
    distill_lab.add_sums(lab, 2)
    run = distill_lab.start(lab)
    settings = json.loads(run.settings_file.read_text("utf-8")) | {"method": "gone"}
    run.settings_file.write_text(json.dumps(settings))
    (row,) = ask("distill", "ls")["items"]
    assert row["unreadable"].startswith("settings.json: method: there is no method 'gone'")
    assert ask("distill", "show", run.id)["unreadable"] == row["unreadable"]


@pytest.mark.slow
@EACH
def test_evaluations(lab: Lab, ask: Ask, each: int) -> None:
    first = control.start(lab, control.read_settings(lab, {"suite": "sums", "model": "teacher"}))
    good = EvalFolder(first.path.rename(first.path.with_name("good")))
    made = spoil(good.path, each)
    check_rows(lab, ask, evaluate.JOBS, made, "status.json", "settings.json")
    store = open_store(lab.database)
    poller = evaluate_poller.Poller(lab, store)
    lines = poller.poll(None).lines
    assert {line.id for line in lines} >= {"good", *made}
    for line in lines:
        evaluate_text.facts(poller._detail(line))
    store.close()


@pytest.mark.parametrize("mode", ["lab", "distill", "train", "compare", "evaluate"])
async def test_the_screens_open_among_damaged_jobs(lab: Lab, mode: str) -> None:
    for name, content in BYTES.items():
        for parent, marker in ((lab.runs, "status.json"), (lab.distill, "settings.json"), (lab.evals, "settings.json")):
            folder = parent / name.replace(" ", "-")
            folder.mkdir(parents=True)
            for file in (marker, "status.json", "about.json", "recipe.yaml"):
                (folder / file).write_bytes(content)
    (lab.servers).mkdir()
    for name, content in BYTES.items():
        (lab.servers / f"{name}.json").write_bytes(content)
    (lab.servers / "folder.json").mkdir()
    app = LabApp(open_context(lab), mode=mode)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("2") if mode == "distill" else None
        expected = "unreadable" if mode in ("distill", "train", "evaluate") else ""
        await until(pilot, lambda: expected in drawn(pilot), "the damaged jobs")
        await pilot.press("j", "j", "enter", "tab", "j")
        await pilot.pause()


def test_server_records(lab: Lab, ask: Ask) -> None:
    path = write_record(lab.servers, ServerRecord("http://127.0.0.1:1", "t", os.getpid(), ["m"], "cpu", 2e9))
    assert [one.pid for one in live_records(lab)] == [os.getpid()]
    for number, (_, damage) in enumerate(list(damages(path))):
        copy = path.with_name(f"{number:04}.json")
        shutil.copy(path, copy)
        damage(copy)
    assert os.getpid() in [one.pid for one in live_records(lab)]
    checks = {one["name"]: one for one in ask("doctor", expect=(0, 1, 3))["checks"]}
    assert not checks["servers"]["ok"] and "0000.json: " in checks["servers"]["detail"]
    assert (lab.servers / "0000.json").exists()


@pytest.mark.parametrize("verb", ["eval suites", "distill prompts", "runs ls", "distill ls", "eval ls", "doctor"])
@pytest.mark.parametrize("file", ["suites/bad.yaml", "prompts/bad@1.md", "o1lab.toml"])
def test_suites_prompts_and_settings(lab: Lab, ask: Ask, verb: str, file: str) -> None:
    path = lab.root / file
    path.parent.mkdir(exist_ok=True)
    before = path.read_bytes() if path.exists() else (lab.suites / "sums.yaml").read_bytes()
    for damage in (*(lambda path, content=one: path.write_bytes(content) for one in BYTES.values()), *PLACES.values()):
        if path.is_dir():
            path.rmdir()
        path.unlink(missing_ok=True)
        if file == "o1lab.toml" and damage in (_folder, Path.unlink, _link, _pipe):
            continue  # without this file the folder is no lab
        path.write_bytes(before)
        damage(path)
        ask(*verb.split(), expect=(0, 1, 3))


@pytest.mark.parametrize("damage", [*BYTES, *PLACES])
def test_a_damaged_recipe_is_one_sentence(lab: Lab, ask: Ask, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(BYTES.get(damage, b"{}"))
    if damage in PLACES:
        PLACES[damage](path)
    answer = ask("train", "--recipe", str(path), "--dry-run", expect=(2, 3))
    assert "recipe" in answer["error"]["message"]
