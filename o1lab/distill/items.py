"""The items of a teacher run: problems of the pool or, for translation, traces of the lab. Items are streamed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from o1lab.chains.measures import read_text
from o1lab.distill.method import METHODS, SourceItem, translation_source
from o1lab.distill.settings import TeacherRunSettings
from o1lab.ingest.measuring import moves_of
from store import annotations as annotation_log
from store import problems, traces, trees, wrong_steps
from store.connection import Store
from store.errors import NotFoundError
from store.filters import Condition, ProblemQuery, TraceQuery
from store.records import Problem

# A filter without these fields does not select excluded problems, such as those similar to a benchmark's.
_NAMES_EXCLUDED = ("excluded", "id")


def items(store: Store, settings: TeacherRunSettings) -> Iterator[SourceItem]:
    """Yield the items of a run in a fixed order, at most ``settings.limit``.

    A problem filter without ``excluded:`` and ``id:`` does not select excluded problems. Traces have the order of the
    filter (``sort:-reflect``), problems the order of import.

    Raises:
        QueryError: a filter is invalid.
    """
    if _of_lab_traces(settings):
        return _of_traces(store, _trace_query(settings), settings.language, settings.limit)
    if _of_trees(settings):
        return _of_lab_trees(store, _problem_query(settings), settings.limit)
    return _of_problems(store, _problem_query(settings), settings.limit)


def count_items(store: Store, settings: TeacherRunSettings) -> int:
    """Return the number of items that :func:`items` yields.

    Raises:
        QueryError: a filter is invalid.
    """
    if _of_lab_traces(settings):
        number = traces.count(store.db, _trace_query(settings))
    elif _of_trees(settings):
        number = trees.count(store.db, _problem_query(settings))
    else:
        number = problems.count(store.db, _problem_query(settings))
    return number if settings.limit is None else min(number, settings.limit)


def count_unanswered(store: Store, settings: TeacherRunSettings) -> int:
    """Return how many selected problems have no gold answer, so that their samples cannot be verified.

    Raises:
        QueryError: a filter is invalid.
    """
    if _of_lab_traces(settings):
        return 0
    query = _problem_query(settings).narrowed(Condition("has", ("answer",), negated=True))
    return problems.count(store.db, query)


def items_by_id(store: Store, settings: TeacherRunSettings, ids: Iterable[str]) -> Iterator[SourceItem]:
    """Yield these items of a run in this order, without those that the lab no longer has."""
    for identity in ids:
        if _of_lab_traces(settings):
            yield from _of_trace(store, identity, settings.language)
        elif _of_trees(settings):
            yield from _of_tree(store, identity)
        elif (problem := problems.get(store.db, identity)) is not None:
            yield _item(problem)


def _of_lab_traces(settings: TeacherRunSettings) -> bool:
    """Return whether the items are traces of the lab instead of problems of the pool."""
    return METHODS.get(settings.method).source == "traces"


def _of_trees(settings: TeacherRunSettings) -> bool:
    """Return whether the items are search trees of the problems."""
    return METHODS.get(settings.method).source == "trees"


def _problem_query(settings: TeacherRunSettings) -> ProblemQuery:
    query = ProblemQuery.parse(settings.problems)
    more = tuple(Condition("has", (what,)) for what in METHODS.get(settings.method).requires)
    if not query.asks(*_NAMES_EXCLUDED):
        more = (Condition("excluded", ("no",)), *more)
    return query.narrowed(*more)


def _trace_query(settings: TeacherRunSettings) -> TraceQuery:
    passed_over = METHODS.get(settings.method).passes_over
    query = TraceQuery.parse(settings.traces)
    return query.narrowed(Condition("synthesis", passed_over, negated=True)) if passed_over else query


def _of_problems(store: Store, query: ProblemQuery, limit: int | None) -> Iterator[SourceItem]:
    for problem in problems.select(store.db, query, limit=limit):
        yield _item(problem)


def _of_traces(store: Store, query: TraceQuery, language: str, limit: int | None) -> Iterator[SourceItem]:
    for trace in traces.select(store.db, query, limit=limit):
        yield from _of_trace(store, trace.id, language)


def _of_trace(store: Store, identity: str, language: str) -> Iterator[SourceItem]:
    try:
        text, row = traces.text(store.db, identity), traces.get(store.db, identity)
    except NotFoundError:
        return
    problem = problems.get(store.db, row.problem_id)
    if problem is None:  # cannot happen, because of a foreign key
        return
    verdicts = wrong_steps.latest(annotation_log.of_trace(store.db, identity))
    wrong = (verdict.span[0] for verdict in verdicts if verdict.step and verdict.span is not None)
    translation = problems.by_key(store.db, translation_source(language), problem.id)
    translated = translation.statement if translation else ""
    yield replace(
        _item(problem), trace_id=identity, raw=text.raw, trace_licence=row.licence, translated=translated,
        read=read_text(text.thought, text.solution), moves=tuple(moves_of(text)), model=row.model,
        wrong_at=min(wrong, default=None),
    )  # fmt: skip


def _of_lab_trees(store: Store, query: ProblemQuery, limit: int | None) -> Iterator[SourceItem]:
    for tree in trees.page(store.db, query, limit=-1 if limit is None else limit):
        yield from _of_tree(store, tree.id)


def _of_tree(store: Store, identity: str) -> Iterator[SourceItem]:
    try:
        tree = trees.get(store.db, identity)
    except NotFoundError:
        return
    if (problem := problems.get(store.db, tree.problem_id)) is not None:
        text = trees.text(store.db, tree.id)
        yield replace(_item(problem), tree_id=tree.id, tree=text, trace_licence=tree.licence)


def _item(problem: Problem) -> SourceItem:
    return SourceItem(problem.id, problem.statement, problem.answer, problem.solution, problem.licence, problem.source)
