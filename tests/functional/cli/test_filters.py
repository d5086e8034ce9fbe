"""``o1lab filters``: saved filters on the command line, in every verb that takes a filter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run as o1lab
from o1lab.paths import Lab
from tests.support.lab_seed import make_lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_lab(tmp_path / "lab", 12)


def data(lab: Lab, capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert o1lab(["--lab", str(lab.root), *words, "--json"]) == status
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_saved_filter_stands_for_its_text_wherever_a_filter_is_taken(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    data(lab, capsys, "filters", "save", "good", "verdict:correct", "sort:-chars")
    data(lab, capsys, "filters", "save", "known", "has:answer", "--of", "problems")
    plain = data(lab, capsys, "traces", "ls", "verdict:correct sort:-chars")
    assert data(lab, capsys, "traces", "ls", "saved:good") == plain
    assert plain["total"] > 0
    made = data(lab, capsys, "dataset", "create", "good", "--decision", "any", "--where", "saved:good")
    assert (made["rows"], made["query"]) == (plain["total"], "verdict:correct sort:-chars")
    assert data(lab, capsys, "problems", "ls", "saved:known")["total"] == 3
    assert [one["name"] for one in data(lab, capsys, "filters", "ls", "--of", "problems")["items"]] == ["known"]
    found = data(lab, capsys, "problems", "ls", "saved:good", status=2)["error"]
    assert found["message"] == "There is no saved filter 'good'."
    assert found["hint"] == "Saved: known."


def test_replacing_and_deleting_say_what_was_there(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert data(lab, capsys, "filters", "save", "good", "wait")["replaced"] is None
    assert data(lab, capsys, "filters", "save", "good", "hmm")["replaced"] == "wait"
    assert data(lab, capsys, "filters", "rm", "good")["filter"] == "hmm"
    assert data(lab, capsys, "filters", "rm", "good", status=4)["error"]["hint"] == "No filter is saved yet."


def test_a_teacher_run_keeps_the_filter_and_not_its_name(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    data(lab, capsys, "filters", "save", "known", "has:answer", "--of", "problems")
    run = data(lab, capsys, "distill", "--endpoint", "solver", "--problems", "saved:known", "--limit", "1")
    assert data(lab, capsys, "distill", "show", run["id"])["settings"]["problems"] == "has:answer"


def test_fresh_is_for_the_app(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert o1lab(["--lab", str(lab.root), "--fresh", "traces", "ls"]) == 2
    assert "--fresh is only for the app" in capsys.readouterr().err
