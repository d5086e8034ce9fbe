"""`o1lab eval suites` and `o1lab eval suite`: what there is, what it holds, what it lacks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run

Result = tuple[int, dict[str, Any]]
SUITE = """\
name: mine
version: 3
title: Mine
family: {family}
items: {{file: mine.jsonl, build: sycophancy}}
system: Be brief.
scorer: {{name: exact}}
"""


@pytest.fixture
def lab(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    run(["init", str(tmp_path / "lab"), "--json"])
    capsys.readouterr()
    folder = tmp_path / "lab" / "suites"
    folder.mkdir()
    (folder / "mine.yaml").write_text(SUITE.format(family="general"), "utf-8")
    (folder / "mine.jsonl").write_text('{"question": "1 + 1?", "answer": "2"}\n', "utf-8")
    (folder / "broken.yaml").write_text("name: [", "utf-8")
    return tmp_path / "lab"


@pytest.fixture
def ask(lab: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    def asked(*arguments: str) -> Result:
        status = run(["--lab", str(lab), "eval", *arguments, "--json"])
        return status, json.loads(capsys.readouterr().out)

    return asked


def test_suites_lists_what_is_here_missing_and_broken(ask: Callable[..., Result], lab: Path) -> None:
    status, told = ask("suites")

    found = {item["name"]: item for item in told["items"]}
    assert (status, told["total"]) == (0, len(found))
    assert found["mine"]["origin"] == str(lab / "suites" / "mine.jsonl")
    assert (found["mine"]["own"], found["mine"]["version"]) == (True, 3)
    assert found["math2024"]["origin"] is None
    assert "math2024.jsonl" in found["math2024"]["missing"]
    assert "not YAML" in found["broken"]["problem"]


def test_suite_shows_counts_and_a_sample(ask: Callable[..., Result]) -> None:
    status, told = ask("suite", "mine")

    assert status == 0
    assert (told["rows"], told["questions"], told["items"], told["left_out"]) == (1, 1, 5, {})
    assert told["variants"] == {"plain": 1, "wrong-hint": 1, "right-hint": 1, "push-back": 1, "ask-again": 1}
    assert told["sample"] == {"id": "1:plain", "system": "Be brief.", "turns": ["1 + 1?"], "gold": ["2"]}
    assert told["missing"] is None


def test_suite_without_its_items_says_what_it_needs(ask: Callable[..., Result]) -> None:
    status, told = ask("suite", "wildsafety")
    assert status == 0
    assert told["items"] is None
    assert "wildsafety.jsonl" in told["missing"]
    assert "--items" in told["missing"]


def test_suite_with_other_items(ask: Callable[..., Result], tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("question,answer\na,1\nb,\n", "utf-8")
    status, told = ask("suite", "gsm8k", "--items", str(path))
    assert status == 2
    assert f"{path}, row 2 (line 3): it has no gold answer" in told["error"]["message"]

    path.write_text("question,answer\na,1\nb,2\n", "utf-8")
    assert ask("suite", "gsm8k", "--items", str(path))[1]["items"] == 2


def test_an_unknown_suite_is_exit_4_and_a_broken_one_exit_2(ask: Callable[..., Result]) -> None:
    assert ask("suite", "gsm9k")[0] == 4
    assert ask("suite", "broken")[0] == 2


def test_text_for_people(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--lab", str(lab), "eval", "suite", "mine"]) == 0
    shown = capsys.readouterr().out
    assert "mine@3  Mine" in shown
    assert "user> 1 + 1?" in shown

    (lab / "suites" / "mine.yaml").write_text(SUITE.format(family="safety"), "utf-8")
    assert run(["--lab", str(lab), "eval", "suite", "mine"]) == 0
    shown = capsys.readouterr().out
    assert "1 + 1?" not in shown  # a prompt that may offend is thrown at nobody
    assert "may be offensive" in shown

    assert run(["--lab", str(lab), "eval", "suite", "aime25"]) == 0
    assert "--fetch" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["suites", "suite"])
def test_help_has_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", verb, "--help"]) == 0
    assert f"o1lab eval {verb}" in capsys.readouterr().out.split("Example", 1)[1]
