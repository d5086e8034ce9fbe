"""Annotations and datasets: append-only, derived state, undo, merge, kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Self

import pytest

from store import Store, annotations, datasets, open_store, traces
from store.errors import NameTakenError, NotFoundError, NothingChosenError, UsageError
from store.filters import TraceQuery
from tests.unit.store.test_store import add_chain, found


def say(store: Store, trace: str, kind: str, value: str, **more: object) -> str:
    return annotations.annotate(store.db, trace, kind, value, annotator="me", **more).id  # type: ignore[arg-type]


def test_the_last_word_counts_and_undo_brings_back_the_one_before(store: Store) -> None:
    trace = add_chain(store, "s", "t")
    say(store, trace, "decision", "accept")
    say(store, trace, "rating", "4")
    say(store, trace, "decision", "reject")
    assert traces.get(store.db, trace).decision == "reject"
    annotations.undo(store.db, annotator="me")
    row = traces.get(store.db, trace)
    assert (row.decision, row.rating) == ("accept", 4)
    annotations.undo(store.db, annotator="me")
    annotations.undo(store.db, annotator="me")
    row = traces.get(store.db, trace)
    assert (row.decision, row.rating) == (None, None)
    assert annotations.undo(store.db, annotator="me") is None
    assert store.db.value("SELECT count(*) FROM annotations WHERE trace_id = ?", [trace]) == 6


def test_an_undo_is_of_ones_own_work(store: Store) -> None:
    trace = add_chain(store, "s", "t")
    say(store, trace, "decision", "accept")
    assert annotations.undo(store.db, annotator="somebody else") is None
    assert traces.get(store.db, trace).decision == "accept"


def test_tags_come_and_go(store: Store) -> None:
    trace = add_chain(store, "s", "t")
    say(store, trace, "tag", "nice")
    say(store, trace, "tag", "long")
    say(store, trace, "untag", "nice")
    assert annotations.tags_of(store.db, trace) == ["long"]
    assert annotations.tags(store.db) == [("long", 1)]
    assert found(store, "tag:long") == [trace]


def test_a_bulk_decision_is_undone_at_once(store: Store) -> None:
    ids = [add_chain(store, f"p{i}", "t") for i in range(5)]
    say(store, ids[0], "decision", "skip")
    batch, number = annotations.decide_all(store.db, TraceQuery.parse(""), "reject", annotator="me")
    assert number == 5
    assert found(store, "decision:rejected") == ids
    undone = annotations.undo(store.db, annotator="me")
    assert undone is not None and undone.target == batch
    assert found(store, "decision:reject") == []
    assert found(store, "decision:skip") == [ids[0]]


def test_the_next_undecided_follows_the_list_and_begins_again(store: Store) -> None:
    ids = [add_chain(store, f"p{i}", "x" * i) for i in range(4)]
    query = TraceQuery.parse("sort:-chars")
    store.annotator = "me"
    say(store, ids[3], "decision", "accept")
    say(store, ids[1], "decision", "accept")
    assert traces.next_undecided(store.db, query, ids[3]) == ids[2]
    assert traces.next_undecided(store.db, query, ids[2]) == ids[0]
    assert traces.next_undecided(store.db, query, ids[0]) == ids[2]
    assert traces.next_undecided(store.db, TraceQuery.parse("decision:accept"), ids[3]) is None


def test_progress_counts_and_paces(store: Store) -> None:
    ids = [add_chain(store, f"p{i}", "t") for i in range(3)]
    assert annotations.progress(store.db, TraceQuery.parse(""), annotator="me").per_hour is None
    say(store, ids[0], "decision", "accept")
    say(store, ids[1], "decision", "reject")
    progress = annotations.progress(store.db, TraceQuery.parse(""), annotator="me")
    assert (progress.total, progress.decided, progress.today) == (3, 2, 2)
    assert progress.per_hour is not None and progress.per_hour > 0
    assert progress.by_decision == {"none": 1, "accept": 1, "reject": 1}


def test_labs_merge_each_others_records_once(store: Store, tmp_path: Path) -> None:
    other = open_store(tmp_path / "other.db")
    trace = add_chain(store, "s", "t")
    add_chain(other, "s", "t")
    elsewhere = add_chain(other, "only there", "t")
    say(other, trace, "decision", "accept")
    say(other, trace, "span", "key step", span=(0, 1))
    say(other, elsewhere, "decision", "accept")
    records = list(annotations.everything(other.db))
    merged = annotations.merge(store.db, records)
    assert (merged.added, merged.known, len(merged.without_trace)) == (2, 0, 1)
    again = annotations.merge(store.db, records)
    assert (again.added, again.known) == (0, 2)
    assert traces.get(store.db, trace).decision == "accept"
    assert annotations.of_trace(store.db, trace)[1].span == (0, 1)
    other.close()


def test_nobody_annotates_what_is_not_there(store: Store) -> None:
    with pytest.raises(NotFoundError):
        say(store, "0123456789abcdef", "decision", "accept")


ANNOTATOR = """
import sys
from pathlib import Path
from store import annotations, open_store
store = open_store(Path(sys.argv[1]))
number = 0
while True:
    made = annotations.annotate(store.db, sys.argv[2], "note", str(number), annotator="me")
    print(made.id, flush=True)
    number += 1
"""


def test_sigkill_loses_no_confirmed_annotation(tmp_path: Path) -> None:
    store = open_store(tmp_path / "lab.db")
    trace = add_chain(store, "s", "t")
    for kept in (1, 7, 40):
        process = subprocess.Popen(
            [sys.executable, "-c", ANNOTATOR, str(tmp_path / "lab.db"), trace], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        confirmed = [process.stdout.readline().strip() for _ in range(kept)]
        os.kill(process.pid, signal.SIGKILL)
        confirmed += process.stdout.read().split()[:-1]  # the last line may be cut
        process.wait()
        fresh = open_store(tmp_path / "lab.db")
        assert set(confirmed) <= {record.id for record in annotations.of_trace(fresh.db, trace)}
        assert fresh.db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        fresh.close()
    store.close()


def test_a_dataset_is_its_content(store: Store, tmp_path: Path) -> None:
    ids = [add_chain(store, f"p{i}", f"thought {i}", f"answer {i}") for i in range(3)]
    say(store, ids[0], "decision", "accept")
    say(store, ids[2], "decision", "accept")
    made = datasets.create(store.db, "good", TraceQuery.parse("decision:accept"))
    assert (made.rows, made.tokens) == (2, None)
    assert datasets.create(store.db, "good", TraceQuery.parse("decision:accept")).created_at == made.created_at
    say(store, ids[1], "decision", "accept")
    with pytest.raises(NameTakenError):
        datasets.create(store.db, "good", TraceQuery.parse("decision:accept"))
    assert [row.trace_id for row in datasets.rows(store.db, "good")] == [ids[0], ids[2]]
    assert datasets.create(store.db, "format", TraceQuery.parse("decision:accept"), phase=1).hash != made.hash
    assert [row.thought for row in datasets.rows(store.db, "format")] == ["", "", ""]
    assert datasets.get(store.db, made.hash[:6]).name == "good"
    assert found(store, "dataset:good") == [ids[0], ids[2]]

    other = open_store(tmp_path / "other.db")
    for i in (0, 2):
        add_chain(other, f"p{i}", f"thought {i}", f"answer {i}")
    assert datasets.create(other.db, "same", TraceQuery.parse("")).hash == made.hash
    other.close()


def test_an_empty_or_unknown_dataset_is_an_error(store: Store) -> None:
    with pytest.raises(NothingChosenError, match="no trace"):
        datasets.create(store.db, "none", TraceQuery.parse("decision:accept"))
    with pytest.raises(NotFoundError):
        datasets.get(store.db, "none")


def test_undo_on_one_trace_leaves_the_rest_of_its_batch(store: Store) -> None:
    one, other = add_chain(store, "a", "t"), add_chain(store, "b", "t")
    annotations.decide_all(store.db, TraceQuery.parse(""), "accept", annotator="me")
    annotations.undo(store.db, annotator="me", trace_id=one)
    assert [traces.get(store.db, trace).decision for trace in (one, other)] == [None, "accept"]
    annotations.undo(store.db, annotator="me")
    assert traces.get(store.db, other).decision is None


def test_the_order_is_that_of_the_records_whatever_the_clock_says(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = add_chain(store, "s", "t")
    for decision, clock in (("accept", "2026-03-01"), ("reject", "2026-02-01"), ("skip", "2026-01-01")):
        monkeypatch.setattr(annotations, "now", lambda clock=clock: f"{clock}T00:00:00.000000+00:00")
        annotations.annotate(store.db, trace, "decision", decision, annotator="anna")
    assert traces.get(store.db, trace).decision == "skip"
    assert [one.value for one in annotations.everything(store.db)] == ["accept", "reject", "skip"]
    annotations.undo(store.db, annotator="anna")
    assert traces.get(store.db, trace).decision == "reject"


@pytest.mark.parametrize(
    "name", ["../up", "a/b", "a\\b", "..", ".hidden", "-x", "~", "", " ", " a", "a\n", "\x1b[2J", "x" * 81, "\u202e"]
)
def test_a_name_of_a_dataset_is_no_path(store: Store, name: str) -> None:
    say(store, add_chain(store, "s", "t"), "decision", "accept")
    with pytest.raises(UsageError, match="not a valid name"):
        datasets.create(store.db, name, TraceQuery.parse(""))
    assert datasets.create(store.db, "长思维 2", TraceQuery.parse("")).rows == 1


def test_today_begins_at_midnight_of_the_clock(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls(2026, 3, 2, 0, 30, tzinfo=tz)

    monkeypatch.setattr(annotations, "datetime", Clock)
    for number, moment in enumerate(("2026-03-01T22:00", "2026-03-01T23:50", "2026-03-02T00:10")):
        monkeypatch.setattr(annotations, "now", lambda moment=moment: f"{moment}:00.000000+00:00")
        say(store, add_chain(store, f"s{number}", "t"), "decision", "accept")
    found = annotations.progress(store.db, TraceQuery.parse(""), annotator="me")
    assert (found.decided, found.today, found.per_hour) == (3, 1, 3.0)
