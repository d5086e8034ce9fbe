"""What a run works through."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from o1lab.distill.items import count_items, count_unanswered, items
from o1lab.distill.settings import TeacherRunSettings
from store import Store, exclusions, problems, traces
from store.errors import QueryError
from store.filters import TraceQuery
from store.records import NewProblem, NewTrace


def settings(**changes: object) -> TeacherRunSettings:
    return TeacherRunSettings.model_validate({"endpoint": "teacher", **changes})


@pytest.fixture
def pool(store: Store) -> Store:
    """Ten problems; even ones have a solution, the last two no answer, and all but one a trace."""
    with store.db.atomic():
        problems.add(
            store.db,
            [
                NewProblem(
                    f"Problem {n}", "here", answer=None if n >= 8 else str(n), licence="MIT",
                    solution=f"It is {n}." if n % 2 == 0 else None,
                )
                for n in range(10)
            ],
        )  # fmt: skip
        traces.add(store.db, [trace(n, f"<think>{'x' * n}</think>{n}") for n in range(9)])
    return store


def trace(number: int, raw: str, synthesis: str = "distilled") -> tuple[NewTrace, str]:
    statement = f"Problem {number}"
    problem = NewProblem(statement, "here").id
    return NewTrace(problem, "m", raw, (0, 0), (0, 0), True, "r1", "here", licence="CC", synthesis=synthesis), statement


def test_problems_are_items_with_what_a_method_needs(pool: Store) -> None:
    found = list(items(pool, settings()))
    assert [item.statement for item in found] == [f"Problem {n}" for n in range(8)]
    assert (found[2].gold, found[2].solution, found[2].licence, found[2].source) == ("2", "It is 2.", "MIT", "here")
    assert found[2].id == found[2].problem_id == NewProblem("Problem 2", "").id
    assert count_items(pool, settings()) == 8


@pytest.mark.parametrize(
    ("asked", "excluded_too"),
    [("source:here", False), ("", False), ("source:here excluded:contaminated", True), ("-excluded:no", True)],
)
def test_what_the_pool_excludes_is_asked_only_where_it_is_named(pool: Store, asked: str, excluded_too: bool) -> None:
    out = NewProblem("Problem 3", "here").id
    found = exclusions.Exclusion(out, "contaminated", 1, "too near to one of a benchmark", None)
    exclusions.record(pool.db, [out], ["contaminated"], [found])
    statements = [item.statement for item in items(pool, settings(problems=asked))]
    assert ("Problem 3" in statements) is excluded_too
    assert count_items(pool, settings(problems=asked)) == len(statements)
    assert [item.statement for item in items(pool, settings(problems=f"id:{out}"))] == ["Problem 3"]


def test_problems_without_an_answer_are_counted(pool: Store) -> None:
    assert count_unanswered(pool, settings()) == 0
    assert count_unanswered(pool, settings(problems="source:here")) == 2
    assert count_unanswered(pool, settings(problems="source:here", method="reformat")) == 0


@pytest.mark.parametrize(("limit", "number"), [(3, 3), (100, 8)])
def test_the_limit_holds(pool: Store, limit: int, number: int) -> None:
    assert len(list(items(pool, settings(limit=limit)))) == count_items(pool, settings(limit=limit)) == number


def test_only_problems_with_solution_and_answer_are_reformatted(pool: Store) -> None:
    asked = settings(method="reformat", problems="")
    assert [item.statement for item in items(pool, asked)] == [f"Problem {n}" for n in (0, 2, 4, 6)]
    assert count_items(pool, asked) == 4


def test_traces_are_items_of_a_translation_in_the_order_of_their_filter(pool: Store) -> None:
    asked = settings(method="translate", traces="sort:-chars", limit=3)
    found = list(items(pool, asked))
    assert [item.raw for item in found] == [f"<think>{'x' * n}</think>{n}" for n in (8, 7, 6)]
    assert (found[0].trace_licence, found[0].licence, found[0].statement) == ("CC", "MIT", "Problem 8")
    assert found[0].id == found[0].trace_id != found[0].problem_id
    assert count_items(pool, asked) == 3


def test_a_problem_that_is_translated_already_comes_with_its_translation(pool: Store) -> None:
    original = NewProblem("Problem 3", "here").id
    with pool.db.atomic():
        problems.add(
            pool.db, [NewProblem("问题三", "translation/zh", key=original), NewProblem("又", "other", key=original)]
        )
    found = {item.statement: item.translated for item in items(pool, settings(method="translate"))}
    assert found["Problem 3"] == "问题三"
    assert set(found.values()) == {"", "问题三"}
    assert {item.translated for item in items(pool, settings(method="translate", language="en"))} == {""}


def test_a_translation_does_not_feed_on_what_it_makes(pool: Store) -> None:
    asked = settings(method="translate")
    seen = 0
    for item in items(pool, asked):
        seen += 1
        with pool.db.atomic():
            traces.add(pool.db, [trace(int(item.gold or 8), f"translated {seen}", "translated")])
    assert seen == count_items(pool, asked) == 9


def test_a_filter_that_cannot_be_read_is_said_before_the_first_item(pool: Store) -> None:
    with pytest.raises(QueryError):
        items(pool, settings(problems="no:such"))
    with pytest.raises(QueryError):
        count_items(pool, settings(method="translate", traces="no:such"))


@pytest.mark.parametrize("order", ["", "sort:-added", "sort:chars", "sort:-chars", "sort:model", "sort:-problem"])
@pytest.mark.parametrize("batch", [1, 2, 9, 50])
def test_traces_in_batches_are_those_of_one_page(pool: Store, order: str, batch: int) -> None:
    query = TraceQuery.parse(order)
    assert list(traces.select(pool.db, query, batch=batch)) == traces.page(pool.db, query)


def test_items_are_read_a_batch_at_a_time(pool: Store) -> None:
    streamed: Iterator[object] = traces.select(pool.db, TraceQuery.parse(""), batch=2)
    next(streamed)
    with pool.db.atomic():
        traces.add(pool.db, [trace(0, "a newcomer")])
    assert len(list(streamed)) == 9
