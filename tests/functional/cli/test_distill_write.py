"""The verb for a person who writes a long thought, as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from store import Store, open_store, problems
from store.records import NewProblem
from tests.support.programs import program

EDITOR = """
import pathlib, sys
path, body = pathlib.Path(sys.argv[1]), pathlib.Path({body!r})
if body.exists():
    head = path.read_text("utf-8").partition("<think>\\n\\n</think>")[0]
    path.write_text(head + body.read_text("utf-8"), "utf-8")
"""
PATIENCE_S = 300.0
PROBLEM = NewProblem("What is 40 + 2?", "here", answer="42")


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    root = tmp_path / "lab"
    root.mkdir()
    (root / "o1lab.toml").write_text('name = "lab"\n', "utf-8")
    store: Store = open_store(root / "lab.db")
    with store.db.atomic():
        problems.add(store.db, [PROBLEM])
    store.close()
    return root


def write(lab: Path, typed: str | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`o1lab distill write` with an editor that replaces the body by ``typed``."""
    body, editor = lab / "body.txt", lab / "editor.py"
    if typed is not None:
        body.write_text(typed, "utf-8")
    editor.write_text(EDITOR.format(body=str(body)), "utf-8")
    return subprocess.run(
        program("distill", "write", PROBLEM.id[:8], *arguments, lab=lab),
        env=os.environ | {"EDITOR": f"{sys.executable} {editor}", "VISUAL": "", "O1LAB_ANNOTATOR": "ada"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


def test_a_person_writes_a_trace(lab: Path) -> None:
    done = write(lab, "<think>\nWait, let me add.\n</think>\n\n\\boxed{42}\n", "--json", "--licence", "CC0-1.0")
    assert done.returncode == 0, done.stderr
    item = json.loads(done.stdout)
    assert (item["model"], item["synthesis"], item["verdict"]) == ("ada", "human", "correct")
    assert item["problem_id"] == PROBLEM.id
    assert f"drafts/{PROBLEM.id}-ada.md" in done.stderr


def test_an_unchanged_file_writes_nothing(lab: Path) -> None:
    done = write(lab, None)
    assert (done.returncode, done.stdout) == (0, "Nothing was written.\n")


def test_a_problem_that_is_not_there_is_said(lab: Path) -> None:
    done = subprocess.run(
        program("distill", "write", "ffff", "--json", lab=lab),
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 4
