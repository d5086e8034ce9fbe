"""`o1lab runs ls` and `runs diff` on twenty runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run as o1lab
from o1lab.config import init_lab
from o1lab.paths import Lab
from tests.support.fake_runs import write_run
from tests.support.many_runs import write_runs

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = init_lab(tmp_path / "lab", name="test")
    write_runs(lab.runs)
    return lab


def test_runs_are_filtered_sorted_and_shown_in_chosen_columns(
    lab: Lab, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    found = ask("runs", "ls", "state:failed", "rank:8", "--sort", "-lr")
    assert [one["id"] for one in found["items"]] == ["run03", "run18"]
    assert found["items"][0]["dataset"] == "col-add-400" and found["items"][0]["best_loss"] > 0
    assert ask("runs", "ls")["hidden_archived"] == 1
    assert [one["id"] for one in ask("runs", "ls", "sweep")["items"]] == ["run00", "run01", "run02"]
    words = ["runs", "ls", "tag:keep", "--columns", "name,best,lr,rank,tags"]
    assert o1lab(["--lab", str(lab.root), *words]) == 0
    head, row = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head == ["BEST", "LR", "RANK", "TAGS"]  # no run of these has a name
    assert row[1:] == ["5e-4", "64", "keep,", "paper"]


def test_a_filter_that_is_wrong_is_explained(lab: Lab, ask: Ask) -> None:
    wrong = ask("runs", "ls", "stat:failed", status=2)["error"]
    assert wrong["message"] == "Unknown field 'stat'." and wrong["hint"] == "Did you mean state?"
    assert "Sort by age" in ask("runs", "ls", "--sort", "colour", status=2)["error"]["hint"]


def test_recipes_are_compared(lab: Lab, ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    found = ask("runs", "diff", "run00", "run05")
    fields = {item["field"]: item["values"] for item in found["items"]}
    assert fields["learning_rate"] == [1e-4, 5e-4] and fields["lora_r"] == [8, 64]
    assert set(fields) == {"dataset", "dataset_hash", "learning_rate", "lora_r", "seed"}
    assert found["runs"] == ["run00", "run05"] and found["results"][1]["step"] == 100
    assert ask("runs", "diff", "sweep", "run05")["runs"] == ["run02", "run01", "run00", "run05"]
    assert "Two different runs" in ask("runs", "diff", "run00", status=2)["error"]["message"]
    assert ask("runs", "diff", "run00", "nine", status=4)["error"]["code"] == "not_found"
    assert o1lab(["--lab", str(lab.root), "runs", "diff", "wide", "run05"]) == 0
    out = capsys.readouterr().out
    assert "wide" in out.splitlines()[0] and "learning_rate" in out and "best loss" in out
    write_run(lab.runs, "odd").recipe.write_text("- a list")
    assert "odd" in ask("runs", "diff", "run00", "odd", status=2)["error"]["message"]


def test_deleting_says_what_is_freed_before_it_asks(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda text, **_: asked.append(text))
    assert o1lab(["--lab", str(lab.root), "runs", "rm", "run05"]) == 0
    assert "run05" in asked[0] and "which frees" in asked[0] and " kB" in asked[0]
    assert (lab.runs / "run05").exists()
