"""The base class of distillation methods: a method takes an item, makes calls through ``ask``, and returns a draft.

A method is a class in one module, registered with :func:`method`; ``--method`` takes its name. Other packages add
methods through the entry point group ``o1lab.methods``.

A method never contacts a server itself. ``ask`` returns the journalled response of a call if there is one, and makes
the call otherwise, so an interrupted conversation continues where it stopped, with any engine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, TypeVar

from o1lab.chains import parse
from o1lab.chains.segmentation.moves import Move
from o1lab.errors import UsageError
from o1lab.inference.calls import Message, Response, Role
from o1lab.inference.prompts import Prompt
from o1lab.inference.settings import Engine
from o1lab.inference.thoughts import split
from o1lab.registry import DEFAULT_ORDER, Registry
from store.records import NewProblem
from store.trees import NewWalk

if TYPE_CHECKING:
    from o1lab.chains.verify import VerifierPool
    from o1lab.distill.settings import TeacherRunSettings


@dataclass(frozen=True, slots=True)
class SourceItem:
    """The input of one conversation: a problem, or a problem and one of its traces (for translation) or search trees.

    Attributes:
        licence: the licence of the problem.
        trace_id: the trace, if the method works on traces.
        raw: the text of the trace, with its marks.
        trace_licence: the licence of the trace.
        translated: the statement in the language of the run, if the lab has it already.
        read: the text of the trace that is split into moves: its thought, or its solution without one.
        moves: the moves of ``read``.
        model: the model that wrote the trace.
        wrong_at: where the first move begins that a person or a judge calls wrong, in code points of ``read``; None if
            there is none.
        tree_id: the search tree, if the method works on trees; ``trace_licence`` is then its licence.
        tree: its nodes as JSON text.
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
    read: str = ""
    moves: tuple[Move, ...] = ()
    model: str = ""
    wrong_at: int | None = None
    tree_id: str | None = None
    tree: str = ""

    @property
    def id(self) -> str:
        return self.tree_id or self.trace_id or self.problem_id


def translation_source(language: str) -> str:
    """Return the source of translated problems; their key is the id of the original."""
    return f"translation/{language}"


class Finding(NamedTuple):
    """What a conversation says about a trace of the lab: an annotation of its kind, value and span."""

    kind: str
    value: str
    span: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """The result of a conversation.

    Attributes:
        raw: the text of the trace with thought marks; empty if there is nothing to keep.
        complete: whether the response is complete.
        rejected: why the draft is not good enough (it is kept and marked); empty if it is.
        problem: the problem of the trace, if it is not that of the item (a translated one).
        parent_id: the trace that this one was made from.
        meta: facts to store with the trace; ``messages`` of the last call only if prompt and item do not determine
            them.
        finding: the annotation of the item's trace, for a method that makes no traces.
        walk: the walk through a search tree that it was made from; ``written_by`` is replaced by the teacher's name.
        parts: who wrote which part of ``raw``, in order, if several models did; joined they are ``raw``. The student of
            a method that calls none is the model of the item's trace.
    """

    raw: str
    complete: bool
    rejected: str = ""
    problem: NewProblem | None = None
    parent_id: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    finding: Finding | None = None
    walk: NewWalk | None = None
    parts: Sequence[tuple[Role, str]] = ()


class Ask(Protocol):
    """Make one call of this conversation, or return its journalled response. Server errors are never raised."""

    def __call__(self, turn: int, messages: Sequence[Message], *, role: Role = "teacher") -> Awaitable[Response]: ...


class Planned(NamedTuple):
    """A call that is made between ``least`` and ``most`` times; ``messages`` leaves out the earlier answers."""

    messages: Sequence[Message]
    most: int = 1
    role: Role = "teacher"
    least: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """The calls of a conversation, as far as they are known in advance.

    Attributes:
        calls: the calls.
        most_carried: maximum number of earlier answers in the messages of all calls together, by role.
    """

    calls: Sequence[Planned]
    most_carried: Mapping[Role, int] = field(default_factory=dict)


class Need(NamedTuple):
    """A prompt that a method needs.

    Attributes:
        default: the name of the prompt unless the run names another.
        slots: the slots that the method can fill.
        hidden_thoughts: the default for teachers that hide their thoughts, if it is another prompt.
        text: the user message of the default prompt, for a method without a prompt file. A file of that name in
            LAB/prompts takes precedence.
    """

    default: str
    slots: frozenset[str]
    hidden_thoughts: str = ""
    text: str = ""


Prompts = Mapping[str, Prompt]
"""The prompts of a method by role; ``--prompt`` replaces the first of its needs."""


class Method(ABC):
    """A distillation method.

    Attributes:
        name: the value of ``--method``; set by :func:`method`.
        synthesis: the mark of its traces, one of ``o1lab.ingest.formats.SYNTHESES``; empty for a method that makes
            annotations instead of traces.
        needs: the prompts it needs, by role.
        verified: whether a trace must have the verdict ``correct`` to be kept.
        source: whether an item is a problem of the pool, a trace of the lab, or a search tree of a problem.
        passes_over: the synthesis of traces that are never items.
        requires: what a problem must have to be an item, such as ``solution`` and ``answer``.
        roles: the models it calls.
        continues: those of them that must be able to continue a response that another model has begun.
        phase: the phase of training that its traces are for.
        uses: the settings that only this method reads, such as ``rounds``.
        language_model: whether the teacher must be a language model, which the solver is not.
        counted: whether the response of a single call is the whole trace, so that its tokens are those of the trace.
        verifier: verifies answers during a conversation; the runner sets it before the first one.
    """

    name: ClassVar[str]
    synthesis: ClassVar[str] = "distilled"
    needs: ClassVar[Mapping[str, Need]]
    verified: ClassVar[bool] = False
    source: ClassVar[Literal["problems", "traces", "trees"]] = "problems"
    passes_over: ClassVar[tuple[str, ...]] = ()
    requires: ClassVar[tuple[str, ...]] = ()
    roles: ClassVar[tuple[Role, ...]] = ("teacher",)
    continues: ClassVar[tuple[Role, ...]] = ()
    phase: ClassVar[Literal[1, 2]] = 2
    uses: ClassVar[tuple[str, ...]] = ()
    language_model: ClassVar[bool] = False
    counted: ClassVar[bool] = True
    verifier: VerifierPool

    def __init__(self, settings: TeacherRunSettings, prompts: Prompts) -> None:
        self.settings = settings
        self.prompts = prompts

    @abstractmethod
    async def respond(self, item: SourceItem, sample: int, ask: Ask) -> Draft:
        """Run the conversation about ``item``.

        Args:
            item: the input.
            sample: the number of the sample, from 0.
            ask: makes the calls.
        """

    @abstractmethod
    def plan(self, item: SourceItem) -> Plan:
        """Return the calls of the conversation about ``item``, for estimates."""


METHODS: Registry[type[Method]] = Registry("method", "o1lab.methods", "o1lab.distill.methods")
MethodT = TypeVar("MethodT", bound=type[Method])


def method(name: str, *, order: int = DEFAULT_ORDER) -> Callable[[MethodT], MethodT]:
    """Register a distillation method.

    Args:
        name: the value of ``--method``.
        order: its position in lists.
    """

    def decorate(kind: MethodT) -> MethodT:
        kind.name = name
        return METHODS.register(name, order=order)(kind)

    return decorate


class SingleCall(Method):
    """A method with one call per item and sample: it also works with the Batch API and on a cluster."""

    @abstractmethod
    def messages(self, item: SourceItem) -> list[Message]:
        """Return the messages of the call."""

    @abstractmethod
    def draft(self, item: SourceItem, response: Response) -> Draft:
        """Return the draft made from the response."""

    def plan(self, item: SourceItem) -> Plan:
        return Plan([Planned(self.messages(item))])

    async def respond(self, item: SourceItem, sample: int, ask: Ask) -> Draft:
        return self.draft(item, await ask(0, self.messages(item)))


def as_trace(response: Response) -> Draft:
    """Return the response unchanged, except that a thought in a separate field gets marks."""
    raw = parse.join(*split(response)) if response.thought else response.answer
    return Draft(raw, complete=response.whole)


def single(engine: Engine, method: Method) -> SingleCall:
    """Return ``method`` if ``engine``, which sends all calls at once, can run it.

    Raises:
        UsageError: it needs several calls per conversation.
    """
    if not isinstance(method, SingleCall):
        raise UsageError(
            f"The engine {engine} sends all calls at once, but {method.name} needs several calls per conversation.",
            "Leave out --engine: the local engine supports conversations of several calls.",
        )
    return method
