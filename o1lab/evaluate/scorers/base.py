"""What scorers that need no model share: their options, their labels, and that the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from o1lab.chains.answers import How, extract_answer
from o1lab.evaluate.scorers.protocol import Attempt, Score

Part = Literal["whole", "first_line", "last_line", "final"]

BATCH = 256
"""Attempts a thread looks at before it comes back."""
LONGEST_KEPT = 2000
"""Characters that are kept of what a scorer took for the answer."""
_THREADS = ThreadPoolExecutor(4, thread_name_prefix="scoring")
"""Apart from the loop's own threads: no response waits for the journal's disk behind slow scoring."""


class Options(BaseModel):
    """A scorer's own options. What differs from the defaults is part of the scorer's label."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def changed(self, *apart: str) -> dict[str, Any]:
        """The options that differ from their defaults, except ``apart``."""
        return {name: value for name, value in self.model_dump(exclude_defaults=True).items() if name not in apart}


def label_of(name: str, version: int, notes: Sequence[str] = (), changed: dict[str, Any] | None = None) -> str:
    """``name@version``, with whatever else decides the scores in brackets."""
    told = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in (changed or {}).items()]
    inside = ", ".join([*notes, *told])
    return f"{name}@{version}({inside})" if inside else f"{name}@{version}"


OptionsT = TypeVar("OptionsT", bound=Options)


class PlainScorer(ABC, Generic[OptionsT]):
    """Scores by rules, in a thread. A subclass says what it makes of an attempt; raise ``version`` with its meaning."""

    name: ClassVar[str]
    version: ClassVar[int]

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

    ``final`` is what it boxes or calls its answer: a mere last number is none.
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
