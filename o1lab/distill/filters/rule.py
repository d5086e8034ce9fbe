"""What a rule is: a name, a version, and a look at a problem that may find a reason to leave it out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from store.records import Problem

QUOTED = 60


class Finding(NamedTuple):
    """Why a problem should not be used; ``twin`` is the id of the problem it resembles, where that is the reason."""

    reason: str
    twin: str | None = None


Check = Callable[[Problem], Finding | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that needs nothing but the problem itself.

    Attributes:
        name: what ``--rules`` takes and ``excluded_by`` shows.
        version: raised whenever the rule comes to other findings; it is kept with each of them.
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


def quoted(words: str) -> str:
    """The words a reason points at, on one line and not too long."""
    line = " ".join(words[: 2 * QUOTED].split())
    return f'"{line if len(line) <= QUOTED else line[: QUOTED - 1] + "…"}"'


def named(problem: Problem) -> str:
    """How a reason speaks of another problem: its source and its key there."""
    return f"{problem.source} {problem.key}".strip() or problem.id
