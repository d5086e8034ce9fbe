"""A rescue as a whole run: a student at an endpoint, and the solver as the teacher that goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pyarrow.parquet import read_table

from o1lab.cli.main import run as o1lab
from o1lab.distill import runs
from o1lab.distill.datasets.card import export_with_card
from o1lab.distill.methods.rescue import SOLVED
from o1lab.errors import LabError
from o1lab.inference import journal
from o1lab.ingest.measuring import moves_of
from screens.traces.reading import read_chain
from store import datasets, problems, teacher_runs, traces
from store.annotations import annotate
from store.connection import open_store
from store.filters import TraceQuery
from store.records import NewProblem
from store.writers import WRITERS, writers_of
from tests.support.distill_lab import make_lab, resume, run
from tests.support.distill_server import question_of
from tests.support.fault_server import FaultServer
from tests.support.lab_seed import trace_of

BEGUN = "<think>\nOnes: {ones} + {ones_b} = {sum}.\n"


class Student(FaultServer):
    """Solves sums of an even number; else it adds the tens wrongly and says so confidently."""

    def words_for(self, body: dict[str, Any]) -> list[str]:
        first, second, _ = question_of(body)
        if first % 2 == 0:
            return [f"<think>\nI add.\n</think>\n\n\\boxed{{{first + second}}}"]
        ones = first % 10, second % 10
        return [
            BEGUN.format(ones=ones[0], ones_b=ones[1], sum=sum(ones)),
            "Tens: 0 + 0 = 5.\n",
            f"The final answer is {first + second + 50}.\n",
            f"</think>\n\n\\boxed{{{first + second + 50}}}",
        ]


async def test_the_solver_finishes_what_the_student_cannot(tmp_path: Path) -> None:
    with Student() as server:
        lab = make_lab(tmp_path / "lab", server.url, 4)
        folder, status = await run(lab, method="rescue", endpoint="solver", student="teacher", max_tokens=256)
        asked = len(server.requests)
        again = await resume(lab, folder)
        assert len(server.requests) == asked == 4
    assert (status.state, status.requested, status.done, status.correct, status.rejected) == ("finished", 4, 4, 2, 2)
    assert (again.input_tokens, again.output_tokens) == (status.input_tokens, status.output_tokens)
    store = open_store(lab.database)
    assert teacher_runs.reasons(store.db, folder.id) == {SOLVED: 2}
    rows = traces.page(store.db, TraceQuery())
    assert {(row.model, row.synthesis, row.verdict, row.complete) for row in rows} == {
        ("solver", "rescued", "correct", True)
    }
    for row in rows:
        text = traces.text(store.db, row.id)
        student, teacher = writers_of(text.meta, len(text.raw))
        assert (student.model, teacher.model) == ("m", "solver")
        half, rest = text.raw[: student.end], text.raw[student.end :]
        assert half.startswith("<think>\nOnes: ")
        assert half.endswith("Tens: 0 + 0 = 5.\n")
        assert rest.startswith("Wait, the tens are wrong.\n")
        assert text.raw.count("<think>") == text.raw.count("</think>") == 1
        problem = problems.resolve(store.db, row.problem_id)
        assert rest.endswith(f"\\boxed{{{problem.answer}}}")
        used = text.meta["usage"]
        mine = text.meta["student"]["usage"]
        assert 0 < mine["output_tokens"] < used["output_tokens"]
        assert text.meta["student"]["endpoint"] == "teacher"
        assert text.meta["kept_moves"] == text.meta["student_moves"] - 1
    store.close()
    roles = [response.role for _, response in journal.read(folder.journal)]
    assert sorted(roles) == ["student"] * 4 + ["teacher"] * 2
    by_role = runs.usage_by_role(folder)
    assert sum(one.output_tokens for one in by_role.values()) == status.output_tokens
    assert set(by_role) == {"student", "teacher"}


async def test_show_tells_the_usage_of_student_and_teacher_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Student() as server:
        lab = make_lab(tmp_path / "lab", server.url, 2)
        folder, _ = await run(lab, method="rescue", endpoint="solver", student="teacher", max_tokens=256)
    assert o1lab(["--lab", str(lab.root), "distill", "show", folder.id, "--json"]) == 0
    item = json.loads(capsys.readouterr().out)
    assert set(item["usage_by_role"]) == {"student", "teacher"}
    assert item["reasons"] == {SOLVED: 1}
    assert o1lab(["--lab", str(lab.root), "distill", "show", folder.id]) == 0
    student = item["usage_by_role"]["student"]
    assert f"student  {student['input_tokens']} + {student['output_tokens']} tokens" in capsys.readouterr().out


async def test_traces_show_marks_where_the_teacher_takes_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Student() as server:
        lab = make_lab(tmp_path / "lab", server.url, 2)
        await run(lab, method="rescue", endpoint="solver", student="teacher", max_tokens=256)
    store = open_store(lab.database)
    [row] = traces.page(store.db, TraceQuery())
    store.close()
    assert o1lab(["--lab", str(lab.root), "traces", "show", row.id]) == 0
    shown = capsys.readouterr().out
    before, mark, after = shown.partition("» solver writes from here")
    assert mark
    assert "Tens: 0 + 0 = 5." in before
    assert "Wait, the tens are wrong." in after
    assert o1lab(["--lab", str(lab.root), "traces", "show", row.id, "--json"]) == 0
    item = json.loads(capsys.readouterr().out)
    assert [one["model"] for one in item["provenance"]["meta"][WRITERS]] == ["m", "solver"]


async def test_wrong_traces_go_on_from_the_step_before_the_one_that_a_person_calls_wrong(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab", "http://127.0.0.1:9/v1", 0)
    problem = NewProblem("What is 347 + 285?", "sums", answer="632")
    thought = (
        "Let me think about this first.\nCompute: Ones: 7 + 5 = 12, write 2, carry 1.\nWait, now without the carry.\n"
        "Compute: Tens: 4 + 8 = 12.\nThe final answer is 522."
    )
    wrong = trace_of(problem, "run/1", f"<think>\n{thought}\n</think>\n\n\\boxed{{522}}")
    store = open_store(lab.database)
    with store.db.atomic():
        problems.add(store.db, [problem])
        traces.add(store.db, [(wrong, problem.statement)])
    moves = moves_of(traces.text(store.db, wrong.id))
    third = moves[2]
    assert thought[third.start : third.end].startswith("Wait, now without")
    annotate(store.db, wrong.id, "wrong_step", "3", annotator="ann", span=(third.start, third.end))
    store.close()
    folder, status = await run(lab, method="rescue-traces", endpoint="solver", traces="model:run", max_tokens=256)
    assert (status.state, status.requested, status.correct) == ("finished", 1, 1)
    store = open_store(lab.database)
    [row] = traces.page(store.db, TraceQuery.parse("synthesis:rescued"))
    text = traces.text(store.db, row.id)
    store.close()
    begun, goes_on = writers_of(text.meta, len(text.raw))
    assert (row.parent_id, begun.model, goes_on.model) == (wrong.id, "run/1", "solver")
    assert text.raw[: begun.end] == f"<think>\n{thought[: third.start]}"
    assert [response.role for _, response in journal.read(folder.journal)] == ["teacher"]


async def test_exports_and_cards_say_who_wrote_what(tmp_path: Path) -> None:
    with Student() as server:
        lab = make_lab(tmp_path / "lab", server.url, 4)
        await run(lab, method="rescue", endpoint="solver", student="teacher", max_tokens=256)
    store = open_store(lab.database)
    datasets.create(store.db, "rescued", TraceQuery())
    for form in ("jsonl", "parquet"):
        out = tmp_path / f"rows.{form}"
        export_with_card(lab, store, "rescued", form, out)
        card = (tmp_path / f"rows.{form}.card.md").read_text("utf-8")
        assert "2 rows were written by several models in turn" in card
        if form == "jsonl":
            rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
        else:
            rows = [one | {"writers": json.loads(one["writers"])} for one in read_table(out).to_pylist()]
        counted = {"m": 0, "solver": 0}
        for row in rows:
            student, teacher = row["writers"]["thought"]
            assert row["thought"][: student["end"]].endswith("Tens: 0 + 0 = 5.\n")
            assert row["thought"][teacher["start"] :].startswith("Wait, the tens are wrong.")
            [last] = row["writers"]["solution"]
            assert (last["model"], last["start"], last["end"]) == ("solver", 0, len(row["solution"]))
            counted["m"] += student["end"]
            counted["solver"] += teacher["end"] - teacher["start"] + last["end"]
        for model, characters in counted.items():
            assert f"| {model} | {characters:,} |" in card
    store.close()


async def test_the_reader_marks_where_the_teacher_takes_over(tmp_path: Path) -> None:
    with Student() as server:
        lab = make_lab(tmp_path / "lab", server.url, 2)
        await run(lab, method="rescue", endpoint="solver", student="teacher", max_tokens=256)
    store = open_store(lab.database)
    [row] = traces.page(store.db, TraceQuery())
    document = read_chain(store.db, row.id).document
    store.close()
    begun, goes_on = document.signs
    assert [(sign.sign, sign.label) for sign in (begun, goes_on)] == [
        ("»", "m writes from here"),
        ("»", "solver writes from here"),
    ]
    assert begun.at == 0
    assert document.thought[goes_on.at :].startswith("Wait, the tens are wrong.")


async def test_a_teacher_that_only_answers_messages_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    with Student() as server:
        lab = make_lab(tmp_path / "lab", server.url, 2)
        with pytest.raises(LabError, match="continues a text that has begun, and teacher is an endpoint") as caught:
            runs.start(lab, runs.read_settings({"endpoint": "teacher", "method": "rescue", "student": "solver"}))
        assert caught.value.code == "no_continuing"
        assert server.requests == []
    assert not list(lab.distill.glob("*"))
