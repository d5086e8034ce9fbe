"""The figures of the chosen student: formulas, filters, orders, and labs that were scored before they were kept."""

from __future__ import annotations

import json
import random
import zlib
from pathlib import Path

import pytest

from store import Store, open_store, problems, suitability, token_scores, traces
from store.filters import TraceQuery
from store.filters.traces import OF_STUDENT
from store.records import NewProblem, NewTrace
from store.schema.migrations import migrations
from store.suitability import Suitability, mean_loss, rank_surprisal_ratio
from store.token_scores import TokenScores

NUMBER = 40


def scores(trace_id: str, model: str, losses: list[float], ranks: list[int]) -> TokenScores:
    tokens = {
        "part": ["mark", *["thought"] * len(losses)], "start": [0] * (len(losses) + 1), "end": [1] * (len(losses) + 1),
        "text": ["x"] * (len(losses) + 1), "logprob": [-50.0, *(-one for one in losses)], "rank": [900, *ranks],
        "entropy": [None] * (len(losses) + 1), "top": [[]] * (len(losses) + 1),
    }  # fmt: skip
    parts = {"thought": (len(losses), sum(losses) / len(losses)), "mark": (1, 50.0)}
    return TokenScores(trace_id, model, f"name of {model}", parts, tokens)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Traces of which every third is not scored, by two students."""
    store = open_store(tmp_path_factory.mktemp("lab") / "lab.db")
    chance = random.Random(1)
    for number in range(NUMBER):
        problem = NewProblem(f"Problem {number // 2}?", "test")
        trace = NewTrace(problem.id, "m", f"thought {number}", (0, 7), (7, 9), True, "r1", "test")
        with store.db.atomic():
            problems.add(store.db, [problem])
            traces.add(store.db, [(trace, problem.statement)])
        if number % 3:
            for model, scale in (("a", 1.0), ("b", 10.0)):
                loss = scale * chance.choice([0.5, 1.0, 1.5, 2.0])
                token_scores.add(store.db, [scores(trace.id, model, [loss, loss], [chance.randint(1, 9), 1])])
            if number % 2:
                suitability.set_local(store.db, trace.id, "a", chance.random())
    rates = {row.problem_id: (chance.randint(0, 4), 4) for row in traces.page(store.db, TraceQuery.parse(""), limit=9)}
    suitability.set_pass_rates(store.db, "a", rates)
    return store


def test_the_rank_surprisal_ratio_is_the_mean_rank_over_the_mean_surprisal() -> None:
    one = scores("t", "a", [0.5, 1.5, 2.0], [1, 4, 1000])
    assert rank_surprisal_ratio(one.tokens) == pytest.approx((1 + 4 + suitability.RANK_LIMIT) / 4.0)
    assert rank_surprisal_ratio(scores("t", "a", [0.0, 0.0], [1, 1]).tokens) is None, "nothing surprises the student"
    assert rank_surprisal_ratio(one.tokens | {"rank": [1, 1, None, 1]}) is None


def test_the_mean_loss_counts_tokens_of_thought_and_solution_and_no_marks() -> None:
    assert mean_loss({"thought": (3, 1.0), "solution": (1, 5.0), "mark": (9, 9.0)}) == pytest.approx(2.0)
    assert mean_loss({"mark": (9, 9.0)}) is None


def test_without_a_chosen_student_nothing_has_figures(tmp_path: Path) -> None:
    with_none = open_store(tmp_path / "lab.db")
    assert suitability.chosen(with_none.db) is None
    assert traces.count(with_none.db, TraceQuery.parse("nll>=0")) == 0
    with_none.close()


def test_the_figures_are_those_of_the_chosen_student(store: Store) -> None:
    suitability.choose(store.db, "a", "7a1b/100")
    first = traces.ids(store.db, TraceQuery.parse("nll<=2"))
    suitability.choose(store.db, "b", "7a1b/200")
    assert suitability.chosen(store.db) == suitability.Student("b", "7a1b/200")
    assert traces.ids(store.db, TraceQuery.parse("nll<=2")) == [] and len(first) == NUMBER * 2 // 3
    assert traces.count(store.db, TraceQuery.parse("pass-rate>=0")) == 0, "this one was not asked"
    assert {one.model for one in suitability.students(store.db)} == {"a", "b"}


@pytest.mark.parametrize("name", OF_STUDENT)
@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("text", ["", "thought", "rsr>=1"])
def test_unknown_traces_come_last_in_both_orders_and_all_ways_to_list_agree(
    store: Store, name: str, sign: str, text: str
) -> None:
    suitability.choose(store.db, "a", "x")
    query = TraceQuery.parse(f"{text} sort:{sign}{name}")
    order = traces.ids(store.db, query)
    known = suitability.of_traces(store.db, order, "a")
    values = [getattr(known.get(one, Suitability()), name.replace("-", "_")) for one in order]
    given = [one for one in values if one is not None]
    assert given and values == sorted(given, reverse=bool(sign)) + [None] * (len(values) - len(given))
    paged = [row.id for offset in range(0, NUMBER, 7) for row in traces.page(store.db, query, limit=7, offset=offset)]
    assert paged == order == [row.id for row in traces.select(store.db, query, batch=5)]
    assert [traces.position(store.db, query, one) for one in order] == list(range(len(order)))


def test_the_pool_of_a_selection_has_the_figures_and_lacks_their_limits(store: Store) -> None:
    suitability.choose(store.db, "a", "x")
    query = TraceQuery.parse("model:m nll<1 sort:local-nll")
    assert query.of_student and not TraceQuery.parse("model:m").of_student
    pool = query.without_student()
    assert [one.field for one in pool.conditions] == ["model", "nll", "local-nll"] and pool.sort == "added"
    assert traces.ids(store.db, pool) == traces.ids(store.db, TraceQuery.parse("local-nll>=0"))


def test_scoring_again_keeps_the_loss_of_sentences(store: Store) -> None:
    [row] = traces.page(store.db, TraceQuery.parse("local-nll>=0"), limit=1)
    before = suitability.of_traces(store.db, [row.id], "a")[row.id]
    token_scores.add(store.db, [scores(row.id, "a", [4.0], [2])])
    after = suitability.of_traces(store.db, [row.id], "a")[row.id]
    assert (after.nll, after.rsr, after.tokens) == (4.0, 0.5, (1, 0)) and after.local_nll == before.local_nll
    assert suitability.without_local(store.db, [row.id], "a") == []
    assert suitability.without_local(store.db, [row.id], "b") == [row.id]


def test_traces_that_were_scored_before_get_their_figures(store: Store) -> None:
    everything = "SELECT model, seq, nll, rsr FROM token_scores ORDER BY id"
    before = store.db.execute(everything).fetchall()
    store.db.conn.execute("UPDATE token_scores SET nll = NULL, rsr = NULL")
    migrations.steps["0022_suitability_of_scored"](store.db)
    assert store.db.execute(everything).fetchall() == before and json.dumps(before).count("null") == 0


@pytest.mark.parametrize(
    ("losses", "tokens"),
    [("{}", b"damaged"), ("{}", zlib.compress(b"{}")), ("{}", zlib.compress(b"[")), ("[1", zlib.compress(b"[]"))],
    ids=["not compressed", "no figures", "no JSON", "no losses"],
)
def test_damaged_scores_do_not_keep_a_lab_from_opening(store: Store, losses: str, tokens: bytes) -> None:
    everything = "SELECT id, nll, rsr FROM token_scores ORDER BY id"
    store.db.conn.commit()
    (first, *_), *others = store.db.execute(everything).fetchall()
    try:
        store.db.conn.execute("UPDATE token_scores SET nll = NULL, rsr = NULL")
        store.db.conn.execute("UPDATE token_scores SET losses = ?, tokens = ? WHERE id = ?", (losses, tokens, first))
        migrations.steps["0022_suitability_of_scored"](store.db)
        assert store.db.execute(everything).fetchall() == [(first, None, None), *others]
    finally:
        store.db.conn.rollback()
