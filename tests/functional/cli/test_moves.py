"""The commands ``moves ...``: label, agreement, train."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run
from o1lab.labs import open_lab
from o1lab.paths import Lab
from tests.functional.cli.test_curate import Program

LINES = {
    "understand": "The tank number {n} holds some litres of water in it.",
    "plan": "Let me try to find the rate of tap {n} first.",
    "compute": "{n} + {n} = {twice}, and {n} * 3 = {thrice}.",
    "reflect": "Wait, hmm, maybe that is odd for {n}.",
    "conclude": "So the final answer is {n} litres for this tank.",
}


def chain(number: int) -> str:
    values = {"n": number, "twice": 2 * number, "thrice": 3 * number}
    return "\n".join(line.format(**values) for line in LINES.values())


@pytest.fixture
def o1lab(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Program:
    run(["init", str(tmp_path / "lab"), "--json"])
    rows = [{"problem": f"Tank {n}?", "raw": f"<think>\n{chain(n)}\n</think>\n\n{n}"} for n in range(2, 5)]
    path = tmp_path / "chains.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    run(["--lab", str(tmp_path / "lab"), "import", str(path), "--json"])
    capsys.readouterr()
    return Program(tmp_path / "lab", capsys)


def tagged(path: Path, number: int, kind: str = "") -> str:
    """Write a file of tagged chains, one for each problem; every sentence is of ``kind`` if one is given."""
    rows: list[dict[str, Any]] = [
        {
            "problem_id": f"t{n}",
            "thought": chain(n),
            "sentences": [
                {"text": line, "tag": kind or name} for line, name in zip(chain(n).split("\n"), LINES, strict=True)
            ],
        }
        for n in range(10, 10 + number)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def test_chains_are_labelled_once(o1lab: Program) -> None:
    first = o1lab("moves", "label")[1]
    assert first["labelled"] == 3
    assert first["classifier"].startswith("shipped-2 ")
    assert first["chains"] == {"model": 3, "rules": 0, "writer": 0, "pending": 0}
    assert o1lab("moves", "label")[1]["labelled"] == 0
    assert o1lab("traces", "ls", "moves-by:model")[1]["total"] == 3
    assert o1lab("traces", "ls", "moves-by:pending")[1]["total"] == 0


def test_the_schemes_are_compared_with_persons(o1lab: Program) -> None:
    assert o1lab("moves", "agreement")[1]["schemes"]["rules"]["units"] == 0
    o1lab("moves", "label")
    [trace, *_] = [item["id"] for item in o1lab("traces", "ls")[1]["items"]]
    segments = o1lab("traces", "show", trace)[1]["segments"]
    for number, segment in enumerate(segments, 1):
        kind = segment["found"] if number < len(segments) else "backtrack"
        assert o1lab("annotate", trace, "--move", f"{number}:{kind}")[0] == 0
    found = o1lab("moves", "agreement")[1]
    assert found["chains"] == 1
    assert found["schemes"]["classifier"]["units"] == len(segments)
    assert found["schemes"]["classifier"]["observed"] == pytest.approx(1 - 1 / len(segments), abs=1e-3)
    assert 0 < found["schemes"]["classifier"]["value"] < 1


def test_a_lab_trains_its_own_classifier_on_a_file_and_uses_it(o1lab: Program, tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="training needs scikit-learn")
    o1lab("moves", "label")
    status, found = o1lab("moves", "train", tagged(tmp_path / "t.jsonl", 12))
    assert status == 0
    assert found["sentences"] == 60
    assert found["left_out"]["trained"]["accuracy"] >= found["left_out"]["rules"]["accuracy"]
    assert found["used"]
    assert found["classifier"].startswith("own ")
    again = o1lab("moves", "label")[1]
    assert (again["labelled"], again["classifier"]) == (3, found["classifier"])
    lab = Lab(o1lab.lab)
    assert lab.moves_classifier.stat().st_size < 1_000_000
    lab.moves_classifier.unlink()
    assert o1lab("moves", "label")[1]["classifier"].startswith("shipped-2 ")


def test_a_classifier_that_is_worse_than_the_rules_is_not_used(o1lab: Program, tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="training needs scikit-learn")
    path = Path(tagged(tmp_path / "t.jsonl", 12))
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    kinds = list(LINES)
    for at, row in enumerate(rows):  # what is learned from some problems is wrong for the others
        for number, sentence in enumerate(row["sentences"]):
            sentence["tag"] = kinds[(number + at) % len(kinds)] if number else "understand"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    found = o1lab("moves", "train", str(path))[1]
    assert found["left_out"]["trained"]["accuracy"] < found["left_out"]["rules"]["accuracy"]
    assert not found["used"]
    assert not Lab(o1lab.lab).moves_classifier.exists()
    assert o1lab("moves", "train", str(path), "--anyway")[1]["used"]


def test_what_training_lacks_is_said(
    o1lab: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*arguments: str) -> dict[str, Any]:
        assert run(["--lab", str(o1lab.lab), "moves", "train", *arguments, "--json"]) != 0
        error: dict[str, Any] = json.loads(capsys.readouterr().out)["error"]
        return error

    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert fails()["code"] == "no_moves_extra"
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: object())
    assert fails()["code"] == "few_corrections"
    assert fails(tagged(tmp_path / "one.jsonl", 1))["code"] == "few_corrections"
    assert fails(tagged(tmp_path / "same.jsonl", 12, "plan"))["code"] == "few_corrections"
    assert "cannot be read" in fails(str(tmp_path / "none.jsonl"))["message"]
    (tmp_path / "odd.jsonl").write_text('{"thought": "a", "sentences": [{"text": "a", "tag": "odd"}]}\n', "utf-8")
    assert "Line 1 of" in fails(str(tmp_path / "odd.jsonl"))["message"]
    lines = [
        ('\n\n{"thought": "a", "sentences": [{"text": "a", "tags": []}]}\n', "Line 3 of"),
        ("{\n", "Line 1 of"),
        ("\xff", "is not UTF-8"),
    ]
    for text, sentence in lines:
        (tmp_path / "odd.jsonl").write_bytes(text.encode("latin-1"))
        assert sentence in fails(str(tmp_path / "odd.jsonl"))["message"]


def test_a_part_of_the_problems_with_one_kind_is_said(
    o1lab: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: object())
    rows = [
        json.loads(line)
        for kind in ("plan", "compute")
        for line in Path(tagged(tmp_path / "t.jsonl", 6, kind)).read_text("utf-8").splitlines()
    ]
    for at, row in enumerate(rows):  # all that is planned is of one problem, all that is computed of the other
        row["problem_id"] = str(at // 6)
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert run(["--lab", str(o1lab.lab), "moves", "train", str(path), "--json"]) != 0
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "few_corrections"
    assert "Without 1 of the 2 problems, the other sentences have only the kind compute" in error["message"]
    for row in rows[6:]:  # chains of which no sentence is found have no kinds
        row["sentences"] = [{"text": "elsewhere", "tag": "compute"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert run(["--lab", str(o1lab.lab), "moves", "train", str(path), "--json"]) != 0
    assert "30 sentences of 1 problems have a kind" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_correction_of_an_unknown_kind_is_said(
    o1lab: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: object())
    [trace, *_] = [item["id"] for item in o1lab("traces", "ls")[1]["items"]]
    assert o1lab("annotate", trace, "--move", "1:plan")[0] == 0
    with closing(open_lab(Lab(o1lab.lab))) as store, store.db.atomic():
        store.db.conn.execute("UPDATE annotations SET value = 'odd' WHERE kind = 'move'")
    for verb in ("train", "agreement"):
        assert run(["--lab", str(o1lab.lab), "moves", verb, "--json"]) == 3
        assert f"A move of trace {trace} was corrected to 'odd'" in capsys.readouterr().out
