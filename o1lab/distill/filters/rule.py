"""Rules: a rule has a name, a version, and a function that returns a reason to exclude a problem, or None.

A rule is a function in one module, registered with :func:`rule` if it needs only the problem, or with :func:`pool_rule`
if it compares the problem with the rest of the pool or with benchmarks. Other packages add rules through the entry
point group ``o1lab.rules``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from o1lab.registry import DEFAULT_ORDER, Registry
from store.records import Problem

QUOTED = 60
T = TypeVar("T")


class Finding(NamedTuple):
    """Why a problem should be excluded; ``twin`` is the id of a similar problem, if that is the reason."""

    reason: str
    twin: str | None = None


Check = Callable[[Problem], Finding | None]
Fetch = Callable[[Sequence[str]], Iterable[Problem]]


class Pool(Protocol):
    """What a rule over the pool can read. Both iterables are streamed and can be read once."""

    def problems(self) -> Iterable[Problem]:
        """Return every problem of the pool, in the order of import."""
        ...

    def benchmarks(self) -> Iterable[tuple[Problem, str]]:
        """Return the benchmark problems, each with the name of its benchmark."""
        ...

    def fetch(self, ids: Sequence[str]) -> Iterable[Problem]:
        """Return the problems with these ids; may be called any number of times."""
        ...


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that needs only the problem itself.

    Attributes:
        name: the name for ``--rules`` and ``excluded_by``.
        version: increased whenever the findings change; it is stored with each finding.
        about: what the rule excludes, in a sentence.
        reason: returns the reason to exclude a problem, or None.
    """

    name: str
    version: int
    about: str
    reason: Callable[[Problem], str | None]

    def check(self, problem: Problem) -> Finding | None:
        """Return the rule's finding on a problem, or None."""
        found = self.reason(problem)
        return Finding(found) if found is not None else None


@dataclass(frozen=True, slots=True)
class PoolRule:
    """A rule that first reads the pool or the benchmarks: ``over`` does so and returns the check for one problem."""

    name: str
    version: int
    about: str
    over: Callable[[Pool], Check]


AnyRule = Rule | PoolRule
RULES: Registry[AnyRule] = Registry("rule", "o1lab.rules", "o1lab.distill.filters")

Reason = Callable[[Problem], str | None]
Over = Callable[[Pool], Check]


def rule(name: str, *, version: int, about: str, order: int = DEFAULT_ORDER) -> Callable[[Reason], Reason]:
    """Register a function that returns the reason to exclude a problem, or None.

    Args:
        name: the name for ``--rules``.
        version: increase it whenever the findings change.
        about: what the rule excludes, in a sentence.
        order: its position in lists.
    """

    def decorate(reason: Reason) -> Reason:
        RULES.add(name, Rule(name, version, about, reason), module=reason.__module__, order=order)
        return reason

    return decorate


def pool_rule(name: str, *, version: int, about: str, order: int = DEFAULT_ORDER) -> Callable[[Over], Over]:
    """Register a function that reads the pool once and returns the check for one problem. Arguments as :func:`rule`."""

    def decorate(over: Over) -> Over:
        RULES.add(name, PoolRule(name, version, about, over), module=over.__module__, order=order)
        return over

    return decorate


def quoted(words: str) -> str:
    """Return the words in quotes, on one line of limited length, to quote them in a reason."""
    line = " ".join(words[: 2 * QUOTED].split())
    return f'"{line if len(line) <= QUOTED else line[: QUOTED - 1] + "…"}"'


def named(problem: Problem) -> str:
    """Return the name of another problem in a reason: its source and key."""
    return f"{problem.source} {problem.key}".strip() or problem.id
