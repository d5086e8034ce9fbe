"""An export says what it leaves out or changes, and is moved into place only when it is complete and synced."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path

import pytest

from o1lab.cli.main import run
from o1lab.config import init_lab
from o1lab.distill.datasets.card import export_with_card
from o1lab.ingest import exporting
from o1lab.ingest.importer import import_files
from o1lab.paths import Lab
from store import datasets, open_store
from store.filters import TraceQuery

TURNS = [
    {"role": "user", "content": "List the files."},
    {"role": "assistant", "content": "ls"},
    {"role": "tool", "content": "a.txt"},
    {"role": "user", "content": "How many are there?"},
]
ROWS = [
    {"problem": "What is 1 + 1?", "answer": "2", "response": "<think>\nOne more.\n</think>\n\nIt is \\boxed{2}."},
    {
        "problem": "What is 2 + 2?",
        "answer": "4",
        "response": "<Thought>\nTwo more.\n</Thought>\n<Output>\n4\n</Output>",
    },
    {"problem": "What is 3 + 3?", "answer": "6", "response": "<think>\nThree more, and then"},
    {"problem": "What is 4 + 4?", "answer": "8", "response": "Let me see. <think>\nFour more.\n</think>\n\nIt is 8."},
    {"messages": [*TURNS, {"role": "assistant", "content": "<think>\nOne line.\n</think>\n\n1"}]},
]
GOLD = "the gold answer has no place in {}; jsonl and parquet have it"
CUT = "the thought was cut off, and no end is written for it"
JOINED = "text before, between or after the marks is written as part of the solution"
MARCO = "the think marks of marco-o1 are written as <think> and </think>"
TOOLS = "turns of several roles are written as one instruction with their names"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = init_lab(tmp_path / "lab")
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    with closing(open_store(made.database)) as store:
        import_files(store, [rows])
        datasets.create(store.db, "both", TraceQuery())
        datasets.create(store.db, "short", TraceQuery(), phase=1)
    return made


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("messages", {GOLD.format("messages"): 4, CUT: 1, JOINED: 1, MARCO: 1}),
        ("sharegpt", {GOLD.format("sharegpt"): 4, CUT: 1, JOINED: 1, MARCO: 1}),
        ("alpaca", {GOLD.format("alpaca"): 4, CUT: 1, JOINED: 1, MARCO: 1, TOOLS: 1}),
        ("jsonl", {CUT: 1, JOINED: 1}),
        ("parquet", {CUT: 1, JOINED: 1}),
    ],
)
def test_each_change_of_a_row_is_counted(lab: Lab, tmp_path: Path, form: str, expected: dict[str, int]) -> None:
    with closing(open_store(lab.database)) as store:
        written = export_with_card(lab, store, "both", form, tmp_path / "out")
    assert (written.rows, written.changes) == (5, expected)
    changes = written.card.read_text("utf-8").split("## Changes\n")[1]
    assert all(f"| {number} |" in changes for number in expected.values())
    assert f"({form})" in changes
    if form == "messages":
        cut = next(line for line in written.data.read_text().splitlines() if "Three more" in line)
        assert "</think>" not in cut, "no end is forged"
        tools = next(json.loads(line) for line in written.data.read_text().splitlines() if "List the files" in line)
        assert tools["messages"][:4] == TURNS, "the conversation is kept"


def test_a_phase_1_export_says_that_thoughts_are_left_out(lab: Lab, tmp_path: Path) -> None:
    with closing(open_store(lab.database)) as store:
        written = export_with_card(lab, store, "short", "jsonl", tmp_path / "out")
    assert written.changes["the thought is left out, as the dataset is of phase 1"] == written.rows == 4


def test_the_command_prints_the_changes(lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--lab", str(lab.root), "dataset", "export", "both", "--out", str(tmp_path / "out")]
    assert run(command) == 0
    printed = capsys.readouterr().out
    assert f"1 of them: {CUT}\n" in printed
    assert run([*command, "--json"]) == 0
    changes = json.loads(capsys.readouterr().out)["changes"]
    assert {"rows": 4, "reason": GOLD.format("messages")} in changes


def test_both_files_are_complete_and_synced_before_either_is_replaced(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(file: int) -> None:
        steps.append("fsync " + Path(f"/proc/self/fd/{file}").resolve().name.rsplit(".", 2)[0])
        fsync(file)

    def replaced(source: Path, to: Path) -> Path:
        steps.append("replace " + to.name)
        assert source.stat().st_size > 100
        return replace(source, to)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    out = tmp_path / "exports" / "d.jsonl"
    with closing(open_store(lab.database)) as store:
        export_with_card(lab, store, "both", "messages", out)
        monkeypatch.undo()
        folder = "fsync exports"
        assert steps == [
            "fsync .d.jsonl", "replace d.jsonl", folder, "fsync .d.jsonl.card.md", "replace d.jsonl.card.md", folder,
        ]  # fmt: skip
        before = out.read_bytes()
        monkeypatch.setattr(exporting, "changes_of", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            export_with_card(lab, store, "both", "alpaca", out)
    assert out.read_bytes() == before
    assert sorted(path.name for path in out.parent.iterdir()) == ["d.jsonl", "d.jsonl.card.md"]
