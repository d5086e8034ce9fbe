"""What every scorer has in common: attempts go in, scores come out, and a label says who scored.

A scorer is a class in one module, registered with :func:`scorer`. Suites name it; other packages add scorers through
the entry point group ``o1lab.scorers``.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, Protocol, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from o1lab.chains.answers import How, extract_answer
from o1lab.evaluate.items import Item
from o1lab.inference.calls import CallKey, Message, Response
from o1lab.registry import DEFAULT_ORDER, Registry
from store.evaluations import ScoreOutcome, Turn

Part = Literal["whole", "first_line", "last_line", "final"]

BATCH = 256
"""Attempts a thread scores before it returns."""
LONGEST_KEPT = 2000
"""Characters that are kept of what a scorer took for the answer."""
_THREADS = ThreadPoolExecutor(4, thread_name_prefix="scoring")
"""Separate from the event loop's threads: slow scoring never delays a response's way to the journal."""


class ScorerSpec(BaseModel):
    """Who scores: a scorer's name and its own options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One complete sample as a scorer sees it."""

    item: Item
    sample: int
    turns: tuple[Turn, ...]

    @property
    def answer(self) -> str:
        """The last answer of the model, without its thought."""
        return self.turns[-1].answer

    @property
    def thought(self) -> str:
        return self.turns[-1].thought


@dataclass(frozen=True, slots=True)
class Score:
    """A scorer's result for one attempt.

    Attributes:
        outcome: correct, incorrect, unextracted or unscored.
        value: the mark from 0 to 1, where the scorer gives marks.
        answer: what it took for the answer.
        reason: why, in a few words.
        error: the exception that broke the scorer; the attempt is scored again later.
    """

    outcome: ScoreOutcome
    value: float | None = None
    answer: str | None = None
    reason: str = ""
    error: Exception | None = field(default=None, compare=False)


def broken(error: Exception) -> Score:
    """The score of an attempt on which the scorer itself failed."""
    return Score("unscored", reason=f"internal: {type(error).__name__}: {error}"[:200], error=error)


class AskJudge(Protocol):
    """Make one call to the judge, or return its journalled response: a judgement is paid for once.

    ``key`` is the judged item and sample; its turn numbers the calls about that sample, from 0.

    Raises:
        RunStopped: no more calls may be made.
    """

    def __call__(self, key: CallKey, messages: Sequence[Message]) -> Awaitable[Response]: ...


class Scorer(Protocol):
    """Scores complete samples. Use as ``async with``: some hold processes. Never raises for what a model wrote."""

    @property
    def label(self) -> str:
        """``name@version``, and for a judge its prompt and model: figures of two labels never share a cell."""
        ...

    async def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        """A score for each attempt, in order.

        Raises:
            RunStopped: a judge may make no more calls.
        """
        ...

    async def __aenter__(self) -> Scorer: ...

    async def __aexit__(self, *_: object) -> None: ...


class Options(BaseModel):
    """A scorer's own options. Those that differ from the defaults are part of the scorer's label."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def changed(self, *apart: str) -> dict[str, Any]:
        """The options that differ from their defaults, except ``apart``."""
        return {name: value for name, value in self.model_dump(exclude_defaults=True).items() if name not in apart}


OptionsT = TypeVar("OptionsT", bound=Options)


class RegisteredScorer:
    """What the registry knows of a scorer class; :func:`scorer` sets the first three.

    Attributes:
        name: what suites call it.
        version: part of its label; raise it whenever the meaning of its scores changes.
        options_type: the model of its options.
        needs_gold: whether an item without an accepted answer cannot be scored.
        votes: whether the answer it takes can be counted as a vote in maj@k: ``final`` means only where the final
            answer alone is compared as a whole (``part=final``).
    """

    name: ClassVar[str]
    version: ClassVar[int]
    options_type: ClassVar[type[Options]] = Options
    needs_gold: ClassVar[bool] = False
    votes: ClassVar[Literal["never", "always", "final"]] = "never"


SCORERS: Registry[type[RegisteredScorer]] = Registry("scorer", "o1lab.scorers", "o1lab.evaluate.scorers")
ScorerT = TypeVar("ScorerT", bound=type[RegisteredScorer])


def scorer(
    name: str, *, version: int, options: type[Options] = Options, order: int = DEFAULT_ORDER
) -> Callable[[ScorerT], ScorerT]:
    """Register a scorer class, usually a subclass of :class:`PlainScorer`.

    Args:
        name: what suites call it.
        version: raise it whenever the meaning of its scores changes: scores of two versions are never mixed.
        options: the model of its options.
        order: its place in lists.
    """

    def decorate(kind: ScorerT) -> ScorerT:
        kind.name, kind.version, kind.options_type = name, version, options
        return SCORERS.register(name, order=order)(kind)

    return decorate


def label_of(name: str, version: int, notes: Sequence[str] = (), changed: dict[str, Any] | None = None) -> str:
    """``name@version``, with everything else that decides the scores in brackets."""
    told = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in (changed or {}).items()]
    inside = ", ".join([*notes, *told])
    return f"{name}@{version}({inside})" if inside else f"{name}@{version}"


class PlainScorer(RegisteredScorer, ABC, Generic[OptionsT]):
    """Scores by rules, in a thread. A subclass implements :meth:`look`."""

    def __init__(self, options: OptionsT) -> None:
        self._options = options

    @property
    def label(self) -> str:
        return label_of(self.name, self.version, changed=self._options.changed())

    @abstractmethod
    def look(self, attempt: Attempt) -> Score:
        """The score of one attempt. Never raises for what a model wrote."""

    def look_at(self, attempts: Sequence[Attempt]) -> list[Score]:
        """The scores of a batch."""
        return [self.look(attempt) for attempt in attempts]

    async def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        scores: list[Score] = []
        loop = asyncio.get_running_loop()
        for start in range(0, len(attempts), BATCH):
            scores += await loop.run_in_executor(_THREADS, self.look_at, attempts[start : start + BATCH])
        return scores

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


def no_gold(attempt: Attempt) -> Score | None:
    """The score of an attempt at an item without a gold answer; None where it has one."""
    if any(gold.strip() for gold in attempt.item.gold):
        return None
    return Score("unscored", reason="the item has no gold answer")


def part_of(attempt: Attempt, part: Part) -> str:
    """The part of an answer that is compared, stripped; empty where there is none.

    ``final`` is the answer in a box or called the answer; a mere last number does not count.
    """
    text = attempt.answer.strip()
    if part == "first_line":
        return text.partition("\n")[0].strip()
    if part == "last_line":
        return text.rpartition("\n")[2].strip()
    if part == "final":
        found = extract_answer(text)
        return found.text if found is not None and found.how is not How.LAST_NUMBER else ""
    return text


def kept(text: str) -> str:
    """What is kept of an answer that was taken."""
    return text if len(text) <= LONGEST_KEPT else text[: LONGEST_KEPT - 1] + "…"
