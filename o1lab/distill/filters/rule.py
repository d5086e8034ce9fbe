"""What a rule is: a name, a version, and a function that may find a reason to leave a problem out.

A rule is a function in one module, registered with :func:`rule` where the problem alone decides, or with
:func:`pool_rule` where it is compared with the rest of the pool or with benchmarks. Other packages add rules through
the entry point group ``o1lab.rules``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from o1lab.registry import DEFAULT_ORDER, Registry
from store.records import Problem

QUOTED = 60


class Finding(NamedTuple):
    """Why a problem should not be used; ``twin`` is the id of the problem it resembles, where that is the reason."""

    reason: str
    twin: str | None = None


Check = Callable[[Problem], Finding | None]
Fetch = Callable[[Sequence[str]], Iterable[Problem]]


class Pool(Protocol):
    """What a rule over the pool can read, each at most once and streamed."""

    def problems(self) -> Iterable[Problem]:
        """Every problem of the pool, in the order of arrival."""
        ...

    def benchmarks(self) -> Iterable[tuple[Problem, str]]:
        """The problems that students are tested on, each with the name of its benchmark."""
        ...

    def fetch(self, ids: Sequence[str]) -> Iterable[Problem]:
        """The problems of these ids; may be called again and again."""
        ...


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that needs nothing but the problem itself.

    Attributes:
        name: what ``--rules`` takes and ``excluded_by`` shows.
        version: raised whenever the rule's findings change; it is stored with each of them.
        about: what it leaves out, in a sentence.
        reason: the reason to leave a problem out, or None.
    """

    name: str
    version: int
    about: str
    reason: Callable[[Problem], str | None]

    def look(self, problem: Problem) -> Finding | None:
        """The rule's finding on one problem."""
        found = self.reason(problem)
        return Finding(found) if found is not None else None


@dataclass(frozen=True, slots=True)
class PoolRule:
    """A rule that reads the pool or the benchmarks first; ``over`` does so and returns the check of each problem."""

    name: str
    version: int
    about: str
    over: Callable[[Pool], Check]


AnyRule = Rule | PoolRule
RULES: Registry[AnyRule] = Registry("rule", "o1lab.rules", "o1lab.distill.filters")

Reason = Callable[[Problem], str | None]
Over = Callable[[Pool], Check]


def rule(name: str, *, version: int, about: str, order: int = DEFAULT_ORDER) -> Callable[[Reason], Reason]:
    """Register a function that gives the reason to leave a problem out, or None.

    Args:
        name: what ``--rules`` takes.
        version: raise it whenever the findings change.
        about: what the rule leaves out, in a sentence.
        order: its place in lists.
    """

    def decorate(reason: Reason) -> Reason:
        RULES.add(name, Rule(name, version, about, reason), module=reason.__module__, order=order)
        return reason

    return decorate


def pool_rule(name: str, *, version: int, about: str, order: int = DEFAULT_ORDER) -> Callable[[Over], Over]:
    """Register a function that reads the pool once and returns the check of each problem. Arguments as :func:`rule`."""

    def decorate(over: Over) -> Over:
        RULES.add(name, PoolRule(name, version, about, over), module=over.__module__, order=order)
        return over

    return decorate


def quoted(words: str) -> str:
    """The words a reason points at, on one line and not too long."""
    line = " ".join(words[: 2 * QUOTED].split())
    return f'"{line if len(line) <= QUOTED else line[: QUOTED - 1] + "…"}"'


def named(problem: Problem) -> str:
    """How a reason speaks of another problem: its source and its key there."""
    return f"{problem.source} {problem.key}".strip() or problem.id
