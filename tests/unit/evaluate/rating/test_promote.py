"""A labelled sample is a trace from then on, in one transaction, and no dataset takes it by accident."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from o1lab.cli.main import run
from o1lab.distill.datasets.selection import choose
from o1lab.errors import UsageError
from o1lab.evaluate.rating import promote
from o1lab.evaluate.sample_traces import as_trace
from screens.evaluate.labelling import write
from screens.traces.actions import Action
from store import Store, datasets, evaluations, open_store, problems, ratings, traces
from store import annotations as annotation_log
from store.errors import NothingChosenError
from store.evaluations import NewSample, Turn
from store.filters import TraceQuery
from tests.support.evaluate_lab import STUDENT, evaluation, make_lab


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(make_lab(tmp_path / "lab").database)


def seq_of(store: Store, identity: str, number: int) -> int:
    return evaluations.find_sample(store.db, identity, f"add:{number}")


def test_a_labelled_sample_becomes_a_trace_with_its_provenance(store: Store) -> None:
    seq = seq_of(store, "student-1", 3)
    record = promote.label(store, seq, "span", "slip", annotator="ann", span=(0, 9))
    row, text = traces.get(store.db, record.trace_id), traces.text(store.db, record.trace_id)
    assert ratings.trace_of(store.db, seq) == row.id
    assert (row.source, row.key, row.model, row.verdict) == ("eval/student-1", "add:3", STUDENT, "incorrect")
    assert row.verdict_reason == "math@1: 911 is not 681"
    assert row.moves and row.moves["verify"]
    spoken = evaluations.sample(store.db, seq)[1].turns[0]
    assert (text.thought, text.solution, text.gold) == (spoken.thought, spoken.answer, "681")
    assert text.meta["suite"] == "sums@1" and text.meta["sampling"]["max_tokens"] == 512
    again = promote.label(store, seq, "decision", "accept", annotator="ann")
    assert again.trace_id == row.id
    assert [one.kind for one in annotation_log.of_trace(store.db, row.id)] == ["span", "decision"]


def test_neither_the_answer_nor_the_question_slips_into_training(store: Store) -> None:
    """Accepted by hand, right, and asked for by an all-embracing filter: still left out, with the reason."""
    record = promote.label(store, seq_of(store, "student-1", 0), "decision", "accept", annotator="ann")
    choice = choose(store, TraceQuery.parse(""), drop={"evaluation"})
    assert (choice.ids, choice.drops) == ([], {record.trace_id: datasets.EVALUATION})
    with pytest.raises(NothingChosenError, match=datasets.EVALUATION):
        datasets.create(store.db, "all", TraceQuery.parse("decision:accept"))
    assert choose(store, TraceQuery.parse(""), drop=()).ids == [record.trace_id]
    problem = problems.get(store.db, traces.get(store.db, record.trace_id).problem_id)
    assert problem is not None and problem.excluded_by == promote.RULE


def test_a_problem_of_the_pool_stays_as_it_was(store: Store) -> None:
    from store.records import NewProblem

    with store.db.atomic():
        problems.add(store.db, [NewProblem("What is 123 + 288?", "mine", "1", "411")])
    record = promote.label(store, seq_of(store, "student-1", 0), "note", "well done", annotator="ann")
    problem = problems.get(store.db, traces.get(store.db, record.trace_id).problem_id)
    assert problem is not None and (problem.source, problem.excluded_by) == ("mine", None)


def test_of_several_turns_the_last_is_the_trace_and_the_others_its_provenance(store: Store) -> None:
    turns = (Turn("2 + 2?", "two and two", "4"), Turn("Are you sure?", "</think> hm <think>", "No: 5.\x00"))
    with store.db.atomic():
        [seq] = evaluations.add_samples(
            store.db, "base-1", [NewSample("add:0", 0, "complete", turns, "k", output_tokens=9)]
        )
    text = traces.text(store.db, promote.promote(store, seq))
    assert (text.thought, text.solution) == (turns[1].thought, turns[1].answer)
    assert text.meta["asked"] == "Are you sure?"
    assert [(one["role"], one["content"]) for one in text.context] == [
        ("user", "2 + 2?"), ("assistant", "4"), ("user", "Are you sure?"),
    ]  # fmt: skip
    assert text.meta["before"] == [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]
    gone = "The trace does not contain the thought of turn 1, which only the evaluation keeps."
    assert text.meta["left_out"] == gone
    written = write(store, "ann", Action(text.trace_id, "decision", "accept"), seq)
    assert written.note == "", "it is a trace already"


def test_what_the_trace_leaves_out_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab = make_lab(tmp_path / "lab")
    turns = (Turn("2 + 2?", "two and two", "4"), Turn("Sure?", "again", "Yes."), Turn("Really?", "", "4"))
    with closing(open_store(lab.database)) as store, store.db.atomic():
        samples = [NewSample("add:0", number, "complete", turns, f"k{number}", output_tokens=9) for number in (0, 1)]
        _, second = evaluations.add_samples(store.db, "base-1", samples)
    gone = "The trace does not contain the thought of turns 1, 2, which only the evaluation keeps."
    command = ["--lab", str(lab.root), "eval", "label", "base-1", "add:0"]
    assert run(command) == 0
    printed = capsys.readouterr()
    assert gone in printed.err and len(printed.out.split()) == 1
    assert run([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == gone
    assert run(["--lab", str(lab.root), "traces", "show", printed.out.strip()]) == 0
    assert gone in capsys.readouterr().out
    with closing(open_store(lab.database)) as store:
        assert write(store, "ann", Action("-", "decision", "accept"), second).note == gone


def test_nothing_is_kept_when_the_annotation_fails(store: Store) -> None:
    seq = seq_of(store, "student-1", 0)
    with pytest.raises(ValueError, match="applause"):
        promote.label(store, seq, "applause", "", annotator="ann")
    assert ratings.trace_of(store.db, seq) is None
    assert traces.count(store.db, TraceQuery.parse("")) == 0
    with pytest.raises(UsageError, match="has no answer"):
        promote.label(store, seq_of(store, "base-1", 5), "decision", "reject", annotator="ann")


def test_an_edit_of_a_labelled_sample_stays_out_as_well(store: Store) -> None:
    kept = promote.promote(store, seq_of(store, "student-1", 0))
    text = traces.text(store.db, kept)
    child = as_trace(
        evaluation("other", STUDENT),
        evaluations.item(store.db, "student-1", "add:0"),
        NewSample("add:0", 0, "complete", (Turn("?", text.thought + " And more.", text.solution),), "k"),
    )
    from dataclasses import replace

    with store.db.atomic():
        traces.add(store.db, [(replace(child, source="by hand", parent_id=kept), text.statement)])
    assert set(choose(store, TraceQuery.parse(""), drop={"evaluation"}).drops) == {kept, child.id}
