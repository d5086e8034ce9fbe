"""Rule ``contaminated``: the problem is a benchmark problem, or similar to one.

Similar means: the same words after normalisation, a shared run of eight words, or at least 95 % of the characters the
same (rapidfuzz's ratio, the normalised indel similarity). Below eight words only the first applies. For a shared run,
the numbers of one problem must be a subset of the other's; for the character ratio they must be equal. So a family of
problems that differ in their numbers does not contaminate itself. A run that several benchmark problems share is
phrasing, not content.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from rapidfuzz import fuzz

from o1lab.distill.filters.rule import Check, Finding, Pool, named, pool_rule, quoted
from o1lab.distill.filters.words import Words, words_of
from store.records import Problem

RUN = 8
ALIKE = 95.0
PHRASING = 3  # a run in this many benchmark problems is phrasing


class _Tested(NamedTuple):
    """The parts of a benchmark problem that are compared."""

    id: str
    name: str
    compact: str
    numbers: frozenset[str]


@dataclass
class Benchmarks:
    """An index over the benchmark problems. Its memory use does not depend on the size of the pool."""

    _tested: list[_Tested] = field(default_factory=list)
    _ids: dict[str, str] = field(default_factory=dict)
    _exact: dict[str, int] = field(default_factory=dict)
    _runs: dict[int, int] = field(default_factory=dict)  # hash of a run -> index of its problem, or -1 for phrasing
    _times: Counter[int] = field(default_factory=Counter)
    _alike: dict[tuple[str, ...], list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, problems: Iterable[tuple[Problem, str]]) -> Benchmarks:
        """Build the index from pairs of a problem and the name of its benchmark."""
        index = cls()
        for problem, benchmark in problems:
            index._add(problem, benchmark)
        for run, times in index._times.items():
            if times >= PHRASING:
                index._runs[run] = -1
        index._times.clear()
        return index

    def __len__(self) -> int:
        return len(self._tested)

    def _add(self, problem: Problem, benchmark: str) -> None:
        statement = words_of(problem)
        at = len(self._tested)
        name = named(problem)
        self._ids[problem.id] = benchmark
        self._tested.append(_Tested(problem.id, name, statement.compact, frozenset(statement.numbers)))
        if statement.words:
            self._exact.setdefault(statement.compact, at)
        if len(statement.words) >= RUN:
            for run in {hash(run) for run in statement.runs(RUN)}:
                self._runs.setdefault(run, at)
                self._times[run] += 1
            self._alike.setdefault(statement.numbers, []).append(at)

    def check(self, problem: Problem) -> Finding | None:
        """Return how the problem is contaminated, or None."""
        if benchmark := self._ids.get(problem.id):
            return Finding(f"is itself of the benchmark {benchmark}")
        statement = words_of(problem)
        if (at := self._exact.get(statement.compact)) is not None and statement.words:
            return self._finding(at, "is, white space and marks aside, {name}")
        if len(statement.words) < RUN:
            return None
        return self._shared_run(statement) or self._similar(statement)

    def _shared_run(self, statement: Words) -> Finding | None:
        numbers = frozenset(statement.numbers)
        shared: Counter[int] = Counter()
        first: dict[int, str] = {}
        for run in statement.runs(RUN):
            at = self._runs.get(hash(run), -1)
            if at >= 0:
                shared[at] += 1
                first.setdefault(at, run)
        for at, times in shared.most_common():
            tested = self._tested[at]
            if tested.numbers <= numbers or numbers <= tested.numbers:
                runs = "a run" if times == 1 else f"{times} runs"
                return self._finding(at, f"shares {runs} of {RUN} words with {{name}}: {quoted(first[at])}")
        return None

    def _similar(self, statement: Words) -> Finding | None:
        for at in self._alike.get(statement.numbers, ()):
            score = fuzz.ratio(statement.compact, self._tested[at].compact, score_cutoff=ALIKE)
            if score:
                return self._finding(at, f"is {score:.0f} % the same text as {{name}}")
        return None

    def _finding(self, at: int, reason: str) -> Finding:
        tested = self._tested[at]
        return Finding(reason.replace("{name}", tested.name), tested.id)


@pool_rule(
    "contaminated",
    version=1,
    order=80,
    about=f"is a benchmark problem or similar to one: the same text, a shared run of {RUN} words, or {ALIKE:.0f} % of "
    "the characters",
)
def contaminated(pool: Pool) -> Check:
    """Index the benchmarks. Their own problems are contaminated too, so that none is trained on."""
    return Benchmarks.of(pool.benchmarks()).check
