"""Engines that ask for everything before any conversation is held: the Batch API, a cluster.

They fill the journal, and then the conversations are held with a caller that asks nothing. So rows, verdicts and
outcomes come about as they do with the local engine, and what is in the journal is not asked for again.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from o1lab.distill.method import Method, SingleCall
from o1lab.errors import UsageError
from o1lab.inference import journal
from o1lab.inference.calls import FATAL, TRANSIENT, CallKey, Message, RequestError, Response, Role, RunStopped
from o1lab.inference.client import OnAttempt, hint_for
from o1lab.inference.rate_limit import Price
from o1lab.inference.settings import Engine
from o1lab.inference.usage import most_tokens, rough_tokens

if TYPE_CHECKING:
    from o1lab.distill.runner import Job

RETRIED = TRANSIENT | {"expired", "missing"}
"""Faults of a call that is made again: the server did not come to it, or said nothing of it."""
_TOGETHER = 1_000
"""So many responses wait for the journal's disk together."""


def check_engine(engine: Engine, method: Method) -> None:
    """Refuse what an engine cannot do.

    Raises:
        UsageError: the method needs several calls a conversation, and this engine asks once for everything.
    """
    if engine != "local":
        single(engine, method)


def single(engine: Engine, method: Method) -> SingleCall:
    """``method``, if an engine that asks once for everything can do it.

    Raises:
        UsageError: it needs several calls a conversation.
    """
    if not isinstance(method, SingleCall):
        raise UsageError(
            f"The engine {engine} asks for everything at once, and {method.name} goes on from what it was answered.",
            "Leave --engine out: the local engine holds conversations of several calls.",
        )
    return method


class Request(NamedTuple):
    """A call that may be made: its body, the rough tokens of its prompt, and what it takes at its worst."""

    key: CallKey
    body: dict[str, Any]
    prompt: int
    worst_tokens: int
    worst_usd: float


class ReplayClient:
    """A caller for conversations whose responses are in the journal: whatever is not there is not asked for."""

    async def call(
        self, key: CallKey, messages: Sequence[Message], role: Role = "teacher", on_attempt: OnAttempt | None = None
    ) -> Response:
        raise RunStopped("not asked")


class OfflineEngine(ABC):
    """Fills the journal while it is entered. Use as ``async with``; it gives the caller of the conversations."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.method = single(job.settings.engine, job.method)
        self._tries: dict[CallKey, int] = {}
        self._given_up: set[CallKey] = set()

    @abstractmethod
    async def fill(self) -> None:
        """Ask for all that is to do; what came is handed to :meth:`keep`.

        Raises:
            RunStopped: nothing more may be asked.
        """

    async def __aenter__(self) -> ReplayClient:
        try:
            await self.fill()
        except RunStopped:
            pass  # ``control`` says why; what came is taken in
        self.job.progress.activity = ""
        self.job.progress.in_flight = 0
        await self.job.reindex()
        await asyncio.to_thread(self._settle)
        return ReplayClient()

    async def __aexit__(self, *_: object) -> None:  # noqa: B027 - an engine may hold nothing until the end
        """Let go of what was held."""

    async def to_do(self) -> AsyncIterator[tuple[CallKey, list[Message]]]:
        """The calls still to be made, in the run's order: neither answered nor given up. Streamed."""
        async for item, sample in self.job.to_do():
            key = CallKey(item.id, sample)
            if key not in self.job.index and key not in self._given_up:
                yield key, self.method.messages(item)

    async def affordable(self, price: Price) -> AsyncIterator[Request]:
        """Of what is to do as much as cannot exceed the budget, even if every answer is as long as it may be.

        Raises:
            RunStopped: not one more request fits the budget.
        """
        settings, budget, voice = self.job.settings, self.job.budget, self.job.voices["teacher"]
        tokens, usd, number = 0, 0.0, 0
        async for key, messages in self.to_do():
            prompt = sum(rough_tokens(message["content"]) for message in messages)
            most = most_tokens(messages)
            worst, worst_usd = most + settings.max_tokens, price.of(most, settings.max_tokens)
            if not budget.fits(tokens + worst, usd + worst_usd):
                if not number:
                    await budget.reserve(worst, worst_usd)
                return  # when these have come back it is known what they took
            tokens, usd, number = tokens + worst, usd + worst_usd, number + 1
            yield Request(key, voice.body(settings, key.sample, messages), prompt, worst, worst_usd)

    async def keep(self, responses: Iterable[Response]) -> None:
        """Journal responses, and decide which calls may be made again. Streamed."""
        left = iter(responses)
        while together := list(islice(left, _TOGETHER)):
            await asyncio.gather(*(self.job.journal.append(response) for response in together))
            for response in together:
                self.job.progress.count_response(response)
                if not response.final:
                    self._failed(
                        response.key, response.fault or RequestError("failed", "No answer came.", retryable=True)
                    )

    def _failed(self, key: CallKey, fault: RequestError) -> None:
        if fault.code in FATAL:
            self.job.control.stop(fault.code, fault.sentence, hint_for(fault))
            return
        tries = self._tries[key] = self._tries.get(key, 0) + 1
        if fault.code not in RETRIED or tries >= self.job.settings.attempts:
            self._given_up.add(key)
            del self._tries[key]
        else:
            self.job.progress.retries += 1

    def _settle(self) -> None:
        """The last failure of a call that was given up is what came of it."""
        if not self._given_up:
            return
        for offset, response in journal.read(self.job.folder.journal, only=b'"fault"'):
            if response.key in self._given_up and not response.final:
                self.job.index.take(offset, response.key)
