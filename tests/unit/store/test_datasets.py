"""Datasets: their tokens, and that they are created whole or not at all."""

from __future__ import annotations

import sqlite3

import pytest

from store import Store, datasets, problems, traces
from store.records import NewProblem, NewTrace
from store.writers import Writer


def add_trace(store: Store, number: int, tokens: int | None) -> str:
    problem = NewProblem(f"What is {number} + 1?", "test")
    raw = f"<think>{number}</think>42"
    trace = NewTrace(problem.id, "m", raw, (7, 8), (16, 18), True, "r1", "test", tokens=tokens)
    with store.db.atomic():
        problems.add(store.db, [problem])
        traces.add(store.db, [(trace, problem.statement)])
    return trace.id


def test_the_tokens_of_a_repeated_row_count_each_time(store: Store) -> None:
    one, two = add_trace(store, 1, 10), add_trace(store, 2, 3)
    made = datasets.snapshot(store.db, "twice", [one, two, one])
    assert (made.rows, made.tokens) == (3, 23)
    assert datasets.get(store.db, "twice").tokens == 23
    assert [row.tokens for row in datasets.rows(store.db, "twice")] == [10, 3, 10]


def test_the_tokens_of_a_dataset_are_unknown_if_those_of_a_row_are(store: Store) -> None:
    known, unknown, none = add_trace(store, 1, 10), add_trace(store, 2, None), add_trace(store, 3, 0)
    assert datasets.snapshot(store.db, "mixed", [known, unknown]).tokens is None
    assert datasets.snapshot(store.db, "unknown", [unknown]).tokens is None
    assert datasets.snapshot(store.db, "zero", [none]).tokens == 0
    # The count of a repeated row does not stand in for the unknown one.
    assert datasets.snapshot(store.db, "repeated", [known, known, unknown]).tokens is None


@pytest.mark.parametrize("table", ["dataset_rows", "dataset_drops"])
def test_a_dataset_is_created_whole_or_not_at_all(store: Store, table: str) -> None:
    one, two = add_trace(store, 1, 10), add_trace(store, 2, 3)
    store.db.execute(f"CREATE TRIGGER t BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(sqlite3.IntegrityError):
        datasets.snapshot(store.db, "d", [one], drops={two: "dull"})
    assert datasets.all_datasets(store.db) == []
    assert datasets.trace_ids(store.db, "d") == []


def in_turn(store: Store, *, cut: int, outside: tuple[tuple[int, int], ...] = ()) -> str:
    """Add a trace whose first ``cut`` code points a student wrote; return its id."""
    problem = NewProblem("What is 41 + 1?", "test")
    raw = "<think>one two</think>42"
    spans = [{"model": "student", "start": 0, "end": cut}, {"model": "m", "start": cut, "end": len(raw)}]
    trace = NewTrace(
        problem.id, "m", raw, (7, 14), (22, 24), True, "r1", "test", meta={"writers": spans}, outside=outside
    )
    with store.db.atomic():
        problems.add(store.db, [problem])
        traces.add(store.db, [(trace, problem.statement)])
    return trace.id


def test_a_row_says_who_wrote_what_of_its_parts(store: Store) -> None:
    one = in_turn(store, cut=11)
    datasets.snapshot(store.db, "long", [one, add_trace(store, 1, 10)])
    first, second = datasets.rows(store.db, "long")
    assert first.writers == {
        "thought": (Writer("student", 0, 4), Writer("m", 4, 7)),
        "solution": (Writer("m", 0, 2),),
    }
    assert second.writers == {}
    datasets.snapshot(store.db, "short", [one], phase=1)
    [row] = datasets.rows(store.db, "short")
    assert row.writers == {"solution": (Writer("m", 0, 2),)}


def test_a_solution_with_text_from_outside_the_marks_has_no_writers(store: Store) -> None:
    """Its characters are not at the same places as in the response."""
    datasets.snapshot(store.db, "d", [in_turn(store, cut=11, outside=((0, 0),))])
    [row] = datasets.rows(store.db, "d")
    assert set(row.writers) == {"thought"}
