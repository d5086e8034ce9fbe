"""Reformatting, translating and debating as whole runs, against a local server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from o1lab.distill import runs
from o1lab.distill.estimate import estimate
from o1lab.inference import journal
from o1lab.paths import Lab
from store import problems, teacher_runs, traces
from store.connection import open_store
from store.filters import TraceQuery
from store.records import NewProblem, TraceRow
from tests.support.distill_lab import make_lab, run
from tests.support.fault_server import FaultServer
from tests.support.lab_seed import trace_of
from tests.unit.distill.test_translate import RAW, into_chinese, text_in

REWRITTEN = (
    "Both numbers are given and their sum is asked. Adding them gives {sum}, which is the answer: \\boxed{{{sum}}}"
)


class Writer(FaultServer):
    """Rewrites sums, translates, debates: by what its system message says it is."""

    def words_for(self, body: dict[str, Any]) -> list[str]:
        messages = body["messages"]
        system = messages[0]["content"]
        if "rewrite short reference solutions" in system:
            first, second = re.findall(r"What is (\d+) \+ (\d+)\?", messages[1]["content"])[0]
            wrong = int(first) % 2
            return [REWRITTEN.format(sum=int(first) + int(second) + wrong)]
        if "translator" in system:
            return [into_chinese(text_in(messages))]
        if "examine the steps" in system:
            wrong = "My first guess" in messages[1]["content"].partition("The step to judge:")[2]
            return [
                json.dumps({"decision": "backtrack" if wrong else "done", "reason": "Wait, that sum is too small."})
            ]
        if "thinking aloud" in system:
            return [
                "Adding column by column it is 107."
                if "too small" in messages[1]["content"]
                else "My first guess is 7."
            ]
        return ["The sum is \\boxed{107}."]


def with_solutions(lab: Lab, number: int) -> None:
    store = open_store(lab.database)
    with store.db.atomic():
        problems.add(
            store.db,
            [
                NewProblem(f"What is {100 + i} + {7 + i}?", "sums", answer=str(107 + 2 * i), solution=f"{107 + 2 * i}.")
                for i in range(number)
            ],
        )
    store.close()


def all_traces(lab: Lab, query: str = "") -> list[TraceRow]:
    store = open_store(lab.database)
    found = traces.page(store.db, TraceQuery.parse(query))
    store.close()
    return found


async def test_reformatted_solutions_that_miss_the_answer_are_rejected(tmp_path: Path) -> None:
    with Writer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 6)  # sums without a solution: no items of this method
        with_solutions(lab, 4)
        folder, status = await run(lab, method="reformat")
    assert (status.state, status.requested, status.done, status.rejected) == ("finished", 4, 4, 2)
    assert (status.correct, status.incorrect) == (2, 2)
    found = all_traces(lab)
    assert {(one.synthesis, one.format, one.complete) for one in found} == {("reformatted", "plain", True)}
    store = open_store(lab.database)
    assert teacher_runs.reasons(store.db, folder.id) == {"the answer is incorrect": 2}
    assert all(traces.text(store.db, one.id).thought == "" for one in found)
    store.close()


async def test_a_translation_is_a_trace_of_a_problem_of_its_own(tmp_path: Path) -> None:
    with Writer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 0)
        store = open_store(lab.database)
        original = NewProblem("What is $40 + 2$? Give a whole number.", "sums", answer="42", licence="MIT")
        parent = trace_of(original, "a-teacher", RAW)
        with store.db.atomic():
            problems.add(store.db, [original])
            traces.add(store.db, [(parent, original.statement)])
        expected = estimate(lab, store, runs.read_settings({"endpoint": "teacher", "method": "translate"}))
        store.close()
        folder, status = await run(lab, method="translate", max_tokens=2048)
        again, second = await run(lab, method="translate", max_tokens=2048)
    assert (status.state, status.done, status.correct, status.rejected) == ("finished", 1, 1, 0)
    assert (expected.calls, expected.most_calls, expected.samples) == (3, 6, 1)
    assert again.id != folder.id
    assert second.requested == 1
    [made] = all_traces(lab, "synthesis:translated")
    assert (made.parent_id, made.verdict, made.licence, made.format) == (parent.id, "correct", "CC0-1.0", "sky-t1")
    assert made.problem_id != original.id
    store = open_store(lab.database)
    problem = problems.get(store.db, made.problem_id)
    store.close()
    assert problem is not None
    assert (problem.source, problem.answer, problem.licence) == ("translation/zh", "42", "MIT")
    keys = [str(response.key) for _, response in journal.read(folder.journal)]
    assert keys == [f"{parent.id}/0/{turn}" for turn in (0, 2, 3)]
    keys = [str(response.key) for _, response in journal.read(again.journal)]
    assert keys == [f"{parent.id}/0/{turn}" for turn in (2, 3)]


async def test_a_debate_is_one_trace_and_its_journal_is_the_transcript(tmp_path: Path) -> None:
    with Writer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 0)
        with_solutions(lab, 1)
        folder, status = await run(lab, method="debate")
    assert (status.state, status.done, status.correct) == ("finished", 1, 1)
    [made] = all_traces(lab)
    assert (made.synthesis, made.verdict, made.complete) == ("multi-agent", "correct", True)
    store = open_store(lab.database)
    text = traces.text(store.db, made.id)
    store.close()
    assert text.thought.split("\n\n") == [
        "My first guess is 7.",
        "Wait, that sum is too small.",
        "Adding column by column it is 107.",
    ]
    assert text.solution == "The sum is \\boxed{107}."
    assert text.meta["call_keys"] == [str(response.key) for _, response in journal.read(folder.journal)]
    assert len(text.meta["call_keys"]) == 5
    assert {role: each["prompt"] for role, each in text.meta["prompts"].items()} == {
        "policy": "debate-policy@1",
        "critic": "debate-critic@1",
        "solution": "debate-solution@1",
    }
