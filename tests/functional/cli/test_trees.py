"""The commands ``trees``: search with the solver, list, show and walk; import and bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run as o1lab
from o1lab.paths import Lab
from store import open_store, problems
from store.records import NewProblem
from tests.support import lab_seed
from tests.support.search_tree import nodes, row

SUMS = [NewProblem(f"What is {a} + {b}?", "sums", f"{a}+{b}", str(a + b)) for a, b in ((964, 494), (123, 456))]

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    lab = lab_seed.make_lab(tmp_path / "lab", 4)
    monkeypatch.setenv("O1LAB_LAB", str(lab.root))
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    store = open_store(lab.database)
    with store.db.atomic():
        problems.add(store.db, [*SUMS, NewProblem("Why?", "sums", "why")])
    store.close()
    return lab


def test_the_solver_makes_trees_and_chains(lab: Lab, ask: Ask) -> None:
    made = ask("trees", "make", "--problems", "source:sums")
    assert (made["searched"], made["new_trees"], made["outside"], made["added"]) == (2, 2, 1, 2)
    assert [one["verdict"] for one in made["items"]] == ["correct", "correct"]
    again = ask("trees", "make", "--problems", "source:sums", "--limit", "1")
    assert (again["searched"], again["new_trees"], again["added"]) == (1, 0, 0)
    other = ask("trees", "walk", "--dead-ends", "1", "--dead-end-depth", "2")
    assert other["added"] == 2
    listed = ask("trees", "ls")
    assert [(one["model"], one["size"], one["chains"]) for one in listed["items"]] == [("solver", 12, 2)] * 2
    assert ask("trees", "ls", "--problems", "id:0000")["items"] == []
    shown = ask("trees", "show", listed["items"][0]["id"], "--dead-ends", "0")
    assert shown["visited"] == shown["path"] and shown["dead_ends"] == []
    of_trace = ask("trees", "show", other["items"][0]["trace_id"])
    assert of_trace["rules"] == {"dead_ends": 1, "dead_end_depth": 2, "dead_end_order": "highest"}
    assert [len(one["nodes"]) for one in of_trace["dead_ends"]] == [2]
    trace = ask("traces", "show", other["items"][0]["trace_id"])
    assert (trace["provenance"]["synthesis"], trace["provenance"]["teacher"]) == ("tree search", "solver")
    assert trace["provenance"]["tree"] | {"reflections": []} == {
        "id": of_trace["id"], "rules": of_trace["rules"], "visited": of_trace["visited"], "reflections": [],
        "written_by": None,
    }  # fmt: skip
    assert ask("methods")["items"][4]["chains"] == 4


def test_a_tree_is_printed_with_its_marks(
    lab: Lab, tmp_path: Path, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = nodes()
    hostile[1]["text"] = "\x1b]0;owned\x07[red]x[/]"
    (tmp_path / "trees.jsonl").write_text(json.dumps(row(nodes=hostile)) + "\n")
    assert o1lab(["import", str(tmp_path / "trees.jsonl")]) == 0
    capsys.readouterr()
    identity = ask("trees", "ls")["items"][0]["id"]
    assert o1lab(["trees", "show", identity]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "[red]x[/]" in shown
    assert "↩      0.9   ␛]0;owned␇[red]x[/]" in shown
    assert r"▸ ✓    0.4     \boxed{42}" in shown
    assert "walk  dead ends 2, dead end depth any, dead end order highest" in shown
    assert o1lab(["trees", "ls"]) == 0
    assert "1/4" in capsys.readouterr().out


def test_trees_that_cannot_be_imported_are_reported(lab: Lab, tmp_path: Path, ask: Ask) -> None:
    bad = [row(nodes=[nodes()[0] | {"parent": "a"}, *nodes()[1:]]), row()]
    (tmp_path / "trees.jsonl").write_text("".join(json.dumps(one) + "\n" for one in bad))
    found = ask("import", str(tmp_path / "trees.jsonl"), status=1)
    assert (found["files"][0]["added"], found["files"][0]["rejected"]) == (1, 1)
    assert "a cycle (1 long): a → a" in found["errors"][0]["reason"]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["show", "0000"], 4, "No tree begins"),
        (["walk"], 3, "no such search tree"),
        (["walk", "0000"], 4, "No tree begins"),
        (["walk", "0000", "--problems", "source:x"], 2, "not by both"),
        (["walk", "--dead-ends", "-1"], 2, "dead_ends"),
        (["walk", "--dead-end-order", "best"], 2, "best"),
        (["make", "--problems", "nothing:x"], 2, "nothing"),
        (["ls", "--problems", "nothing:x"], 2, "nothing"),
    ],
)
def test_bad_input(lab: Lab, ask: Ask, arguments: list[str], status: int, words: str) -> None:
    error = ask("trees", *arguments, status=status)["error"]
    assert words in error["message"] and error["hint"]


def test_a_trace_has_its_own_rules(lab: Lab, ask: Ask) -> None:
    made = ask("trees", "make", "--problems", "source:sums", "--limit", "1")
    trace = made["items"][0]["trace_id"]
    assert "the rules of its walk" in ask("trees", "show", trace, "--dead-ends", "1", status=2)["error"]["message"]
    other = ask("traces", "ls", "--where", "-synthesis:tree")["items"][0]["id"]
    assert "not made from a search tree" in ask("trees", "show", other, status=4)["error"]["message"]
    assert ask("traces", "show", other)["provenance"]["tree"] is None


def test_nothing_to_search_says_so(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert o1lab(["trees", "make", "--problems", "key:why"]) == 0
    shown = capsys.readouterr().out
    assert "Searched 0 problems" in shown and "1 problems are not sums of two 3-digit numbers" in shown
    assert o1lab(["trees", "ls"]) == 0
    assert "o1lab trees make" in capsys.readouterr().out
