"""``o1lab tti``: the leaderboard, scoring a work, and scoring the lab."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run as o1lab
from o1lab.paths import Lab
from tests.support import lab_seed
from tests.support.fake_runs import write_run

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    made = lab_seed.make_lab(tmp_path / "lab")
    monkeypatch.setenv("O1LAB_LAB", str(made.root))
    monkeypatch.setenv("O1LAB_ANNOTATOR", "ann")
    return made


def test_the_leaderboard(lab: Lab, ask: Ask, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    works = ask("tti")["works"]
    assert works[0] == {
        "name": "O1-Journey (Part 2)", "data": 10, "methodology": 33, "evaluation": 24, "open_source": 12, "total": 79,
        "published": True,
    }  # fmt: skip
    assert len(works) == 7
    assert o1lab(["tti"]) == 0
    assert "O1-Journey (Part 1)" in capsys.readouterr().out
    for suffix, mark in ((".md", "| O1-Journey"), (".tex", r"\begin{tabular}")):
        path = tmp_path / f"board{suffix}"
        assert o1lab(["tti", "--out", str(path)]) == 0
        assert mark in path.read_text("utf-8")


def test_a_work_is_scored_by_several_persons(lab: Lab, ask: Ask) -> None:
    made = ask("tti", "Mine", "--item", "sources", "--answer", "yes", "--evidence", "https://a.org/data")
    assert (made["item"], made["answer"], made["scorer"], made["total"]) == ("data.sources", "yes", "ann", 3)
    again = ask("tti", "Mine", "--item", "sources", "--answer", "no")
    assert (again["replaced"], again["total"]) == ("yes", 0)
    ask("tti", "Mine", "--item", "sources", "--answer", "yes", "--evidence", "page 3", "--scorer", "bo")
    found = ask("tti", "Mine")
    assert found["items"][0] | {"answers": []} == {
        "id": "data.sources", "title": "Sources", "points": 3, "answer": "no", "disputed": True, "answers": [],
    }  # fmt: skip
    assert found["agreement"]["raters"] == 2
    assert len(ask("tti", "Mine", "--history")["items"]) == 3
    ask("tti", "Mine", "--item", "sources", "--answer", "withdrawn")
    assert ask("tti", "Mine")["items"][0]["answer"] == "yes"


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["Mine", "--item", "sources", "--answer", "yes"], 2),
        (["Mine", "--item", "sources", "--answer", "yes", "--evidence", "http://"], 2),
        (["Mine", "--item", "sources", "--answer", "not_used", "--evidence", "x"], 2),
        (["Mine", "--item", "nothing", "--answer", "no"], 4),
        (["Mine", "--item", "sources"], 2),
        (["--item", "sources", "--answer", "no"], 2),
        (["Mine", "--self"], 2),
        (["--run", "x"], 2),
        (["--history"], 2),
        (["Nobody scored this"], 4),
        (["--framework", "none"], 4),
        (["--self"], 4),
        (["--self", "--run", "none"], 4),
        (["--format", "pdf"], 2),
    ],
)
def test_bad_input(lab: Lab, ask: Ask, arguments: list[str], status: int) -> None:
    error = ask("tti", *arguments, status=status)["error"]
    assert error["message"] and error["hint"]
    assert len(ask("tti")["works"]) == 7  # nothing was recorded


def test_a_published_work_can_be_scored_again(lab: Lab, ask: Ask) -> None:
    ask("tti", "K0Math", "--item", "base", "--answer", "yes", "--evidence", "page 1")
    assert [(one["total"], one["published"]) for one in ask("tti", "K0Math")["works"]] == [(16, True), (4, False)]


def test_text_from_elsewhere_is_shown_literally(lab: Lab, ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b]0;owned\x07[red]x[/]"
    ask("tti", hostile, "--item", "sources", "--answer", "yes", "--evidence", hostile)
    for arguments in (["tti"], ["tti", hostile], ["tti", hostile, "--history"]):
        assert o1lab(arguments) == 0
        shown = capsys.readouterr().out
        assert "\x1b" not in shown
        assert "[red]x[/]" in shown


def test_the_report_of_a_run(lab: Lab, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert o1lab(["report", "--json"]) == 4
    capsys.readouterr()
    write_run(lab.runs, "r1", saved=(100,))
    assert o1lab(["report", "--out", str(tmp_path / "out"), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["dir"], made["run"]) == (str(tmp_path / "out"), "r1")
    assert set(made["files"]) >= {"report.md", "report.html", "model/README.md"}
    (tmp_path / "file").write_text("x")
    assert o1lab(["report", "--out", str(tmp_path / "file"), "--json"]) == 2
    assert o1lab(["report", "none", "--json"]) == 4
