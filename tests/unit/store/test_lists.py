"""The list of traces: every way of asking for the same traces agrees, and each order has its index."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path

import pytest

from store import Store, decisions, open_store, problems, traces
from store import annotations as annotation_log
from store.filters import TraceQuery
from store.filters.traces import SORTS
from store.policy import POLICIES
from store.records import Measured, NewProblem, NewTrace

NUMBER = 120
FILTERS = [
    "", "verdict:wrong", "-verdict:wrong", "decision:none", "reflect>=3", "verdict:none",
    "wait", "wait verdict:wrong", "rare7", "wait -hmm", "-hmm", "nowhere", '"let us" reflect>=2 decision:none',
]  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Traces of every kind: some not measured, some decided, some rated, words in half of them."""
    store = open_store(tmp_path_factory.mktemp("lab") / "lab.db", annotator="a")
    chance = random.Random(3)
    for number in range(NUMBER):
        problem = NewProblem(f"Problem {number // 4}?", "test", answer="7")
        words = [chance.choice(["wait", "so"]), chance.choice(["hmm", "let us"]), f"rare{number}"] * chance.randint(
            1, 9
        )
        raw = f"<think>{' '.join(words)}</think>{number}"
        end = raw.index("</think>")
        trace = NewTrace(problem.id, f"m{number % 3}", raw, (7, end), (end + 8, len(raw)), True, "r1", "test")
        with store.db.atomic():
            problems.add(store.db, [problem])
            traces.add(store.db, [(trace, problem.statement)])
        if chance.random() < 0.8:
            moves = {"reflect": chance.randrange(5), "plan": chance.randrange(2)}
            verdict = chance.choice(["correct", "incorrect", "unverifiable"])
            traces.set_measures(
                store.db, [Measured(trace.id, False, moves, "7", verdict, "", "test", chance.choice([None, number]))]
            )
        if chance.random() < 0.4:
            annotation_log.annotate(store.db, trace.id, "decision", chance.choice(["accept", "reject"]), annotator="a")
        if chance.random() < 0.3:
            annotation_log.annotate(store.db, trace.id, "rating", str(chance.randint(1, 5)), annotator="a")
    return store


ORDERS = [sign + name for name in SORTS for sign in ("", "-")]
WAYS = [  # by default, each filter with a quarter of the orders, each order with a quarter of the filters
    pytest.param(text, order, many, marks=pytest.mark.exhaustive if (row + column + step) % 4 else ())
    for step, many in enumerate((1, traces._MANY))
    for row, text in enumerate(FILTERS)
    for column, order in enumerate(ORDERS)
]


@pytest.mark.parametrize(("text", "order", "many"), WAYS)
def test_pages_places_and_the_next_one_agree_with_the_plain_condition(
    store: Store, text: str, order: str, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "_MANY", many)
    db, query = store.db, TraceQuery.parse(f"{text} sort:{order}")
    condition, parameters = query.where()
    plain = f"SELECT t.id, t.decision FROM traces t WHERE {condition} ORDER BY {query.order}"  # noqa: S608 our own words
    rows = db.execute(plain, parameters).fetchall()
    expected, undecided = [row[0] for row in rows], {row[0] for row in rows if row[1] is None}
    assert traces.ids(db, query) == expected
    assert traces.count(db, query) == len(expected)
    paged = [row.id for offset in range(0, NUMBER, 17) for row in traces.page(db, query, limit=17, offset=offset)]
    assert paged == expected
    assert [row.id for row in traces.select(db, query, batch=7)] == expected
    assert sorted(traces.random_ids(db, query, NUMBER)) == sorted(expected)
    for place, identity in list(enumerate(expected))[:: max(len(expected) // 5, 1)]:
        assert traces.position(db, query, identity) == place
        round_trip = [one for one in expected[place + 1 :] + expected[:place] if one in undecided]
        assert traces.next_undecided(db, query, identity) == (round_trip[0] if round_trip else None)
    outside = {row.id for row in traces.page(db, TraceQuery.parse(""), limit=NUMBER)} - set(expected)
    assert all(traces.position(db, query, identity) is None for identity in sorted(outside)[:3])


@pytest.mark.parametrize("text", FILTERS)
def test_counts_and_progress_agree_with_the_rows(store: Store, text: str) -> None:
    db, query = store.db, TraceQuery.parse(text)
    rows = list(traces.select(db, query))
    assert traces.counts(db, query, "decision") == Counter(row.decision or "" for row in rows)
    assert traces.counts(db, query, "verdict") == Counter(row.verdict or "" for row in rows)
    progress = annotation_log.progress(db, query, annotator="a")
    decided = [row for row in rows if row.decision]
    assert (progress.total, progress.decided, progress.today) == (len(rows), len(decided), len(decided))
    assert progress.by_decision == Counter(row.decision or "none" for row in rows)
    assert annotation_log.progress(db, query, annotator="b").today == 0


@pytest.mark.parametrize("text", FILTERS)
@pytest.mark.parametrize("most", [1, 7, NUMBER + 1])
def test_what_is_counted_at_once_is_the_number_or_a_lower_bound(store: Store, text: str, most: int) -> None:
    db, query = store.db, TraceQuery.parse(text)
    whole = traces.count(db, query)
    assert traces.count(db, query, at_most=most) == min(whole, most)
    exact = annotation_log.progress(db, query, annotator="a")
    progress = annotation_log.progress(db, query, annotator="a", at_most=most)
    assert exact.exact
    assert progress.exact is (whole < most)
    assert progress.total == min(whole, most)
    assert progress.decided <= exact.decided
    assert all(number <= exact.by_decision[decision] for decision, number in progress.by_decision.items())
    assert progress == exact or not progress.exact


@pytest.mark.parametrize("column", ["model", "source", "synthesis"])
def test_values_are_those_of_the_rows_in_order(store: Store, column: str) -> None:
    names = [("b", "", "x"), ("b", "s", "x"), ("a", "s", "y"), ("", "t", "x"), ("é", "t", "z")]
    with store.db.atomic():
        for number, (model, source, synthesis) in enumerate(names):
            problem = NewProblem(f"Another {number}?", "test")
            problems.add(store.db, [problem])
            raw = f"chain {number}"
            trace = NewTrace(
                problem.id, model, raw, (0, 5), (5, len(raw)), True, "x", source, f"o:{number}", synthesis=synthesis
            )
            traces.add(store.db, [(trace, problem.statement)])
    expected = sorted(traces.counts(store.db, TraceQuery.parse(""), column))
    assert len(expected) > 2
    assert traces.values(store.db, column) == expected


@pytest.mark.parametrize("order", ORDERS)
def test_no_order_of_the_list_sorts_more_than_the_page(tmp_path: Path, order: str) -> None:
    store = open_store(tmp_path / "lab.db")
    asked: list[str] = []
    store.db.conn.set_trace_callback(asked.append)
    traces.page(store.db, TraceQuery.parse(f"sort:{order}"), limit=100, offset=50_000)
    store.db.conn.set_trace_callback(None)
    found = re.search(r"IN \((SELECT .* OFFSET \d+)\)", asked[-1])
    assert found is not None
    plan = [row[3] for row in store.db.execute(f"EXPLAIN QUERY PLAN {found[1]}")]
    assert not any("TEMP B-TREE" in step for step in plan), plan
    store.close()


@pytest.mark.parametrize("text", ["", "verdict:wrong", "sort:-reflect"])
def test_the_next_to_decide_looks_up_ones_own_decisions_in_their_index(tmp_path: Path, text: str) -> None:
    store = open_store(tmp_path / "lab.db")
    asked: list[str] = []
    store.db.conn.set_trace_callback(asked.append)
    traces.next_undecided(store.db, TraceQuery.parse(text), "none")
    store.db.conn.set_trace_callback(None)
    plan = [row[3] for row in store.db.execute(f"EXPLAIN QUERY PLAN {asked[-1]}")]
    assert any("SEARCH o USING PRIMARY KEY (seq=? AND annotator=?)" in step for step in plan), plan
    store.close()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("text", ["decision:accept", "decision:none", "mine:accept", "mine:none", "sort:decision"])
def test_under_every_policy_no_list_walks_through_the_decisions_of_others(
    tmp_path: Path, policy: str, text: str
) -> None:
    store = open_store(tmp_path / "lab.db")
    decisions.use_policy(store.db, policy)
    asked: list[str] = []
    store.db.conn.set_trace_callback(asked.append)
    query = TraceQuery.parse(text)
    traces.page(store.db, query)
    traces.count(store.db, query, at_most=traces.AT_ONCE)
    annotation_log.progress(store.db, query, annotator="a", own=True)
    store.db.conn.set_trace_callback(None)
    plans = [row[3] for sql in asked for row in store.db.conn.execute(f"EXPLAIN QUERY PLAN {sql}")]
    own = [step for step in plans if " o " in f"{step} "]
    assert own and all(step.startswith("SEARCH o USING PRIMARY KEY (seq=? AND annotator=?)") for step in own), plans
    store.close()


COVERED = [
    "verdict:wrong", "looping:yes", "reflect>=3", "verdict:wrong decision:none reflect>=3", "decision:none verify>=2",
    "key:777", "source:bench", "licence:mit", "looping:no complete:yes", "model:m1",
]  # fmt: skip


@pytest.mark.parametrize("text", COVERED)
def test_filters_are_counted_in_an_index_that_has_their_columns(tmp_path: Path, text: str) -> None:
    """A million rows of the table take 150 ms to read, of a covering index a third."""
    store = open_store(tmp_path / "lab.db")
    asked: list[str] = []
    store.db.conn.set_trace_callback(asked.append)
    traces.count(store.db, TraceQuery.parse(text))
    store.db.conn.set_trace_callback(None)
    plan = [row[3] for row in store.db.execute(f"EXPLAIN QUERY PLAN {asked[-1]}")]
    assert any("COVERING INDEX" in step for step in plan), plan
    store.close()


def test_pages_of_all_traces_are_found_by_number_and_gaps_do_not_matter(tmp_path: Path) -> None:
    store = open_store(tmp_path / "lab.db")
    with store.db.atomic():
        for number in range(30):
            problem = NewProblem(f"Problem {number}?", "test")
            problems.add(store.db, [problem])
            trace = NewTrace(problem.id, "m", str(number), (0, 0), (0, 1), True, "plain", "test")
            traces.add(store.db, [(trace, problem.statement)])
    asked: list[str] = []
    store.db.conn.set_trace_callback(asked.append)
    for text in ("", "sort:-added"):
        query = TraceQuery.parse(text)
        expected = traces.ids(store.db, query)
        asked.clear()
        assert [row.id for row in traces.page(store.db, query, limit=10, offset=25)] == expected[25:]
        assert not any("OFFSET" in one for one in asked)
        assert traces.page(store.db, query, limit=10, offset=40) == []
    with store.db.atomic():
        store.db.conn.execute("DELETE FROM trace_texts WHERE seq = 7")
        store.db.conn.execute("DELETE FROM traces WHERE seq = 7")
    for text in ("", "sort:-added"):
        query = TraceQuery.parse(text)
        expected = traces.ids(store.db, query)
        paged = [row.id for at in range(0, 30, 8) for row in traces.page(store.db, query, limit=8, offset=at)]
        assert paged == expected
    store.close()


def test_the_first_of_many_in_an_order_are_found_in_its_index(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "_MANY", 5)
    asked: list[str] = []
    store.db.conn.set_trace_callback(asked.append)
    traces.page(store.db, TraceQuery.parse("decision:none sort:-chars"), limit=10)
    assert "INDEXED BY traces_chars" in asked[-1]
    traces.page(store.db, TraceQuery.parse("key:none-of-them sort:-chars"), limit=10)
    assert "INDEXED BY" not in asked[-1]
    store.db.conn.set_trace_callback(None)
