"""What runs, traces and conversations write is committed when the call returns, or undone with the caller's work."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress

import pytest

from store import Store, conversations, problems, runs, search, traces
from store.filters import TraceQuery
from store.records import NewProblem, NewTrace, RunRecord

RUN = RunRecord("r1", "runs/r1", "base", "sums", "abcd", None, "2026-01-01T00:00:00")


def committed(store: Store, table: str) -> int:
    """The rows of a table that another process sees."""
    with closing(sqlite3.connect(store.path)) as other:
        return len(other.execute(f"SELECT 1 FROM {table}").fetchall())  # noqa: S608 - a constant


def vote(store: Store) -> None:
    talk = conversations.create(store.db, "t", [("m", "m")], {})
    conversations.vote(store.db, conversations.Vote(talk.id, 0, "m", ("m", "n"), True, "tester"))


WRITES: dict[str, Callable[[Store], object]] = {
    "runs": lambda store: runs.add(store.db, RUN),
    "panes": lambda store: conversations.create(store.db, "t", [("m", "m")], {}),
    "votes": vote,
    "prompt_sets": lambda store: conversations.save_prompt_set(store.db, "mine", ["a"]),
}


@pytest.mark.parametrize("table", WRITES)
def test_a_write_is_committed_when_it_returns_and_undone_with_its_caller(store: Store, table: str) -> None:
    with suppress(KeyError), store.db.atomic():
        WRITES[table](store)
        raise KeyError
    assert committed(store, table) == 0
    assert not store.db.conn.in_transaction
    WRITES[table](store)
    assert committed(store, table) == 1


def test_the_record_of_a_run_is_removed_for_everybody_or_not_at_all(store: Store) -> None:
    runs.add(store.db, RUN)
    with pytest.raises(sqlite3.IntegrityError):
        runs.add(store.db, RUN)
    with suppress(KeyError), store.db.atomic():
        runs.remove(store.db, RUN.id)
        raise KeyError
    assert runs.all_runs(store.db) == [RUN]
    runs.remove(store.db, RUN.id)
    assert committed(store, "runs") == 0


@pytest.mark.parametrize("table", ["traces", "trace_texts"])
def test_traces_are_added_whole_or_not_at_all(store: Store, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = NewProblem("What is 1 + 1?", "test")
    raws = [f"<think>{word}</think>2" for word in ("alpha", "omega")]
    new = [NewTrace(problem.id, "m", raw, (7, 12), (20, 21), True, "r1", "test") for raw in raws]
    # The second row does not go in.
    store.db.execute(f"CREATE TRIGGER t AFTER INSERT ON {table} WHEN NEW.seq = 2 BEGIN SELECT RAISE(ABORT, 'no'); END")

    def add(indexing: Callable[[], None] = lambda: None) -> None:
        with store.db.atomic():
            problems.add(store.db, [problem])
            traces.add(store.db, [(trace, problem.statement) for trace in new], indexing=indexing)

    def interrupted(*_: object) -> None:
        raise KeyError

    with pytest.raises(sqlite3.IntegrityError):
        add()
    store.db.execute("DROP TRIGGER t")
    with pytest.raises(KeyError):
        add(interrupted)
    with monkeypatch.context() as patched, pytest.raises(KeyError):
        patched.setattr(search, "index", interrupted)
        add()
    assert [committed(store, name) for name in ("problems", "traces", "trace_texts")] == [0, 0, 0]
    assert traces.count(store.db, TraceQuery()) == 0
    add()
    assert committed(store, "traces") == 2
    assert [len(search.hits(store.db, word)[0]) for word in ("alpha", "omega")] == [1, 1]
