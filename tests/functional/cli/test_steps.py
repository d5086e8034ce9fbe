"""First wrong steps by persons and judges: runs against a local server, agreement, and the verbs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run as o1lab
from o1lab.distill.runner import TeacherRunner
from o1lab.distill.runs import TEACHER_RUNS
from o1lab.evaluate.rating.steps import step_agreement
from o1lab.inference import journal
from o1lab.jobs.control import Control
from o1lab.paths import Lab
from store import annotations as annotation_log
from store import traces, wrong_steps
from store.connection import open_store
from store.filters import TraceQuery
from tests.functional.cli.test_curate import Program
from tests.support.distill_lab import FakeClock, make_lab, run, start
from tests.support.fault_server import FaultServer
from tests.support.jobs import prepared

THOUGHT = "I need the sum of {a} and {b}.\n\nAdding the columns gives {c}.\n\nSo the answer is {c}."


class Judge(FaultServer):
    """Names step 2 for sums of odd numbers, no step for others; of one problem it first answers in prose."""

    def words_for(self, body: dict[str, Any]) -> list[str]:
        messages = body["messages"]
        text = messages[1]["content"]
        assert body["temperature"] == 0
        if "101 +" in text and len(messages) == 2:
            return ["Step two is wrong."]
        if "103 +" in text:
            return ["No JSON from me."]
        return [json.dumps({"first_wrong_step": 2 if int(text.partition("What is ")[2][:3]) % 2 else None})]


def with_traces(lab: Lab, number: int) -> list[str]:
    rows = []
    for at in range(number):
        a, b = 100 + at, 107 + at
        thought = THOUGHT.format(a=a, b=b, c=a + b)
        rows.append({"problem": f"What is {a} + {b}?", "raw": f"<think>\n{thought}\n</think>\n\n\\boxed{{{a + b}}}"})
    path = lab.root / "rows.jsonl"
    path.write_text("".join(json.dumps(row | {"model": "sky"}) + "\n" for row in rows), "utf-8")
    assert o1lab(["--lab", str(lab.root), "import", str(path), "--json"]) == 0
    store = open_store(lab.database)
    ids = [row.id for row in traces.page(store.db, TraceQuery())]
    store.close()
    return ids


async def test_a_judge_annotates_traces_and_makes_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Judge() as server:
        lab = make_lab(tmp_path / "lab", server.url, 0)
        ids = with_traces(lab, 4)
        folder, status = await run(lab, method="judge-steps", temperature=0.0, max_tokens=256)
    assert (status.state, status.requested, status.done, status.rejected) == ("finished", 4, 4, 1)
    store = open_store(lab.database)
    found = {one.trace_id: one for one in wrong_steps.every(store.db)}
    assert traces.count(store.db, TraceQuery()) == 4
    text = traces.text(store.db, ids[1])
    assert {trace: one.step for trace, one in found.items()} == {ids[0]: 0, ids[1]: 2, ids[2]: 0}
    assert found[ids[1]].run_id == folder.id
    assert found[ids[1]].annotator.startswith("m of teacher (judge-steps@1 ")
    span = found[ids[1]].span
    assert span is not None and text.thought[slice(*span)].startswith("Adding the columns gives 209.")
    store.close()
    calls = [str(response.key) for _, response in journal.read(folder.journal)]
    assert sorted(calls) == sorted([f"{ids[0]}/0/0", f"{ids[1]}/0/0", f"{ids[1]}/0/1", f"{ids[2]}/0/0",
                                    f"{ids[3]}/0/0", f"{ids[3]}/0/1"])  # fmt: skip
    capsys.readouterr()
    assert o1lab(["--lab", str(lab.root), "distill", "show", folder.id, "--json"]) == 0
    [reason] = json.loads(capsys.readouterr().out)["reasons"]
    assert reason.startswith("the judge gave no readable verdict, twice")
    assert o1lab(["--lab", str(lab.root), "methods", "--json"]) == 0
    assert "judge" not in capsys.readouterr().out


async def test_a_stopped_judge_goes_on_without_asking_again(tmp_path: Path) -> None:
    with Judge() as server:
        lab = make_lab(tmp_path / "lab", server.url, 0)
        ids = with_traces(lab, 3)
        folder = start(lab, method="judge-steps", temperature=0.0, concurrency=1, max_tokens=256)
        control = Control()
        first = await TeacherRunner(
            lab, folder, control=control, clock=FakeClock(),
            watch=lambda status: control.stop("stop", "enough") if server.requests else None,
        ).work()  # fmt: skip
        paid = len(list(journal.read(folder.journal)))
        folder = prepared(TEACHER_RUNS, lab, folder.id)
        second = await TeacherRunner(lab, folder, clock=FakeClock()).work()
    assert second.state == "finished" and second.done == 3
    keys = [str(response.key) for _, response in journal.read(folder.journal)]
    assert len(keys) == len(set(keys)) == 4  # one trace needs a second question
    assert first.state in ("stopped", "finished") and paid <= 4
    store = open_store(lab.database)
    assert {one.trace_id for one in wrong_steps.every(store.db)} == set(ids)
    store.close()


def test_persons_and_judges_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab = make_lab(tmp_path / "lab", "http://127.0.0.1:1", 0)
    ids = with_traces(lab, 4)
    store = open_store(lab.database)
    moves = [(0, 32), (32, 64), (64, 90)]
    for name, judge, given in (("ann", None, (1, 2, 0, 1)), ("bo", None, (1, 3, 0, 0)), ("m", "run1", (1, 2))):
        for trace, step in zip(ids, given, strict=False):
            annotation_log.annotate(
                store.db, trace, "wrong_step", str(step or "none"), annotator=name, run_id=judge,
                span=moves[step - 1] if step else None,
            )  # fmt: skip
    found = step_agreement(store.db)
    store.close()
    pairs = {(pair.one, pair.other): (pair.traces, pair.exact, pair.within_one) for pair in found.pairs}
    assert pairs == {("ann", "bo"): (4, 2, 3), ("ann", "m"): (2, 2, 2), ("bo", "m"): (2, 1, 2)}
    assert found.disagreements == [ids[1], ids[3]]
    # Krippendorff (2011), nominal: coincidences of 1 1 1 | 2 3 2 | 0 0 | 1 0, by hand.
    assert found.alpha.value is not None and found.alpha.units == 4
    observed = {(1, 1): 3.0, (2, 2): 1.0, (2, 3): 2.0, (0, 0): 2.0, (0, 1): 2.0}
    n, totals = 10, {0: 3, 1: 4, 2: 2, 3: 1}
    disagree = observed[2, 3] + observed[0, 1]
    expected = sum(a * b for x, a in totals.items() for y, b in totals.items() if x != y) / (n - 1)
    assert found.alpha.value == pytest.approx(1 - disagree / expected)
    capsys.readouterr()
    assert o1lab(["--lab", str(lab.root), "traces", "steps", "--json"]) == 0
    item = json.loads(capsys.readouterr().out)
    assert [one["judge"] for one in item["annotators"]] == [False, False, True]
    assert item["pairs"][0]["exact"] == 0.5 and item["pairs"][0]["exact_ci95"] == [0.15, 0.85]
    assert [one["trace_id"] for one in item["disagreements"]] == [ids[1], ids[3]]
    assert "Krippendorff" in item["alpha"]["source"]
    assert o1lab(["--lab", str(lab.root), "traces", "steps"]) == 0
    assert "judge m: 2 traces, 2 with a wrong step" in capsys.readouterr().out


def test_a_person_marks_a_step_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab = make_lab(tmp_path / "lab", "http://127.0.0.1:1", 0)
    [trace] = with_traces(lab, 1)
    capsys.readouterr()
    program = Program(lab.root, capsys)
    status, made = program("annotate", trace, "--wrong-step", "2")
    assert (status, made["kind"], made["value"]) == (0, "wrong_step", "2")
    shown = program("traces", "show", trace)[1]
    [verdict] = shown["wrong_steps"]
    move = shown["segments"][1]
    assert (verdict["step"], verdict["span"], verdict["judge"]) == (2, [move["start"], move["end"]], False)
    assert o1lab(["--lab", str(lab.root), "traces", "show", trace]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("✗ first wrong step: "))
    assert lines[at + 1].startswith("  2 ")
    status, failed = program("annotate", trace, "--wrong-step", "9")
    assert status == 2 and "which has" in failed["error"]["message"]
    assert program("annotate", trace, "--wrong-step", "none")[0] == 0
    assert program("traces", "ls", "--where", "wrong-step:right")[1]["total"] == 1
    assert program("annotate", trace, "--undo")[0] == 0
    assert program("traces", "ls", "--where", "wrong-step:marked")[1]["total"] == 1
    assert program("annotate", trace, "--wrong-step", "clear")[0] == 0
    assert program("traces", "show", trace)[1]["wrong_steps"] == []
    assert program("traces", "steps")[1]["total"] == 0
    assert program("traces", "judge-steps")[0] == 2
    path = lab.root / "a.jsonl"
    assert program("annotations", "export", path)[0] == 0
    assert program("annotations", "merge", path)[1]["files"][0]["duplicates"] == 4
