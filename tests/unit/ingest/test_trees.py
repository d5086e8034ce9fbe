"""Importing search trees, keeping them, and walking those of the lab again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from o1lab.chains.trees.walk import PLAIN_DOUBT, TreeRules
from o1lab.errors import LabError, NotFoundError
from o1lab.ingest.importer import ImportReport, import_files
from o1lab.ingest.measuring import measure_pending
from o1lab.ingest.trees import load_tree, walk_of_trace, walk_trees
from store import Store, open_store, problems, traces, trees
from store.filters import ProblemQuery, TraceQuery
from store.records import NewTrace
from tests.support.search_tree import STATEMENT, nodes, row

EVERY = ProblemQuery()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "lab.db")
    yield opened
    opened.close()


def put(store: Store, tmp_path: Path, *rows: Any, name: str = "trees.jsonl", **options: Any) -> ImportReport:
    path = tmp_path / name
    path.write_text("".join(json.dumps(one) + "\n" for one in rows), "utf-8")
    return import_files(store, [path], **options)


def test_a_tree_becomes_a_problem_a_kept_tree_and_a_chain(store: Store, tmp_path: Path) -> None:
    report = put(store, tmp_path, row(id="t1"))
    assert [(one.format, one.added, one.rejected) for one in report.files] == [("tree", 1, 0)]
    assert report.files[0].columns.unused == {}
    [tree] = trees.page(store.db, EVERY)
    assert (tree.model, tree.source, tree.key, tree.licence) == ("mcts", "trees", "t1", "MIT")
    assert (tree.size, tree.leaves, tree.correct_leaves, tree.depth, tree.chains) == (8, 4, 1, 2, 1)
    [trace] = traces.page(store.db, TraceQuery())
    assert (trace.synthesis, trace.model, trace.licence) == ("tree search", "mcts", "MIT")
    assert measure_pending(store).verdicts == {"correct": 1}
    text = traces.text(store.db, trace.id)
    walk = trees.walk_of(store.db, trace.id)
    assert walk is not None
    assert (walk.tree_id, list(walk.visited), walk.written_by) == (tree.id, list("abecfg"), None)
    assert walk.rules == {"dead_ends": 2, "dead_end_depth": None, "dead_end_order": "highest"}
    assert [text.raw[slice(*span)] for span in walk.reflections] == [PLAIN_DOUBT["en"]] * 2
    assert problems.resolve(store.db, tree.problem_id).answer == "42"
    assert load_tree(store, tree.id).as_json() == nodes()
    assert problems.count(store.db, ProblemQuery.parse("has:tree")) == 1


def test_a_tree_is_imported_once(store: Store, tmp_path: Path) -> None:
    put(store, tmp_path, row())
    again = put(store, tmp_path, row(), row(), name="again.jsonl")
    assert (again.files[0].added, again.files[0].duplicates) == (0, 2)
    # A tree that differs in a node that the walk does not visit has the same chain, and is new.
    other = nodes()
    other[7]["text"] = "another step"
    third = put(store, tmp_path, row(nodes=other), name="third.jsonl")
    assert (third.files[0].added, third.files[0].duplicates) == (1, 0)
    assert trees.count(store.db, EVERY) == 2
    assert traces.count(store.db, TraceQuery()) == 1


def test_the_synthesis_is_tree_search_whatever_else_is_said(store: Store, tmp_path: Path) -> None:
    put(store, tmp_path, row(synthesis="human"), synthesis="distilled")
    assert traces.counts(store.db, TraceQuery(), "synthesis") == {"tree search": 1}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("several", [False, True])
def test_a_json_file_of_one_tree_or_a_list(store: Store, tmp_path: Path, indent: int | None, several: bool) -> None:
    path = tmp_path / "tree.json"
    path.write_text(json.dumps([row(), row(problem="Another?")] if several else row(), indent=indent), "utf-8")
    report = import_files(store, [path])
    assert (report.files[0].added, report.files[0].rejected) == (1 + several, 0)


def test_rows_that_are_not_trees_say_why(store: Store, tmp_path: Path) -> None:
    cycle = [{"id": 1, "text": "x"}, {"id": 2, "parent": 3, "text": "y"}, {"id": 3, "parent": 2, "text": "z"}]
    bad: list[dict[str, Any]] = [
        row(nodes=[]), row(nodes=cycle), row(problem=""), row(nodes=[nodes()[0] | {"value": "high"}, *nodes()[1:]]),
    ]  # fmt: skip
    report = put(store, tmp_path, *bad, row())
    assert (report.files[0].added, report.files[0].rejected) == (1, 4)
    assert [one.reason for one in report.errors] == [
        "not a search tree: nodes: a tree is a list of at least one node",
        "not a search tree: nodes[1].parent: its parents are a cycle (2 long): 2 → 3 → 2",
        "the tree has no problem: give it a column `problem`",
        "not a search tree: nodes[0].value: it is not a number",
    ]


def test_other_rows_with_a_list_of_nodes_are_not_trees(store: Store, tmp_path: Path) -> None:
    report = put(store, tmp_path, {"problem": "p", "raw": "27", "nodes": [{"name": "gpu-1"}]})
    assert (report.files[0].added, trees.count(store.db, EVERY)) == (1, 0)


def test_what_is_not_kept_of_a_tree_is_a_notice(store: Store, tmp_path: Path) -> None:
    report = put(store, tmp_path, row(nodes=[one | {"visits": 1} for one in nodes()]))
    assert [one.reason for one in report.notices.entries] == [
        "nodes of a tree have a field visits (8 times), which was not kept"
    ]


def test_a_strict_import_and_a_dry_run_keep_nothing(store: Store, tmp_path: Path) -> None:
    put(store, tmp_path, row(), row(nodes=[]), strict=True)
    put(store, tmp_path, row(), dry_run=True)
    assert trees.count(store.db, EVERY) == 0


def test_hostile_text_comes_back_as_it_was(store: Store, tmp_path: Path) -> None:
    given = nodes()
    given[1]["text"] = "\x1b[2J \ud800 \u202e NUL:\x00"
    put(store, tmp_path, row(nodes=given))
    [tree] = trees.page(store.db, EVERY)
    assert load_tree(store, tree.id).as_json() == given


def test_walks_by_other_rules_are_other_chains_of_the_same_tree(store: Store, tmp_path: Path) -> None:
    put(store, tmp_path, row())
    every = trees.page(store.db, EVERY)
    [made] = walk_trees(store, every, TreeRules(dead_ends=9), count=lambda tree, raw: len(raw.split()))
    assert made.added
    assert traces.get(store.db, made.trace_id).tokens is not None
    [again] = walk_trees(store, every, TreeRules(dead_ends=9), count=lambda tree, raw: None)
    assert (again.added, again.trace_id) == (False, made.trace_id)
    [tree] = trees.page(store.db, EVERY)
    assert tree.chains == 2
    found, walk = walk_of_trace(store, made.trace_id)
    assert (found.id, "".join(walk.ids(walk.visited))) == (tree.id, "abedicfg")


def test_the_tree_of_an_edited_chain_is_that_of_its_original(store: Store, tmp_path: Path) -> None:
    put(store, tmp_path, row())
    [trace] = traces.page(store.db, TraceQuery())
    edited = NewTrace(
        trace.problem_id, "mcts", "42", (0, 0), (0, 2), True, "plain", "x", synthesis="human", parent_id=trace.id
    )
    alone = NewTrace(trace.problem_id, "mcts", "43", (0, 0), (0, 2), True, "plain", "x")
    with store.db.atomic():
        traces.add(store.db, [(edited, STATEMENT), (alone, STATEMENT)])
    assert walk_of_trace(store, edited.id)[0].problem_id == trace.problem_id
    with pytest.raises(NotFoundError, match="not made from a search tree"):
        walk_of_trace(store, alone.id)


def test_a_damaged_tree_is_one_sentence(store: Store, tmp_path: Path) -> None:
    put(store, tmp_path, row())
    [tree] = trees.page(store.db, EVERY)
    [trace] = traces.page(store.db, TraceQuery())
    for damage in ("{", "[]", "[1]"):
        store.db.execute("UPDATE trees SET tree = ?", [damage])
        with pytest.raises(LabError, match="cannot be read"):
            load_tree(store, tree.id)
        with pytest.raises(LabError, match="cannot be read"):
            walk_of_trace(store, trace.id)
