"""Labels and corrected kinds of moves on the command line: the lab's set, ``annotate`` and ``traces show``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run
from tests.functional.cli.test_curate import Program


@pytest.fixture
def o1lab(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Program:
    run(["init", str(tmp_path / "lab"), "--json"])
    rows = [{"problem": "What is 20 + 7?", "raw": f"<think>\n{THOUGHT}</think>\n\n27", "model": "sky"}]
    path = tmp_path / "chains.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    run(["--lab", str(tmp_path / "lab"), "import", str(path), "--json"])
    capsys.readouterr()
    return Program(tmp_path / "lab", capsys)


THOUGHT = "The problem is short.\n\n20 + 7 = 27.\n\nWait, is it?\n\nLet me check: 27 - 7 = 20.\n"


def show(o1lab: Program) -> dict[str, Any]:
    [trace] = o1lab("traces", "ls")[1]["items"]
    return o1lab("traces", "show", trace["id"])[1]


def test_the_labels_of_a_lab_are_listed_and_changed(o1lab: Program) -> None:
    listed = o1lab("labels", "ls")[1]["items"]
    assert [(one["digit"], one["name"]) for one in listed][:2] == [(1, "slip"), (2, "wrong turn")]
    assert o1lab("labels", "add", "lucky guess", "--colour", "white")[1]["digit"] == 7
    changed = o1lab("labels", "set", "lucky guess", "--digit", "1", "--colour", "blue")[1]["items"]
    assert [(one["name"], one["colour"], one["digit"]) for one in changed] == [
        ("lucky guess", "blue", 1),
        ("slip", "red", 7),
    ]
    assert o1lab("labels", "set", "slip", "--digit", "none")[1]["items"][0]["digit"] is None
    assert o1lab("labels", "rename", "slip", "arithmetic slip")[1]["name"] == "arithmetic slip"
    assert o1lab("labels", "rm", "arithmetic slip")[0] == 0
    assert "arithmetic slip" not in [one["name"] for one in o1lab("labels", "ls")[1]["items"]]


def test_what_cannot_be_is_said_with_what_can(o1lab: Program, capsys: pytest.CaptureFixture[str]) -> None:
    trace = show(o1lab)["id"]
    for arguments, status, said in (
        (("labels", "set", "slpi", "--digit", "1"), 4, "Did you mean 'slip'? It has slip, wrong turn"),
        (("labels", "set", "slip"), 2, "Give --colour, --digit or both"),
        (("labels", "set", "slip", "--digit", "10"), 2, "Give 1 to 9, or none"),
        (("labels", "add", "odd", "--colour", "mauve"), 2, "It is one of red, yellow"),
        (("annotate", trace, "--label", "1:slpi"), 4, "Did you mean 'slip'?"),
        (("annotate", trace, "--label", "slip"), 2, "Write N:WORD or N-M:WORD"),
        (("annotate", trace, "--label", "3-99:slip"), 2, "which has "),
        (("annotate", trace, "--move", "1:odd"), 2, "It is one of U understand, P plan"),
    ):
        assert run(["--lab", str(o1lab.lab), *arguments]) == status
        assert said in capsys.readouterr().err
    assert show(o1lab)["annotations"] == []


def test_moves_are_labelled_and_corrected_by_their_numbers(o1lab: Program, capsys: pytest.CaptureFixture[str]) -> None:
    before = show(o1lab)
    trace, moves = before["id"], before["segments"]
    assert len(moves) >= 3 and all(move["corrected"] is None and move["kind"] == move["found"] for move in moves)
    labelled = o1lab("annotate", trace, "--label", "1-2:slip")[1]
    assert (labelled["kind"], labelled["value"]) == ("span", "slip")
    assert labelled["span"] == [moves[0]["start"], moves[1]["end"]]
    assert len(o1lab("annotate", trace, "--move", "1-2:B")[1]["annotations"]) == 2
    after = show(o1lab)
    assert [move["kind"] for move in after["segments"][:2]] == ["backtrack", "backtrack"]
    assert [move["found"] for move in after["segments"]] == [move["found"] for move in moves]
    assert set(after["segments"][0]["corrected"]) == {"annotator", "created_at"}
    assert after["moves"]["backtrack"] == before["moves"]["backtrack"] + 2
    assert o1lab("traces", "ls", "backtrack>=2", "has:correction", "label:slip")[1]["total"] == 1
    run(["--lab", str(o1lab.lab), "traces", "show", trace])
    assert f"≠ backtrack, corrected from {moves[0]['found']}: " in capsys.readouterr().out
    o1lab("annotate", trace, "--move", "1:clear")
    assert [move["kind"] for move in show(o1lab)["segments"][:2]] == [moves[0]["kind"], "backtrack"]
    o1lab("annotate", trace, "--undo")
    o1lab("annotate", trace, "--undo")  # both moves, which were corrected at once
    assert show(o1lab)["segments"] == moves
    assert show(o1lab)["moves"] == before["moves"]


def test_an_export_keeps_labels_and_corrections(o1lab: Program, tmp_path: Path) -> None:
    trace = show(o1lab)["id"]
    o1lab("annotate", trace, "--label", "1:slip", "--move", "2:plan")
    o1lab("labels", "rename", "slip", "error")
    path = tmp_path / "annotations.jsonl"
    assert o1lab("annotations", "export", path)[1]["annotations"] == 2
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [(record["kind"], record["value"]) for record in records] == [("span", "error"), ("move", "plan")]
    strange = records[1] | {"id": "other", "value": "odd"}
    path.write_text(json.dumps(strange) + "\n", "utf-8")
    status, said = o1lab("annotations", "merge", path)
    assert status == 2 and "its kind of a move is 'odd'" in json.dumps(said)
