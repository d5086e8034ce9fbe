"""Asking for preflight: what becomes of a process that gives no result."""

from __future__ import annotations

import importlib.util
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from o1lab.errors import LabError
from o1lab.paths import Lab, log_dir
from o1lab.train.preflight.report import Preflight, inspect_run, launching_command, run_preflight
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import override, resolve
from o1lab.train.runs.directory import RunDir
from tests.support.training_lab import make_lab, prepared, recipe, rows


@pytest.mark.parametrize(
    ("does", "said"), [("kill -9 $$", "killed by signal 9"), ("echo nonsense; exit 1", "Preflight failed: Boom")]
)
def test_a_preflight_that_fails_is_one_sentence_and_its_output_is_in_the_log(
    does: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\necho Traceback >&2; echo Boom. >&2; {does}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(LabError, match=said) as told:
        inspect_run(RunDir(tmp_path / "run"))
    assert "Traceback" not in str(told.value)
    assert "Traceback" in (log_dir() / "o1lab.log").read_text()


def test_the_launching_command_has_lists_as_set_takes_them(tmp_path: Path) -> None:
    command = launching_command(Lab(tmp_path), Recipe(dataset="d", report_to=["tensorboard"]))
    words = shlex.split(command)
    assert resolve(override({"dataset": "d"}, [words[words.index("--set") + 1]])).report_to == ["tensorboard"]


def left_behind(lab: Lab, owner: str, *, age_s: float = 0.0) -> Path:
    folder = lab.runs / f".preflight-{owner}"
    (folder / "run").mkdir(parents=True)
    (folder / "run" / "data.jsonl").write_text("{}")
    if age_s:
        then = folder.stat().st_mtime - age_s
        os.utime(folder, (then, then))
    return folder


def test_the_next_preflight_removes_what_killed_ones_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trl", reason="the train extra is not installed")
    gone = subprocess.Popen(["true"])
    gone.wait()
    lab, here = make_lab(tmp_path / "lab", count=2), socket.gethostname()
    killed = left_behind(lab, f"{here}-{gone.pid}-ab_c1")
    old = left_behind(lab, "other-box-12-abc", age_s=100_000)
    nameless = left_behind(lab, "abcdefgh", age_s=100_000)
    at_work = [left_behind(lab, f"{here}-{os.getpid()}-abc"), left_behind(lab, "other-box-12-abd")]
    seen: list[str] = []

    def inspect(run: RunDir, **_: object) -> Preflight:
        seen.append(run.path.parent.name)
        assert not any(folder.exists() for folder in (killed, old, nameless))
        return Preflight(ok=True)

    monkeypatch.setattr("o1lab.train.preflight.report.inspect_run", inspect)
    assert run_preflight(lab, Recipe(dataset="sums")).ok
    assert seen[0].startswith(f".preflight-{here}-{os.getpid()}-")
    assert sorted(lab.runs.iterdir()) == sorted(at_work)


@pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="the train extra is not installed")
@pytest.mark.usefixtures("real_python")
def test_preflight_counts_the_rows(tiny_base: Path, tmp_path: Path) -> None:
    run = prepared(tmp_path, "run", recipe(tiny_base, eval_rows=4), rows(24))
    told: list[tuple[int, int]] = []
    found = inspect_run(run, progress=lambda done, total: told.append((done, total)))
    assert found.rows == 24 and told[-1] == (24, 24)
    assert told == sorted(told) and all(total == 24 for _, total in told)


def test_preflight_without_the_training_packages_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("peft", "trl") else there(name))
    with pytest.raises(LabError, match="peft, trl") as told:
        run_preflight(Lab(tmp_path), Recipe(dataset="sums"))
    assert told.value.code == "no_trainer"
    assert "o1lab[train]" in told.value.hint
