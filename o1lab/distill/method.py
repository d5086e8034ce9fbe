"""What every way to long thoughts has in common: an item goes in, calls are made through ``ask``, a draft comes out.

A method never talks to a server itself. ``ask`` gives it the journalled response of a call where there is one and asks
otherwise, so a conversation that was interrupted goes on where it stopped, whichever engine runs it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from o1lab.chains import parse
from o1lab.inference.calls import Message, Response, Role
from store.records import NewProblem


@dataclass(frozen=True, slots=True)
class SourceItem:
    """What one conversation is about: a problem and, where a trace is worked on (translation), that trace.

    ``raw`` is the trace's text with its marks, ``trace_licence`` the licence it came under; ``licence`` is that of the
    problem. ``translated`` is the statement in the run's language, where the lab has it already.
    """

    problem_id: str
    statement: str
    gold: str | None = None
    solution: str | None = None
    licence: str | None = None
    source: str = ""
    trace_id: str | None = None
    raw: str = ""
    trace_licence: str | None = None
    translated: str = ""

    @property
    def id(self) -> str:
        return self.trace_id or self.problem_id


@dataclass(frozen=True, slots=True)
class Draft:
    """What a conversation came to.

    ``raw`` is the trace's text, thought marks included; empty when there is nothing to keep. ``rejected`` says why a
    draft is not good enough (it is kept and marked so). ``problem`` is given when the trace answers another statement
    than the item's (a translated one). ``messages`` of the last call are in ``meta`` only where they do not follow
    from prompt and item.
    """

    raw: str
    complete: bool
    rejected: str = ""
    problem: NewProblem | None = None
    parent_id: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


class Ask(Protocol):
    """Make one call of this conversation, or give its journalled response. Never raises for what a server does."""

    def __call__(self, turn: int, messages: Sequence[Message], *, role: Role = "teacher") -> Awaitable[Response]: ...


class Planned(NamedTuple):
    """A call that is made once at least and ``most`` times at most, what the model will say left out of it."""

    messages: Sequence[Message]
    most: int = 1
    role: Role = "teacher"


@dataclass(frozen=True, slots=True)
class Plan:
    """The calls of a conversation, as far as they can be known before it.

    Attributes:
        calls: what it asks.
        most_carried: how many earlier answers the messages of all calls together can hold, by who is asked.
    """

    calls: Sequence[Planned]
    most_carried: Mapping[Role, int] = field(default_factory=dict)


class Method(ABC):
    """A way to long thoughts.

    Attributes:
        name: what ``--method`` takes.
        synthesis: what its traces are marked with.
        verified: whether a trace must have the verdict ``correct`` to be kept.
    """

    name: str
    synthesis: str
    verified: bool = False

    @abstractmethod
    async def respond(self, item: SourceItem, sample: int, ask: Ask) -> Draft:
        """Hold the conversation about ``item``."""

    @abstractmethod
    def plan(self, item: SourceItem) -> Plan:
        """What the conversation about ``item`` will ask, for estimates."""


class SingleCall(Method):
    """A method of one call an item and sample: these can also go through the Batch API and a cluster."""

    @abstractmethod
    def messages(self, item: SourceItem) -> list[Message]:
        """What is asked."""

    @abstractmethod
    def draft(self, item: SourceItem, response: Response) -> Draft:
        """What the response comes to."""

    def plan(self, item: SourceItem) -> Plan:
        return Plan([Planned(self.messages(item))])

    async def respond(self, item: SourceItem, sample: int, ask: Ask) -> Draft:
        return self.draft(item, await ask(0, self.messages(item)))


def as_trace(response: Response) -> Draft:
    """The response as it is: thought sent apart gets its marks, all else stays to the letter."""
    raw = parse.join(response.thought, response.answer) if response.thought else response.answer
    whole = response.state == "done" and response.finish_reason not in ("length", "content_filter")
    return Draft(raw, complete=whole)
