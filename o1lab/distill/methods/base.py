"""What every distillation method has in common: an item goes in, calls are made through ``ask``, a draft comes out.

A method is a class in one module, registered with :func:`method`; ``--method`` takes its name. Other packages add
methods through the entry point group ``o1lab.methods``.

A method never talks to a server itself. ``ask`` returns the journalled response of a call where there is one and makes
the call otherwise, so an interrupted conversation continues where it stopped, whichever engine runs it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeVar

from o1lab.chains import parse
from o1lab.distill.settings import TeacherRunSettings
from o1lab.errors import UsageError
from o1lab.inference.calls import Message, Response, Role
from o1lab.inference.prompts import Prompt
from o1lab.inference.settings import Engine
from o1lab.registry import DEFAULT_ORDER, Registry
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


class Need(NamedTuple):
    """A prompt that a method asks with.

    Attributes:
        default: the name of the prompt unless the run names another.
        slots: what the method can fill in.
        hidden_thoughts: the default for teachers that hide their thoughts, where it is another prompt.
        text: what the user says in the default prompt, for a method that brings no prompt file. A file of that name
            in LAB/prompts is used instead.
    """

    default: str
    slots: frozenset[str]
    hidden_thoughts: str = ""
    text: str = ""


Prompts = Mapping[str, Prompt]
"""The prompts of a method by their role; the first of its needs is the one that ``--prompt`` replaces."""


class Method(ABC):
    """A way to long thoughts.

    Attributes:
        name: what ``--method`` takes; set by :func:`method`.
        synthesis: how its traces are marked, one of ``o1lab.ingest.formats.SYNTHESES``.
        needs: the prompts it asks with, by role.
        verified: whether a trace must have the verdict ``correct`` to be kept.
        source: whether an item is a problem of the pool or a trace of the lab.
        requires: what a problem must have to be an item, such as ``solution`` and ``answer``.
        roles: the models it talks to.
        phase: the phase of training that its traces are made for.
        uses: the settings it reads that other methods do not, such as ``rounds``.
    """

    name: ClassVar[str]
    synthesis: ClassVar[str] = "distilled"
    needs: ClassVar[Mapping[str, Need]]
    verified: ClassVar[bool] = False
    source: ClassVar[Literal["problems", "traces"]] = "problems"
    requires: ClassVar[tuple[str, ...]] = ()
    roles: ClassVar[tuple[Role, ...]] = ("teacher",)
    phase: ClassVar[Literal[1, 2]] = 2
    uses: ClassVar[tuple[str, ...]] = ()

    def __init__(self, settings: TeacherRunSettings, prompts: Prompts) -> None:
        self.settings = settings
        self.prompts = prompts

    @abstractmethod
    async def respond(self, item: SourceItem, sample: int, ask: Ask) -> Draft:
        """Hold the conversation about ``item``."""

    @abstractmethod
    def plan(self, item: SourceItem) -> Plan:
        """What the conversation about ``item`` will ask, for estimates."""


METHODS: Registry[type[Method]] = Registry("method", "o1lab.methods", "o1lab.distill.methods")
MethodT = TypeVar("MethodT", bound=type[Method])


def method(name: str, *, order: int = DEFAULT_ORDER) -> Callable[[MethodT], MethodT]:
    """Register a distillation method.

    Args:
        name: what ``--method`` takes.
        order: its place in lists.
    """

    def decorate(kind: MethodT) -> MethodT:
        kind.name = name
        return METHODS.register(name, order=order)(kind)

    return decorate


class SingleCall(Method):
    """A method of one call per item and sample: these also work with the Batch API and on a cluster."""

    @abstractmethod
    def messages(self, item: SourceItem) -> list[Message]:
        """The messages of the call."""

    @abstractmethod
    def draft(self, item: SourceItem, response: Response) -> Draft:
        """The draft that the response gives."""

    def plan(self, item: SourceItem) -> Plan:
        return Plan([Planned(self.messages(item))])

    async def respond(self, item: SourceItem, sample: int, ask: Ask) -> Draft:
        return self.draft(item, await ask(0, self.messages(item)))


def as_trace(response: Response) -> Draft:
    """The response unchanged, except that a thought sent separately gets its marks."""
    raw = parse.join(response.thought, response.answer) if response.thought else response.answer
    whole = response.state == "done" and response.finish_reason not in ("length", "content_filter")
    return Draft(raw, complete=whole)


def single(engine: Engine, method: Method) -> SingleCall:
    """``method``, if an engine that sends all calls at once can run it.

    Raises:
        UsageError: it needs several calls per conversation.
    """
    if not isinstance(method, SingleCall):
        raise UsageError(
            f"The engine {engine} asks for everything at once, and {method.name} goes on from what it was answered.",
            "Leave --engine out: the local engine holds conversations of several calls.",
        )
    return method
