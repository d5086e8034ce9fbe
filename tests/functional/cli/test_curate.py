"""The verbs of curating keep their contract: keys, exit statuses, exact bytes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from o1lab.chains.verify import VerifierPool
from o1lab.cli.main import run
from o1lab.ingest.edit import add_edited
from store import open_store

RAW = "<think>\nThe problem is short. Wait, is it? 20 + 7 = 27.\0\n</think>\n\nSo \\boxed{27} 等等\n"
ITEM_KEYS = {
    "id",
    "problem_id",
    "model",
    "source",
    "suitability",
    "verdict",
    "complete",
    "looping",
    "chars",
    "tokens",
    "moves",
    "decision",
    "disputed",
}


class Program:
    """The command line on one lab."""

    def __init__(self, lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.lab, self.capsys = lab, capsys

    def __call__(self, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
        status = run(["--lab", str(self.lab), *map(str, arguments), "--json"])
        return status, json.loads(self.capsys.readouterr().out)


@pytest.fixture
def o1lab(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Program:
    run(["init", str(tmp_path / "lab"), "--json"])
    capsys.readouterr()
    return Program(tmp_path / "lab", capsys)


@pytest.fixture
def filled(o1lab: Program, tmp_path: Path) -> Program:
    rows = [
        {"problem": "What is 20 + 7?", "raw": RAW, "model": "sky", "gold_answer": "27", "licence": "MIT"},
        {"problem": "What is 20 + 8?", "raw": RAW, "model": "sky", "gold_answer": "28"},
    ]
    path = tmp_path / "chains.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    status, told = o1lab("import", path)
    assert status == 0
    assert told["verdicts"] == {"correct": 1, "incorrect": 1}
    return o1lab


def first_id(o1lab: Program) -> str:
    return str(o1lab("traces", "ls", "--verdict", "correct")[1]["items"][0]["id"])


def test_import_reports_bad_lines_and_status_1(o1lab: Program, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"problem": "p", "answer": "1"}\n{oops\n', "utf-8")
    status, told = o1lab("import", path, "--strict")
    assert status == 1
    assert told["files"][0] == {
        "path": str(path), "format": "problems", "rows": 2, "added": 0, "duplicates": 0, "rejected": 2,
    }  # fmt: skip
    assert o1lab("problems", "ls")[1] == {"items": [], "total": 0}
    status, told = o1lab("import", path, "--source", "mine", "--licence", "CC0")
    assert status == 1
    assert [(error["path"], error["line"]) for error in told["errors"]] == [(str(path), 2)]
    assert told["files"][0]["added"] == 1
    (item,) = o1lab("problems", "ls")[1]["items"]
    assert item["id"]
    assert item | {"id": ""} == {
        "id": "", "statement": "p", "answer": "1", "source": "mine", "licence": "CC0", "excluded_by": None,
    }  # fmt: skip
    assert o1lab("import", tmp_path / "none.jsonl")[0] == 2
    assert o1lab("import", path, "--synthesis", "magic")[0] == 2


def test_traces_ls(filled: Program) -> None:
    status, told = filled("traces", "ls", "--teacher", "sky", "--sort", "-chars", "--limit", "1")
    assert (status, told["total"], len(told["items"])) == (0, 2, 1)
    assert set(told["items"][0]) == ITEM_KEYS
    assert filled("traces", "ls", "--verdict", "correct")[1]["total"] == 1
    assert filled("traces", "ls", "--decision", "none", "--where", "reflect>=1")[1]["total"] == 2
    assert filled("traces", "ls", "--offset", "2")[1]["items"] == []
    status, told = filled("traces", "ls", "--verdict", "nonsense")
    assert status == 2
    assert set(told["error"]) == {"code", "message", "hint"}


def test_traces_show(filled: Program) -> None:
    status, told = filled("traces", "show", first_id(filled)[:8])
    assert status == 0
    assert set(told) >= ITEM_KEYS | {
        "statement", "gold", "raw", "thought", "solution", "answer", "segments", "annotations", "provenance",
    }  # fmt: skip
    assert (told["raw"], told["gold"], told["answer"], told["verdict"]) == (RAW, "27", "27", "correct")
    assert [segment["kind"] for segment in told["segments"]] == ["understand", "reflect", "compute"]
    assert told["segments"][-1]["end"] == len(told["thought"])
    assert told["provenance"]["licence"] == "MIT"
    assert told["provenance"]["synthesis"] == "distilled"
    assert filled("traces", "show", "zzzz")[0] == 4


def test_raw_prints_the_exact_bytes(filled: Program) -> None:
    identity = first_id(filled)
    command = [sys.executable, "-m", "o1lab", "--lab", str(filled.lab), "traces", "show", identity, "--raw"]
    code = f"import sys; from o1lab.cli.main import main; main({command[3:]!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == RAW.encode()


def test_search(filled: Program) -> None:
    status, told = filled("traces", "search", "short")
    assert (status, told["total"]) == (0, 2)
    assert {"id", "field", "snippet"} == set(told["items"][0])
    assert told["items"][0]["field"] == "thought"
    assert filled("traces", "search", "等等")[1]["total"] == 2
    assert filled("traces", "search", "absent")[1] == {"items": [], "total": 0}
    status, told = filled("traces", "search", "*")
    assert (status, told["error"]["code"]) == (2, "query")
    assert filled("traces", "ls", "--where", "*")[0] == 2


def test_annotate_and_undo(filled: Program) -> None:
    identity = first_id(filled)
    status, told = filled("annotate", identity, "--accept")
    assert status == 0
    assert set(told) == {"annotation_id", "trace_id", "kind", "value", "annotator", "created_at"}
    assert (told["kind"], told["value"], told["annotator"]) == ("decision", "accept", "tester")
    for option in (["--rating", "4"], ["--tag", "careful"], ["--note", "well done"], ["--span", "0:21:set-up"]):
        assert filled("annotate", identity, *option)[0] == 0
    shown = filled("traces", "show", identity)[1]
    assert [record["kind"] for record in shown["annotations"]] == ["decision", "rating", "tag", "note", "span"]
    assert shown["annotations"][-1]["span"] == [0, 21]
    assert (shown["decision"], shown["rating"]) == ("accept", 4)
    told = filled("annotate", identity, "--undo")[1]
    assert told["kind"] == "undo"
    assert [(one["kind"], one["value"]) for one in told["undone"]] == [("span", "set-up")]
    assert len(filled("traces", "show", identity)[1]["annotations"]) == 4
    other = filled("traces", "ls", "--verdict", "incorrect")[1]["items"][0]["id"]
    assert filled("annotate", other, "--undo")[0] == 4


def test_annotations_are_shown_with_their_moves_words_and_the_local_time(
    filled: Program, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC-05:30")
    time.tzset()
    identity = first_id(filled)

    def said(*arguments: str) -> str:
        assert run(["--lab", str(filled.lab), *arguments]) == 0
        return capsys.readouterr().out

    for option in (["--label", "1-2:slip"], ["--move", "2:verify"], ["--wrong-step", "1"], ["--note", "well done"]):
        assert filled("annotate", identity, *option)[0] == 0
    record = filled("traces", "show", identity)[1]["annotations"][-1]
    then = datetime.fromisoformat(record["created_at"]).astimezone(timezone(timedelta(hours=5, minutes=30)))
    *_, label, move, step, note = said("traces", "show", identity).splitlines()
    assert note.endswith(f"{then:%H:%M:%S}  tester: noted “well done”") or note.startswith(f"{then:%Y-%m-%d %H:%M}")
    assert "  tester: moves 1 to 2 “The problem is short." in label and label.endswith("”: slip")
    assert "  tester: move 2 “" in move and move.endswith("”: verify")
    assert "  tester: first wrong step: move 1 “The problem is short.”" in step
    assert said("annotate", identity, "--undo").startswith(f"{identity}: undid noted “well done” (tester, ")
    monkeypatch.undo()
    time.tzset()


def test_several_annotations_are_made_at_once(filled: Program) -> None:
    identity = first_id(filled)
    status, told = filled("annotate", identity, "--accept", "--rating", "0", "--tag", "a", "--tag", "b", "--note", "n")
    assert status == 0
    assert set(told) == {"trace_id", "annotations"}
    wanted = [("decision", "accept"), ("rating", "0"), ("tag", "a"), ("tag", "b"), ("note", "n")]
    assert [(one["kind"], one["value"]) for one in told["annotations"]] == wanted
    shown = filled("traces", "show", identity)[1]
    assert (shown["decision"], shown["rating"]) == ("accept", 0)
    assert [(one["kind"], one["value"]) for one in shown["annotations"]] == wanted


def test_traces_are_listed_by_a_filter_as_on_the_screen(filled: Program) -> None:
    right = filled("traces", "ls", "--where", "verdict:correct")[1]
    assert filled("traces", "ls", "verdict:correct")[1] == right
    assert 0 < right["total"] < filled("traces", "ls")[1]["total"]
    assert filled("traces", "ls", "verdict:correct", "sort:-chars", "--teacher", "nobody")[1]["total"] == 0
    assert filled("traces", "ls", "verdit:correct")[0] == 2


def test_an_undone_edit_says_that_its_trace_stays(filled: Program) -> None:
    parent = first_id(filled)
    with closing(open_store(filled.lab / "lab.db")) as store, VerifierPool() as pool:
        edited = add_edited(store, parent, RAW.replace("27", "28"), annotator="tester", pool=pool).value
    assert run(["--lab", str(filled.lab), "annotate", parent, "--undo"]) == 0
    assert f"stays as trace {edited}" in filled.capsys.readouterr().err
    assert filled("traces", "show", edited)[0] == 0


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ([], 2),
        (["--accept", "--reject"], 2),
        (["--accept", "--undo"], 2),
        (["--accept", "--span", "5:2:x"], 2),  # all or none
        (["--rating", "6"], 2),
        (["--tag", " "], 2),
        (["--span", "0:9999:x"], 2),
        (["--span", "5:2:x"], 2),
        (["--span", "nonsense"], 2),
        (["--untag", "never given"], 4),
    ],
)
def test_annotate_refuses(filled: Program, options: list[str], status: int) -> None:
    identity = first_id(filled)
    assert filled("annotate", identity, *options)[0] == status
    assert filled("traces", "show", identity)[1]["annotations"] == []


def test_annotations_travel(filled: Program, tmp_path: Path) -> None:
    identity = first_id(filled)
    filled("annotate", identity, "--accept")
    out = tmp_path / "mine.jsonl"
    assert filled("annotations", "export", out) == (0, {"path": str(out), "annotations": 1})
    status, told = filled("annotations", "merge", out)
    assert (status, told["files"][0]["added"], told["files"][0]["duplicates"]) == (0, 0, 1)
    stranger = json.loads(out.read_text("utf-8")) | {"id": "other", "trace_id": "0" * 16}
    out.write_text(json.dumps(stranger) + "\n", "utf-8")
    status, told = filled("annotations", "merge", out)
    assert (status, told["files"][0]["without_trace"]) == (1, ["0" * 16])


def test_datasets(filled: Program, tmp_path: Path) -> None:
    status, told = filled("dataset", "create", "none")  # nothing is accepted yet
    assert (status, told["error"]["code"]) == (2, "nothing_chosen")
    assert "Accept" in told["error"]["hint"]
    identity = first_id(filled)
    filled("annotate", identity, "--accept")
    status, made = filled("dataset", "create", "good")
    assert status == 0
    assert {"name", "hash", "rows", "tokens"} <= set(made)
    assert made["rows"] == 1
    assert filled("dataset", "create", "all", "--decision", "any", "--phase", "1")[1]["rows"] == 2
    assert filled("dataset", "ls")[1]["total"] == 2
    assert filled("dataset", "show", made["hash"])[1]["trace_ids"] == [identity]
    assert filled("dataset", "show", "nothing")[0] == 4
    assert filled("dataset", "export", "good", "--format", "odd", "--out", tmp_path / "x")[0] == 2
    for form in ("messages", "sharegpt", "alpaca", "parquet"):
        out = tmp_path / "out" / form
        status, told = filled("dataset", "export", "good", "--format", form, "--out", out)
        changes = told.pop("changes")
        assert (status, told) == (0, {"path": str(out), "format": form, "rows": 1, "hash": made["hash"]})
        assert bool(changes) == (form != "parquet")  # they have no place for the gold answer
    response = "<think>\nThe problem is short. Wait, is it? 20 + 7 = 27.\0\n</think>\n\nSo \\boxed{27} 等等"
    assert json.loads((tmp_path / "out" / "messages").read_text("utf-8"))["messages"] == [
        {"role": "user", "content": "What is 20 + 7?"},
        {"role": "assistant", "content": response},
    ]
    assert json.loads((tmp_path / "out" / "sharegpt").read_text("utf-8"))["conversations"][1]["value"] == response
    assert json.loads((tmp_path / "out" / "alpaca").read_text("utf-8"))["output"] == response


@pytest.mark.parametrize("form", ["messages", "sharegpt", "alpaca"])
def test_what_is_exported_can_be_imported(filled: Program, tmp_path: Path, form: str) -> None:
    filled("dataset", "create", "all", "--decision", "any")
    out = tmp_path / "all.jsonl"
    filled("dataset", "export", "all", "--format", form, "--out", out)
    status, told = filled("import", out)
    assert (status, told["files"][0]["rows"], told["files"][0]["rejected"]) == (0, 2, 0)


@pytest.mark.parametrize(
    "verb",
    ["import", "problems ls", "traces ls", "traces show", "traces search", "annotate", "annotations export",
     "annotations merge", "annotations agreement", "annotations assign",
     "dataset create", "dataset ls", "dataset show", "dataset export"],
)  # fmt: skip
def test_every_verb_helps_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*verb.split(), "--help"]) == 0
    assert "Example" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["", " ", "a\x1b[2Jb"])
def test_a_dataset_has_a_name_that_can_be_read(filled: Program, name: str) -> None:
    filled("annotate", first_id(filled), "--accept")
    status, told = filled("dataset", "create", name)
    assert (status, told["error"]["code"]) == (2, "usage")


def test_a_filter_of_labels_notes_and_annotators_lists_traces_and_names_unknown_values(
    filled: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (item["id"] for item in filled("traces", "ls")[1]["items"])
    filled("annotate", first, "--span", "0:8:set-up")
    filled("annotate", second, "--note", "Check the units.")
    assert [item["id"] for item in filled("traces", "ls", "label:set-up")[1]["items"]] == [first]
    assert [item["id"] for item in filled("traces", "ls", "note:units")[1]["items"]] == [second]
    assert filled("traces", "ls", "by:nobody", "has:label")[1]["total"] == 0
    capsys.readouterr()
    assert run(["--lab", str(filled.lab), "traces", "ls", "label:setup"]) == 0
    assert capsys.readouterr().err.startswith("The lab has no label 'setup'. Did you mean 'set-up'? It has slip, ")
