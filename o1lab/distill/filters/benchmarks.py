"""Contaminated: the problem is one that students are tested on, or near one.

Near is: the same words after normalisation; a run of eight words shared; 95 % or more of the characters the same
(rapidfuzz's ratio, the normalised indel similarity). Under eight words only the first counts. Numbers count: what
shares a run must have all its numbers in the benchmark's problem or the other way round, what is merely alike must have
the same numbers, so a family of problems that differ in their numbers does not contaminate itself. A run that several
problems of the benchmarks share is phrasing, not content.
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
PHRASING = 3  # in so many problems of the benchmarks a run is a way of putting things


class _Tested(NamedTuple):
    """A problem of a benchmark, as far as it is compared."""

    id: str
    name: str
    compact: str
    numbers: frozenset[str]


@dataclass
class Benchmarks:
    """An index over the problems of the benchmarks; memory is theirs alone, whatever the pool's size."""

    _tested: list[_Tested] = field(default_factory=list)
    _ids: dict[str, str] = field(default_factory=dict)
    _exact: dict[str, int] = field(default_factory=dict)
    _runs: dict[int, int] = field(default_factory=dict)  # a run's hash: the problem that has it, or -1 for phrasing
    _times: Counter[int] = field(default_factory=Counter)
    _alike: dict[tuple[str, ...], list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, problems: Iterable[tuple[Problem, str]]) -> Benchmarks:
        """The index over (problem, name of its benchmark)."""
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
        said = words_of(problem)
        at = len(self._tested)
        name = named(problem)
        self._ids[problem.id] = benchmark
        self._tested.append(_Tested(problem.id, name, said.compact, frozenset(said.numbers)))
        if said.words:
            self._exact.setdefault(said.compact, at)
        if len(said.words) >= RUN:
            for run in {hash(run) for run in said.runs(RUN)}:
                self._runs.setdefault(run, at)
                self._times[run] += 1
            self._alike.setdefault(said.numbers, []).append(at)

    def look(self, problem: Problem) -> Finding | None:
        """How the problem is contaminated, or None."""
        if benchmark := self._ids.get(problem.id):
            return Finding(f"is itself of the benchmark {benchmark}")
        said = words_of(problem)
        if (at := self._exact.get(said.compact)) is not None and said.words:
            return self._finding(at, "is, white space and marks aside, {name}")
        if len(said.words) < RUN:
            return None
        return self._shared_run(said) or self._nearly(said)

    def _shared_run(self, said: Words) -> Finding | None:
        numbers = frozenset(said.numbers)
        shared: Counter[int] = Counter()
        first: dict[int, str] = {}
        for run in said.runs(RUN):
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

    def _nearly(self, said: Words) -> Finding | None:
        for at in self._alike.get(said.numbers, ()):
            score = fuzz.ratio(said.compact, self._tested[at].compact, score_cutoff=ALIKE)
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
    about=f"is of a benchmark or near one: the same text, a shared run of {RUN} words, or {ALIKE:.0f} % of the "
    "characters",
)
def contaminated(pool: Pool) -> Check:
    """Index the benchmarks. Their own problems are contaminated too: none may be trained on."""
    return Benchmarks.of(pool.benchmarks()).look
