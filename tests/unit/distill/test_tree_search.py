"""The method tree_search: the teacher writes the reflections, everything else is the tree."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from o1lab.chains.parse import parse
from o1lab.distill import runs
from o1lab.distill.datasets.card import card
from o1lab.distill.estimate import estimate
from o1lab.distill.method import SourceItem
from o1lab.errors import LabError, UsageError
from o1lab.inference import journal
from o1lab.inference.calls import RequestError
from o1lab.ingest.importer import import_files
from o1lab.paths import Lab
from store import datasets, open_store, teacher_runs, traces, trees
from store.filters import TraceQuery
from tests.support.distill_lab import make_lab, run
from tests.support.fault_server import FaultServer
from tests.support.scripted_ask import ScriptedAsk, answers, item, method
from tests.support.search_tree import STATEMENT, node, nodes, row

FIRST, SECOND = "Wait, b is of no use.", "Hm, f cannot be."


def tree_item(given: list[dict[str, Any]] | None = None) -> SourceItem:
    return item(STATEMENT, tree_id="t" * 16, tree=json.dumps(nodes() if given is None else given))


async def test_the_teacher_writes_the_reflections_only() -> None:
    ask = answers(FIRST, f"<think>so</think> {SECOND}")
    draft = await method("tree_search").respond(tree_item(), 0, ask)
    assert not draft.rejected and draft.complete
    assert parse(draft.raw).thought_of(draft.raw).split("\n\n") == [
        "step a.", "step b.", "step e.", FIRST, "step c.", "step f.", SECOND,
    ]  # fmt: skip
    assert draft.raw.endswith(r"\boxed{42}")
    assert draft.walk is not None
    assert [draft.raw[slice(*span)] for span in draft.walk.reflections] == [FIRST, SECOND]
    assert draft.meta["turns_back"] == 2


async def test_each_call_knows_the_dead_end_and_what_follows() -> None:
    ask = answers(FIRST, SECOND)
    await method("tree_search").respond(tree_item(), 0, ask)
    asked = [messages[1]["content"] for _, _, messages in ask.calls]
    assert "step b.\n\nstep e.\n\nWhere the thinking goes back to:\nstep a." in asked[0]
    assert "How it goes on from there:\nstep c." in asked[0]
    assert FIRST not in asked[0] and FIRST in asked[1]
    assert "Where the thinking goes back to:\nstep c.\n\nHow it goes on from there:\n\\boxed{42}" in asked[1]


async def test_the_rules_of_the_run_are_those_of_the_walk() -> None:
    ask = ScriptedAsk(lambda turn, messages, role: f"Wait {turn}.")
    draft = await method("tree_search", dead_ends=9, dead_end_depth=1).respond(tree_item(), 0, ask)
    assert draft.walk is not None
    assert "".join(draft.walk.visited) == "abdcfg"
    assert draft.walk.rules == {"dead_ends": 9, "dead_end_depth": 1, "dead_end_order": "highest"}
    plan = method("tree_search", dead_ends=9).plan(tree_item())
    assert (len(plan.calls), plan.most_carried) == (3, {"teacher": 3})


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (RequestError("rate_limit", "later", 429), ""),
        ("", "a call returned an empty answer: call 1"),
        ({"answer": "cut", "finish_reason": "length"}, "a call was cut off at the maximum of tokens: call 1"),
        ("<|end_of_solution|>", "a reflection has no text apart from think marks: call 1"),
    ],
)
async def test_a_reflection_that_fails_gives_no_chain(second: Any, reason: str) -> None:
    draft = await method("tree_search").respond(tree_item(), 0, answers(FIRST, second))
    assert (draft.raw, draft.rejected) == ("", reason)


async def test_a_walk_without_a_dead_end_asks_nothing() -> None:
    ask = answers()
    draft = await method("tree_search").respond(tree_item([node("a", None, None, True, "42")]), 0, ask)
    assert (draft.raw, ask.calls) == ("", [])
    assert "no dead end" in draft.rejected
    with pytest.raises(LabError, match="cannot be read"):
        await method("tree_search").respond(tree_item([]), 0, ask)


class Reflecting(FaultServer):
    """Writes the same reflection at each turn back."""

    def words_for(self, body: dict[str, Any]) -> list[str]:
        assert "inner voice" in body["messages"][0]["content"]
        return [f"Wait, {len(re.findall('Wait', body['messages'][1]['content']))}."]


def with_trees(lab: Lab, tmp_path: Path) -> None:
    rows = [
        row(),
        row(problem="What is 41 + 2?", answer="43"),
        row(problem="One?", nodes=[node("a", None, None, True, "42")]),
    ]
    path = tmp_path / "trees.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows), "utf-8")
    store = open_store(lab.database)
    assert import_files(store, [path]).errors == []
    store.close()


async def test_a_run_over_the_trees_of_a_lab(tmp_path: Path) -> None:
    with Reflecting() as server:
        lab = make_lab(tmp_path / "lab", server.url, 3, licence="Apache-2.0")  # sums without a tree: no items
        with_trees(lab, tmp_path)
        store = open_store(lab.database)
        expected = estimate(lab, store, runs.read_settings({"endpoint": "teacher", "method": "tree_search"}))
        folder, status = await run(lab, method="tree_search")
        [written] = traces.page(store.db, TraceQuery.parse("source:distill verdict:correct"))
    assert (expected.calls, expected.samples) == (4, 3)
    assert (status.state, status.requested, status.done, status.correct, status.rejected) == ("finished", 3, 3, 1, 2)
    assert teacher_runs.reasons(store.db, folder.id) == {
        "the answer is incorrect": 1, "the walk has no dead end, so there is no reflection to write": 1,
    }  # fmt: skip
    assert (written.synthesis, written.model, written.licence, written.tokens) == ("tree search", "m", "MIT", None)
    walk = trees.walk_of(store.db, written.id)
    assert walk is not None and walk.written_by == "m"
    text = traces.text(store.db, written.id)
    assert [text.raw[slice(*span)] for span in walk.reflections] == ["Wait, 1.", "Wait, 2."]
    keys = [str(response.key) for _, response in journal.read(folder.journal)]
    assert f"{walk.tree_id}/0/0" in keys and f"{walk.tree_id}/0/1" in keys
    assert text.meta["prompts"]["reflection"]["prompt"] == "tree-reflection@1"
    datasets.create(store.db, "trees", TraceQuery.parse("synthesis:tree verdict:correct"))
    shown = "".join(card(lab, store, "trees"))
    assert "| mcts | dead ends 2, dead end depth any, dead end order highest | m | 1 | 1 |" in shown
    store.close()


def test_the_solver_writes_no_reflections(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab", "http://127.0.0.1:9/v1", 1)
    with pytest.raises(UsageError, match="needs a language model"):
        runs.start(lab, runs.read_settings({"endpoint": "solver", "method": "tree_search"}))
    with pytest.raises(LabError, match="Nothing in the lab matches") as error:
        runs.start(lab, runs.read_settings({"endpoint": "teacher", "method": "tree_search"}))
    assert "o1lab trees make" in error.value.hint
