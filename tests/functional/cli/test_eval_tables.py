"""`o1lab eval table` and `o1lab eval plot`."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from o1lab.cli.main import run
from o1lab.config import init_lab
from store import open_store
from tests.functional.cli.test_curate import Program
from tests.support.tables_lab import evaluated

BASE, STUDENT = "SmolLM2-135M", "7f3a/100"


@pytest.fixture
def o1lab(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Program:
    lab = init_lab(tmp_path / "lab")
    store = open_store(lab.database)
    evaluated(store, "e-base", "aime24", BASE, "+" + "-" * 9, role="base")
    evaluated(store, "e-student", "aime24", STUDENT, "+" * 9 + "c", role="student")
    evaluated(store, "f-base", "flames", BASE, "+" * 20, role="base", family="safety")
    evaluated(store, "f-student", "flames", STUDENT, "+" * 10 + "-" * 10, role="student", family="safety")
    store.close()
    return Program(lab.root, capsys)


def text(o1lab: Program, *arguments: str) -> str:
    assert run(["--lab", str(o1lab.lab), *arguments]) == 0
    return o1lab.capsys.readouterr().out


def test_the_tables_as_json_and_for_a_person(o1lab: Program) -> None:
    for word in ("1", "accuracy"):
        status, told = o1lab("eval", "table", word)
        assert (status, told["table"], told["sections"][0]["suite"]) == (0, "accuracy", "aime24@1")
    for word in ("2", "general"):
        status, told = o1lab("eval", "table", word)
        assert (status, told["table"]) == (0, "general")
    safety = told["sections"][0]["rows"][-1]
    assert (safety["label"], safety["cells"]["difference"]["verdict"]) == ("flames", "worse")
    assert o1lab("eval", "table")[1]["table"] == "evaluations"
    lines = text(o1lab, "eval", "table", "general").splitlines()
    assert any("▼ -50.0 worse" in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_evaluations_are_chosen_by_id_model_and_suite(o1lab: Program) -> None:
    def ids(*arguments: str) -> list[str]:
        told = o1lab("eval", "table", *arguments)[1]
        return [row["cells"]["id"]["value"] for section in told["sections"] for row in section["rows"]]

    assert ids("e-s", "f-b") == ["e-student", "f-base"]
    assert ids("all", "e-s") == ["e-student"]
    assert ids("--model", STUDENT) == ["e-student", "f-student"]
    assert ids("--suite", "flames@1") == ["f-base", "f-student"]
    assert ids("--model", STUDENT, "--before", BASE, "--suite", "flames") == ["f-student", "f-base"]


def test_a_table_is_written_in_the_form_of_its_file(o1lab: Program, tmp_path: Path) -> None:
    for name, begin in (("t.md", "## Accuracy"), ("t.tex", "% needs"), ("t.json", "{"), ("t.txt", "Accuracy")):
        status, told = o1lab("eval", "table", "1", "--out", tmp_path / name)
        assert (status, told["path"], told["table"], told["rows"]) == (0, str(tmp_path / name), "accuracy", 8)
        assert (tmp_path / name).read_text("utf-8").startswith(begin)
    assert json.loads((tmp_path / "t.json").read_text("utf-8"))["table"] == "accuracy"
    assert "\\toprule" in text(o1lab, "eval", "table", "1", "--format", "latex")
    assert text(o1lab, "eval", "table", "1", "--format", "md").startswith("## Accuracy")
    assert json.loads(text(o1lab, "eval", "table", "1", "--format", "json"))["table"] == "accuracy"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lab", "t.json", "t.md", "t.tex", "t.txt"]


def test_the_behaviour_profile_for_a_person_a_program_and_a_spreadsheet(o1lab: Program, tmp_path: Path) -> None:
    status, told = o1lab("eval", "profile")
    assert (status, told["table"]) == (0, "profile")
    assert [section["suite"] for section in told["sections"]] == ["", "aime24@1", "flames@1"]
    assert [row["label"] for row in told["sections"][0]["rows"]] == [f"{BASE}, base", f"{STUDENT}, student"]
    status, told = o1lab("eval", "profile", "--suite", "flames", "--out", tmp_path / "p.csv")
    assert (status, told["format"], told["rows"]) == (0, "csv", 2)
    rows = list(csv.DictReader((tmp_path / "p.csv").read_text("utf-8").splitlines()))
    assert [(row["model"], row["accuracy"], row["moves"], row["texts"]) for row in rows] == [
        (f"{BASE}, base", "100.0", "", "0"), (f"{STUDENT}, student", "50.0", "", "0"),
    ]  # fmt: skip
    lines = text(o1lab, "eval", "profile").splitlines()
    assert max(map(len, lines)) <= 80 and any("self-reflection" in line for line in lines)
    status, told = o1lab("eval", "profile", "--teacher", "nobody")
    assert status == 4 and "'nobody' has no chains in the lab." in told["error"]["message"]


def test_plots_as_text_json_and_svg(o1lab: Program, tmp_path: Path) -> None:
    status, told = o1lab("eval", "plot")
    assert (status, told["plot"], len(told["panels"])) == (0, "tokens", 2)
    status, told = o1lab("eval", "plot", "right-wrong", "e-student")
    assert (status, [model["evaluation"] for model in told["panels"][0]["models"]]) == (0, ["e-student"])
    status, told = o1lab("eval", "plot", "--suite", "aime24", "--svg", tmp_path / "p.svg")
    assert (status, told) == (0, {"path": str(tmp_path / "p.svg"), "format": "svg", "plot": "tokens", "panels": 1})
    ElementTree.fromstring((tmp_path / "p.svg").read_text("utf-8"))  # noqa: S314 - what we wrote ourselves
    lines = text(o1lab, "eval", "plot", "e-base", "e-student").splitlines()
    assert max(map(len, lines)) <= 80
    assert any("o1-mini (published)" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("table", "nope"), 4),
        (("table", "--suite", "nope"), 4),
        (("table", "--scorer", "nope@1"), 4),
        (("table", "1", "--before", "nope"), 2),
        (("table", "1", "--format", "pdf"), 2),
        (("table", "1", "--out", "table.pdf"), 2),
        (("table", "1", "--out", "no/such/folder.md"), 3),
        (("plot", "nope"), 4),
        (("plot", "--svg", "no/such/folder.svg"), 3),
    ],
)
def test_what_cannot_be_done_is_said(o1lab: Program, arguments: tuple[str, ...], status: int) -> None:
    found, told = o1lab("eval", *arguments)
    assert (found, set(told["error"])) == (status, {"code", "message", "hint"})
    assert told["error"]["hint"]


def test_an_empty_lab_shows_what_was_published_and_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["init", str(tmp_path / "lab")])
    capsys.readouterr()
    empty = Program(tmp_path / "lab", capsys)
    assert "o1lab eval SUITE --model MODEL" in text(empty, "eval", "table")
    assert "▼ -5.5 worse" in text(empty, "eval", "table", "2")
    assert "o1-preview (published)" in text(empty, "eval", "plot")
