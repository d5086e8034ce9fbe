"""Search and filters: what is found, and that no text breaks them."""

from __future__ import annotations

import sqlite3
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import Store, problems, search, traces
from store.errors import QueryError
from store.filters import TraceQuery
from store.records import Measured, NewProblem, NewTrace
from store.schema.migrations import migrations
from store.sqlite import Database
from tests.unit.store.test_store import add_chain, found


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("double check", True),
        ('"double check"', True),
        ('"check double"', False),
        ("wai", True),
        ("wait -carry", False),
        ("检查", True),
        ("查", True),
        ("让我检", True),
        ("检让", False),
        ("théorème", True),
        ("theoreme", True),
        ("a* OR", False),
        ("NEAR(", False),
    ],
)
def test_search_finds_words_phrases_beginnings_and_chinese(store: Store, query: str, expected: bool) -> None:
    add_chain(store, "A théorème", "Wait, let me double-check the carry. 等等，让我检查一下。")
    assert bool(found(store, query)) is expected


@pytest.mark.parametrize(
    ("thought", "query"),
    [
        ("a quick brown fox", "quick brown"),
        ("naïve “Bézout” ≤ ½", "bezout"),
        ("so: 等等，让我检查", "让我"),
        ("first\0second", "second"),
        ("a lone \ud800 surrogate", "surrogate"),
        ("ends in a radical ⺀", "radical"),
    ],
)
def test_each_field_of_any_text_is_indexed_where_it_is(store: Store, thought: str, query: str) -> None:
    """Plain texts are indexed by SQLite from the stored response, others by Python: both find the same."""
    ids = []
    for number, raw in enumerate((f"<think>{thought}</think>no", f"<think>no</think>{thought}")):
        end = raw.index("</think>")
        problem = NewProblem(f"What is {number}?", "t")
        trace = NewTrace(problem.id, "m", raw, (7, end), (end + 8, len(raw)), True, "r1", "t")
        with store.db.atomic():
            problems.add(store.db, [problem])
            assert traces.add(store.db, [(trace, problem.statement), (trace, problem.statement)]) == [trace.id]
        ids.append(trace.id)

    def matching(field: str) -> list[str]:
        expression = f"{field} : ({search.match_expression(query)})"
        rows = store.db.execute(
            "SELECT t.id FROM traces_fts f JOIN traces t ON t.seq = f.rowid WHERE traces_fts MATCH ?", [expression]
        )
        return [row[0] for row in rows]

    assert (matching("thought"), matching("solution"), matching("statement")) == (ids[:1], ids[1:], [])


def test_hits_name_the_field_and_show_the_place(store: Store) -> None:
    identity = add_chain(store, "Find x", "so " * 100 + "wait here" + " then" * 100, "the answer waits")
    hits, total = search.hits(store.db, "wait")
    assert total == 1
    for nothing in ("", "*", "-wait"):
        with pytest.raises(QueryError):
            search.hits(store.db, nothing)
    assert {(hit.trace_id, hit.field) for hit in hits} == {(identity, "thought"), (identity, "solution")}
    assert all("wait" in hit.snippet and len(hit.snippet) < 140 for hit in hits)


def test_filters_sorts_and_pages(store: Store) -> None:
    ids = [add_chain(store, f"p{i}", "x" * i, model=f"Sky-T1-{i % 2}") for i in range(10)]
    traces.set_measures(
        store.db,
        [
            Measured(one, i == 3, {"reflect": i}, "42", "correct" if i % 2 else "incorrect", "", "1")
            for i, one in enumerate(ids)
        ],
    )
    assert found(store, "verdict:wrong reflect>=4") == [ids[4], ids[6], ids[8]]
    assert found(store, "teacher:sky-t1-1 sort:-chars")[0] == ids[9]
    assert found(store, "looping:yes") == [ids[3]]
    assert found(store, "-verdict:right chars<23") == [ids[i] for i in (0, 2, 4)]
    query = TraceQuery.parse("sort:-reflect")
    assert [row.id for row in traces.page(store.db, query, limit=3, offset=2)] == [ids[7], ids[6], ids[5]]
    assert traces.position(store.db, query, ids[5]) == 4
    assert traces.counts(store.db, query, "verdict") == {"correct": 5, "incorrect": 5}


@pytest.mark.parametrize(
    "text", ["verdict:maybe", "chars>=long", "sort:colour", "looping:perhaps", "verdict>3", "*", '"', "- $^", "a:* *"]
)
def test_a_filter_that_means_nothing_says_what_does(text: str) -> None:
    with pytest.raises(QueryError) as caught:
        TraceQuery.parse(text)
    assert caught.value.hint


@cache
def _empty() -> Database:
    """A database without rows, made once: the migrations take longer than an example may."""
    db = Database(sqlite3.connect(":memory:"))
    migrations.apply(db)
    return db


@given(st.text())
def test_no_filter_text_breaks_the_database(text: str) -> None:
    db = _empty()
    try:
        query = TraceQuery.parse(text)
    except QueryError:
        return
    assert traces.page(db, query) == []


def test_words_that_must_not_occur_narrow_a_filter_by_themselves(store: Store) -> None:
    with_it, without = add_chain(store, "a", "wait here"), add_chain(store, "b", "go on")
    assert found(store, "-wait") == [without]
    assert found(store, "-on") == [with_it]
    assert found(store, "-wait -on") == []


def test_numbers_of_a_filter_keep_their_digits() -> None:
    assert [one.values for one in TraceQuery.parse("chars>1234567 chars<1.5k rating=2").conditions] == [
        ("1234567",),
        ("1500",),
        ("2",),
    ]
