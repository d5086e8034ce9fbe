"""The parts that all scorers share, and the scorer ``human``.

A scorer turns attempts into scores under a label. It is a class that is registered with :func:`scorer`; suites refer to
it by name. Other packages add scorers through the entry point group ``o1lab.scorers``.
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
from o1lab.errors import internal_reason
from o1lab.evaluate.items import Item
from o1lab.inference.calls import CallKey, Message, Response
from o1lab.registry import DEFAULT_ORDER, Registry
from store import Store
from store.batches import batched
from store.evaluations import ScoreOutcome, Turn

Part = Literal["whole", "first_line", "last_line", "final"]

BATCH = 256
"""Number of attempts that a thread scores in one call."""
LONGEST_KEPT = 2000
"""Maximum number of stored characters of an extracted answer."""
_THREADS = ThreadPoolExecutor(4, thread_name_prefix="scoring")
"""Separate from the threads of the event loop, so that slow scoring never delays writing responses to the journal."""


class ScorerSpec(BaseModel):
    """The name and options of a scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One complete sample, as a scorer sees it."""

    item: Item
    sample: int
    turns: tuple[Turn, ...]

    @property
    def answer(self) -> str:
        """The model's last answer, without its thought."""
        return self.turns[-1].answer

    @property
    def thought(self) -> str:
        return self.turns[-1].thought


@dataclass(frozen=True, slots=True)
class Score:
    """A scorer's result for one attempt.

    Attributes:
        outcome: correct, incorrect, unextracted or unscored.
        value: the mark from 0 to 1, if the scorer gives marks.
        answer: the answer that the scorer extracted.
        reason: why, in a few words.
        error: the exception that the scorer raised; the attempt is scored again later.
    """

    outcome: ScoreOutcome
    value: float | None = None
    answer: str | None = None
    reason: str = ""
    error: Exception | None = field(default=None, compare=False)


def broken(error: Exception) -> Score:
    """Return the score of an attempt on which the scorer itself failed."""
    return Score("unscored", reason=internal_reason(error), error=error)


class AskJudge(Protocol):
    """Call the judge, or return its response from the journal, so that a judgement is paid for only once.

    ``key`` names the judged item and sample; its turn numbers the calls about that sample, from 0.

    Raises:
        RunStopped: no more calls may be made.
    """

    def __call__(self, key: CallKey, messages: Sequence[Message]) -> Awaitable[Response]: ...


class Scorer(Protocol):
    """Scores complete samples. Use it with ``async with``: some own processes. Model output never makes it raise."""

    @property
    def label(self) -> str:
        """``name@version``, for a judge also prompt and model. Figures of different labels are never mixed."""
        ...

    async def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        """Return a score for each attempt, in order.

        Raises:
            RunStopped: the judge may make no more calls.
        """
        ...

    async def __aenter__(self) -> Scorer: ...

    async def __aexit__(self, *_: object) -> None: ...


class Options(BaseModel):
    """The options of a scorer. Those that differ from their defaults are part of the scorer's label."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def changed(self, *exclude: str) -> dict[str, Any]:
        """Return the options that differ from their defaults, without those in ``exclude``."""
        return {name: value for name, value in self.model_dump(exclude_defaults=True).items() if name not in exclude}


OptionsT = TypeVar("OptionsT", bound=Options)


class RegisteredScorer:
    """Base of all scorer classes; :func:`scorer` sets the first three attributes.

    Attributes:
        name: the name that suites use.
        version: part of the label; raise it when the meaning of the scores changes.
        options_type: the model of the options.
        needs_gold: whether an item without an accepted answer cannot be scored.
        votes: whether an extracted answer counts as a vote in maj@k; ``final`` means only if the final answer is
            compared as a whole (``part=final``).
        store: the lab's database, in which a scorer may remember what is costly; None outside a lab.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    options_type: ClassVar[type[Options]] = Options
    needs_gold: ClassVar[bool] = False
    votes: ClassVar[Literal["never", "always", "final"]] = "never"
    store: Store | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


SCORERS: Registry[type[RegisteredScorer]] = Registry("scorer", "o1lab.scorers", "o1lab.evaluate.scorers")
ScorerT = TypeVar("ScorerT", bound=type[RegisteredScorer])


def scorer(
    name: str, *, version: int, options: type[Options] = Options, order: int = DEFAULT_ORDER
) -> Callable[[ScorerT], ScorerT]:
    """Register a scorer class, usually a subclass of :class:`PlainScorer`.

    Args:
        name: the name that suites use.
        version: raise it when the meaning of the scores changes: scores of two versions are never mixed.
        options: the model of the options.
        order: the scorer's place in lists.
    """

    def decorate(kind: ScorerT) -> ScorerT:
        kind.name, kind.version, kind.options_type = name, version, options
        return SCORERS.register(name, order=order)(kind)

    return decorate


def label_of(name: str, version: int, notes: Sequence[str] = (), changed: dict[str, Any] | None = None) -> str:
    """Return ``name@version``, followed in brackets by everything else that affects the scores."""
    settings = [
        f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in (changed or {}).items()
    ]
    inside = ", ".join([*notes, *settings])
    return f"{name}@{version}({inside})" if inside else f"{name}@{version}"


class PlainScorer(RegisteredScorer, ABC, Generic[OptionsT]):
    """Scores by rules, in a thread. Subclasses implement :meth:`score_attempt`."""

    def __init__(self, options: OptionsT) -> None:
        self._options = options

    @property
    def label(self) -> str:
        return label_of(self.name, self.version, changed=self._options.changed())

    @abstractmethod
    def score_attempt(self, attempt: Attempt) -> Score:
        """Return the score of one attempt. Must not raise, whatever the model wrote."""

    def score_batch(self, attempts: Sequence[Attempt]) -> list[Score]:
        """Return the scores of a batch, in order."""
        return [self.score_attempt(attempt) for attempt in attempts]

    async def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        scores: list[Score] = []
        loop = asyncio.get_running_loop()
        for batch in batched(attempts, BATCH):
            scores += await loop.run_in_executor(_THREADS, self.score_batch, batch)
        return scores


def no_gold(attempt: Attempt) -> Score | None:
    """Return the score of an attempt whose item has no gold answer; None if it has one."""
    if any(gold.strip() for gold in attempt.item.gold):
        return None
    return Score("unscored", reason="the item has no gold answer")


def part_of(attempt: Attempt, part: Part) -> str:
    """Return the part of the answer that is compared, stripped; empty if there is none.

    ``final`` is an answer that is boxed or stated as the answer; just the last number does not count.
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
    """Return an extracted answer, shortened for storage."""
    return text if len(text) <= LONGEST_KEPT else text[: LONGEST_KEPT - 1] + "…"


@scorer("human", version=1, order=70)
class HumanScorer(PlainScorer[Options]):
    """Leaves every sample unscored; annotators score them in the rating screen. It has no options."""

    def score_attempt(self, attempt: Attempt) -> Score:
        return Score("unscored", reason="waiting for a human rating: `o1lab eval rate`")
