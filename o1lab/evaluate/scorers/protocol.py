"""What every scorer has in common: attempts go in, scores come out, and a label says who scored."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from o1lab.evaluate.suites.items import Item
from o1lab.inference.calls import CallKey, Message, Response
from store.evaluations import ScoreOutcome, Turn


@dataclass(frozen=True, slots=True)
class Attempt:
    """One complete sample as a scorer sees it."""

    item: Item
    sample: int
    turns: tuple[Turn, ...]

    @property
    def answer(self) -> str:
        """What was said last, without its thought."""
        return self.turns[-1].answer

    @property
    def thought(self) -> str:
        return self.turns[-1].thought


@dataclass(frozen=True, slots=True)
class Score:
    """A scorer's word on one attempt; ``value`` from 0 to 1 where it grades, ``answer`` what it took for the answer.

    ``error`` is what broke the scorer itself: such a score says nothing, and the attempt is to be looked at again.
    """

    outcome: ScoreOutcome
    value: float | None = None
    answer: str | None = None
    reason: str = ""
    error: Exception | None = field(default=None, compare=False)


def broken(error: Exception) -> Score:
    """The score of an attempt at which the scorer itself broke."""
    return Score("unscored", reason=f"internal: {type(error).__name__}: {error}"[:200], error=error)


class AskJudge(Protocol):
    """Make one call to the judge, or give its journalled response: a judgement is paid for once.

    ``key`` is the judged item and sample; its turn numbers the calls about that sample, from 0.

    Raises:
        RunStopped: nothing more may be asked.
    """

    def __call__(self, key: CallKey, messages: Sequence[Message]) -> Awaitable[Response]: ...


class Scorer(Protocol):
    """Looks at complete samples. Use as ``async with``: some hold processes. Never raises for what a model wrote."""

    @property
    def label(self) -> str:
        """``name@version``, and for a judge its prompt and model: figures of two labels never share a cell."""
        ...

    async def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        """A score for each attempt, in order.

        Raises:
            RunStopped: a judge may be asked no more.
        """
        ...

    async def __aenter__(self) -> Scorer: ...

    async def __aexit__(self, *_: object) -> None: ...
