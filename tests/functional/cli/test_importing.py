"""``o1lab import``: what the columns of a file were taken for, mappings, dry runs; and what comes out again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run

Q, T = "How many pears are in 3 crates of 7 and 5 loose ones?", "3 * 7 is 24... wait, it is 21, plus 5 is 26."
ODD = {"question": Q, "cot2": T, "notes": "word " * 50, "answer": "26", "grade": "A"}


class Program:
    """The command line on one lab."""

    def __init__(self, lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.lab, self.capsys = lab, capsys

    def __call__(self, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
        status = run(["--lab", str(self.lab), *map(str, arguments), "--json"])
        return status, json.loads(self.capsys.readouterr().out)

    def text(self, *arguments: str | Path) -> str:
        assert run(["--lab", str(self.lab), *map(str, arguments)]) == 0
        return self.capsys.readouterr().out

    def file(self, name: str, *rows: dict[str, Any]) -> Path:
        path = self.lab.parent / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        return path

    def exported(self, form: str) -> list[dict[str, Any]]:
        self("dataset", "create", "all", "--decision", "any")
        out = self.lab.parent / f"all.{form}"
        self("dataset", "export", "all", "--format", form, "--out", out)
        return [json.loads(line) for line in out.read_text("utf-8").splitlines()]


@pytest.fixture
def o1lab(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Program:
    run(["init", str(tmp_path / "lab"), "--json"])
    capsys.readouterr()
    return Program(tmp_path / "lab", capsys)


def chat(*turns: tuple[str, str], **more: object) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": text} for role, text in turns], "model": "m", **more}


def test_what_was_not_used_is_named(o1lab: Program) -> None:
    path = o1lab.file("odd.jsonl", ODD, ODD | {"question": "And of 8?"})
    told = o1lab.text("import", path, "--no-measure")
    assert f"{path}: column notes (500 characters in 2 rows) was not used. If it matters: --map notes=ROLE" in told
    assert "column cot2" not in told  # it was taken for the response
    told = o1lab("import", path, "--no-measure")[1]["columns"]
    used = {"question": ["problem"], "cot2": ["response"], "answer": ["answer"], "grade": ["kept"]}
    assert told == [{"path": str(path), "used": used, "unused": {"notes": {"rows": 2, "chars": 500}}}]


def test_a_dry_run_imports_nothing_and_shows_the_columns(o1lab: Program) -> None:
    path = o1lab.file("odd.jsonl", ODD)
    told = o1lab.text("import", path, "--dry-run", "--map", "cot2=thought", "--map", "grade=solution")
    assert "  cot2: thought (the thought, without the solution)\n" in told
    assert "  grade: solution (" in told
    assert "1 rows: 1 added" in told
    assert "Nothing was imported: this is a dry run." in told
    assert o1lab("traces", "ls")[1]["total"] == o1lab("problems", "ls")[1]["total"] == 0
    told_json = o1lab("import", path, "--dry-run")[1]
    assert (told_json["dry_run"], told_json["measured"], told_json["files"][0]["added"]) == (True, 0, 1)


def test_a_mapping_decides(o1lab: Program) -> None:
    path = o1lab.file("odd.jsonl", ODD)
    status, told = o1lab("import", path, "--map", "cot2=thought", "--map", "grade=solution", "--map", "none=model")
    assert status == 0
    assert [notice["reason"] for notice in told["notices"]] == ["no row has a column none with a text"]
    (row,) = o1lab.exported("jsonl")
    assert (row["thought"], row["solution"], row["gold_answer"]) == (T, "A", "26")
    assert o1lab("import", path, "--map", "cot2=nonsense")[0] == 2
    assert o1lab("import", path, "--map", "cot2")[0] == 2


def test_marks_of_the_lab_are_used_and_wrong_ones_are_reported(
    o1lab: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    path = o1lab.file("own.jsonl", {"question": Q, "response": f"{{{{ponder}}}}{T}{{{{/ponder}}}}26"})
    config = o1lab.lab / "o1lab.toml"
    before = config.read_text()
    config.write_text(before + '\n[[marks]]\nname = "mine"\nthought = ["{{ponder}}"]\n')
    assert run(["--lab", str(o1lab.lab), "traces", "ls"]) == 0
    assert "think marks are not used" in capsys.readouterr().err
    config.write_text(before + '\n[[marks]]\nname = "mine"\nthought = ["{{ponder}}", "{{/ponder}}"]\n')
    o1lab("import", path, "--no-measure")
    (row,) = o1lab.exported("jsonl")
    assert (row["thought"], row["solution"]) == (T, "26")
    config.write_text(before)
    assert o1lab("traces", "ls")[1]["total"] == 1  # and the marks are forgotten


def test_what_was_asked_is_shown_and_exported_in_every_form(o1lab: Program) -> None:
    asked = [("system", "Be brief."), ("user", Q), ("assistant", "26"), ("user", "Sure?")]
    path = o1lab.file("chat.jsonl", chat(*asked, ("assistant", f"<think>{T}</think>Yes, 26.")))
    o1lab("import", path, "--no-measure")
    (item,) = o1lab("traces", "ls")[1]["items"]
    turns = [{"role": role, "content": text} for role, text in asked]
    assert o1lab("traces", "show", item["id"])[1]["context"] == turns
    shown = o1lab.text("traces", "show", item["id"])
    assert f"[system] Be brief.\n\n[user] {Q}\n\n[assistant] 26\n\n[user] Sure?\n" in shown
    answer = f"<think>\n{T}\n</think>\n\nYes, 26."
    (row,) = o1lab.exported("messages")
    assert row["messages"] == [*turns, {"role": "assistant", "content": answer}]
    (row,) = o1lab.exported("sharegpt")
    assert [turn["from"] for turn in row["conversations"]] == ["system", "human", "gpt", "human", "gpt"]
    (row,) = o1lab.exported("alpaca")
    assert (row["system"], row["history"], row["instruction"]) == ("Be brief.", [[Q, "26"]], "Sure?")
    (row,) = o1lab.exported("jsonl")
    assert (row["problem"], row["context"]) == (Q, turns)
    for form in ("messages", "sharegpt", "alpaca", "jsonl"):  # an export is imported as what it is
        status, told = o1lab("import", o1lab.lab.parent / f"all.{form}", "--dry-run")
        assert (status, told["files"][0]["added"] + told["files"][0]["duplicates"], told["errors"]) == (0, 1, [])
        assert not told["columns"][0]["unused"]


def test_text_outside_the_marks_is_shown_searched_and_exported(o1lab: Program) -> None:
    raw = f"PREFACE\n<|begin_of_thought|>{T}<|end_of_thought|> BETWEEN <|begin_of_solution|>26<|end_of_solution|> AFTER"
    o1lab("import", o1lab.file("marks.jsonl", chat(("user", Q), ("assistant", raw))), "--no-measure")
    (item,) = o1lab("traces", "ls")[1]["items"]
    shown = o1lab("traces", "show", item["id"])[1]
    assert (shown["outside"], shown["raw"]) == (["PREFACE", "BETWEEN", "AFTER"], raw)
    assert shown["solution"] == "PREFACE\n\nBETWEEN\n\n26\n\nAFTER"
    assert "Outside the think marks, part of the solution: PREFACE" in o1lab.text("traces", "show", item["id"])
    (row,) = o1lab.exported("messages")
    assert row["messages"][1]["content"] == f"<think>\n{T}\n</think>\n\nPREFACE\n\nBETWEEN\n\n26\n\nAFTER"
    hits = o1lab("traces", "search", "AFTER")[1]["items"]
    assert [hit["field"] for hit in hits] == ["solution"]


@pytest.mark.parametrize("row", [chat(("user", Q), ("assistant", f"<think>\n{T}")), {"question": Q, "thinking": T}])
def test_a_thought_that_was_cut_off_is_exported_without_an_end(o1lab: Program, row: dict[str, Any]) -> None:
    o1lab("import", o1lab.file("cut.jsonl", row), "--no-measure")
    assert [item["complete"] for item in o1lab("traces", "ls")[1]["items"]] == [False]
    assert o1lab.exported("messages")[0]["messages"][1]["content"] == f"<think>\n{T}"
    assert o1lab.exported("alpaca")[0]["output"] == f"<think>\n{T}"
