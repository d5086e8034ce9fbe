"""Run rules over a lab's pool. Problems are streamed, one transaction per batch; only the indexes use memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from o1lab.distill.filters.rule import RULES, AnyRule, Check, Rule
from o1lab.errors import UsageError
from store import exclusions, problems
from store.batches import batched
from store.exclusions import Exclusion, RuleRun
from store.filters import ProblemQuery
from store.records import Problem, now
from store.sqlite import Database

BATCH = 500

T = TypeVar("T")
Progress = Callable[[str, int, int], None]
"""Called with the name of the step, the number of processed problems, and their total number."""


@dataclass(frozen=True, slots=True)
class RuleCount:
    """The number of findings of one rule in this run."""

    name: str
    version: int
    excluded: int


@dataclass(frozen=True, slots=True)
class FilterReport:
    """The result of a run.

    Attributes:
        kept: number of problems that are kept, taking other rules and rulings by hand into account.
        excluded: the same for excluded problems.
        tested: number of benchmark problems that were compared with; None if no rule read them.
    """

    total: int
    kept: int
    excluded: int
    rules: tuple[RuleCount, ...]
    dry_run: bool
    tested: int | None = None


def chosen_rules(names: Iterable[str] | None = None) -> list[AnyRule]:
    """Return the rules with these names in the order of the registry; all of them for None.

    Raises:
        UsageError: a rule does not exist, or no rule is named.
    """
    if names is None:
        return list(RULES.all().values())
    wanted = {name.strip() for name in names if name.strip()}
    if not wanted:
        known = ", ".join(RULES.names())
        raise UsageError("No rule is named.", f"Name some of {known}, or leave out --rules to use all.")
    chosen = {name: RULES.get(name) for name in sorted(wanted)}
    return [chosen[name] for name in RULES.names() if name in chosen]


def filter_pool(
    db: Database,
    rules: Sequence[AnyRule],
    query: ProblemQuery,
    *,
    benchmarks: Collection[str],
    dry_run: bool = False,
    progress: Progress | None = None,
) -> FilterReport:
    """Check the problems of ``query`` with these rules and record the findings.

    Duplicates are searched in the whole pool, but only recorded for the problems of the query.

    Args:
        db: the lab's database.
        rules: the rules to run.
        query: selects the problems to check.
        benchmarks: the sources whose problems, and problems similar to them, are contaminated.
        dry_run: count findings without recording them.
        progress: called after each batch.
    """
    tell = progress or (lambda _what, _done, _of: None)
    pool = _Pool(db, benchmarks, tell)
    checks = [(rule, rule.check if isinstance(rule, Rule) else rule.over(pool)) for rule in rules]
    names = [rule.name for rule in rules]
    total = problems.count(db, query)
    found: Counter[str] = Counter()
    looked = left_out = 0
    for batch in batched(problems.select(db, query, batch=BATCH), BATCH):
        findings = [finding for problem in batch for finding in _findings(problem, checks)]
        hit = {finding.problem_id for finding in findings}
        found.update(finding.rule for finding in findings)
        standing = exclusions.standing(db, (problem.id for problem in batch), apart_from=names)
        left_out += sum(
            one.ruling == "exclude" or (one.ruling != "keep" and (one.other_rules or identity in hit))
            for identity, one in standing.items()
        )
        if not dry_run:
            exclusions.record(db, [problem.id for problem in batch], names, findings)
        looked += len(batch)
        tell("checking problems", looked, total)
    if not dry_run:
        at = now()
        exclusions.record_runs(db, [RuleRun(rule.name, rule.version, looked, found[rule.name], at) for rule in rules])
    counts = tuple(RuleCount(rule.name, rule.version, found[rule.name]) for rule in rules)
    return FilterReport(looked, looked - left_out, left_out, counts, dry_run, pool.tested)


def _findings(problem: Problem, checks: Sequence[tuple[AnyRule, Check]]) -> Iterator[Exclusion]:
    for rule, check in checks:
        if (finding := check(problem)) is not None:
            yield Exclusion(problem.id, rule.name, rule.version, finding.reason, finding.twin)


class _Pool:
    """The pool as rules read it. ``tested`` is the number of benchmark problems; None if no rule read them."""

    def __init__(self, db: Database, benchmarks: Collection[str], tell: Progress) -> None:
        self._db = db
        self._benchmarks = benchmarks
        self._tell = tell
        self.tested: int | None = None

    def problems(self) -> Iterator[Problem]:
        everything = ProblemQuery()
        size = problems.count(self._db, everything)
        return _with_progress(problems.select(self._db, everything, batch=BATCH), "reading the pool", size, self._tell)

    def benchmarks(self) -> Iterator[tuple[Problem, str]]:
        tested = problems.of_sources(self._db, self._benchmarks)
        self.tested = len(tested)
        return _with_progress(_tested(self._db, tested), "reading the benchmarks", len(tested), self._tell)

    def fetch(self, ids: Sequence[str]) -> Iterable[Problem]:
        return problems.several(self._db, ids)


def _tested(db: Database, tested: Iterable[tuple[str, str, str]]) -> Iterator[tuple[Problem, str]]:
    """Yield the benchmark problems with their source and key in the benchmark."""
    for some in batched(tested, BATCH):
        origins = {identity: (source, key) for identity, source, key in some}
        for problem in problems.several(db, origins):
            source, key = origins[problem.id]
            yield replace(problem, source=source, key=key), source


def _with_progress(items: Iterable[T], what: str, size: int, tell: Progress) -> Iterator[T]:
    """Yield the items and report progress after each batch."""
    for done, item in enumerate(items, 1):
        yield item
        if done % BATCH == 0 or done == size:
            tell(what, done, size)
