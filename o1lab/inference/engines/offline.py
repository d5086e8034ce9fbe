"""Base of the engines that send all calls before any conversation starts: the Batch API, a Ray cluster.

They fill the journal, and then the conversations run with a client that makes no calls. So rows, verdicts and outcomes
are made as they are with the local engine, and calls that are in the journal are not made again.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from o1lab.inference import journal
from o1lab.inference.backend import CallContext, ReplayClient
from o1lab.inference.budget import Price
from o1lab.inference.calls import FATAL, TRANSIENT, CallKey, Message, RequestError, Response
from o1lab.inference.client import hint_for
from o1lab.inference.journal import JournalIndex
from o1lab.inference.models import ModelClient
from o1lab.inference.settings import RequestSettings, StreamMode
from o1lab.inference.usage import most_tokens, rough_tokens
from o1lab.jobs.control import RunStopped
from o1lab.paths import Lab

RETRIED = TRANSIENT | {"expired", "missing"}
"""Errors of a call that is made again: the server did not get to it, or sent no result."""
_TOGETHER = 1_000
"""How many responses are written to the journal together."""


@dataclass
class OfflineWork:
    """What an engine needs to know of the job that it fills the journal for.

    Attributes:
        id: the job's id.
        directory: where the engine may keep files of its own.
        created: when the job was made, in seconds since the epoch.
        resume: the command that resumes the job.
        index: what the journal holds already.
        requests: the calls of the job that have not come to an end, in its order; the engine passes over those that
            are in the journal.
        reindex: reads the journal again.
    """

    lab: Lab
    id: str
    directory: Path
    created: float
    resume: str
    settings: RequestSettings
    stream: StreamMode
    model: ModelClient
    context: CallContext
    index: JournalIndex
    requests: Callable[[], AsyncIterator[tuple[CallKey, list[Message]]]]
    reindex: Callable[[], Awaitable[JournalIndex]]


class Request(NamedTuple):
    """A call that may be made: its body, the estimated tokens of its prompt, and the most that it can take."""

    key: CallKey
    body: dict[str, Any]
    prompt: int
    worst_tokens: int
    worst_usd: float


class OfflineEngine(ABC):
    """Fills the journal while it is entered. Use as ``async with``; it gives the client of the conversations."""

    def __init__(self, work: OfflineWork) -> None:
        self.work = work
        self.context = work.context
        self.index = work.index
        self._tries: dict[CallKey, int] = {}
        self._given_up: set[CallKey] = set()

    @abstractmethod
    async def fill(self) -> None:
        """Make all calls that are to be made; their responses are handed to :meth:`keep`.

        Raises:
            RunStopped: no more calls may be made.
        """

    async def __aenter__(self) -> ReplayClient:
        try:
            await self.fill()
        except RunStopped:
            pass  # ``control`` says why; what came is stored
        self.context.progress.activity = ""
        self.context.progress.in_flight = 0
        await self.reindex()
        await asyncio.to_thread(self._settle)
        return ReplayClient()

    async def __aexit__(self, *_: object) -> None:  # noqa: B027 - an engine may hold nothing until the end
        """Release what the engine holds."""

    async def reindex(self) -> None:
        """Read the journal again."""
        self.index = await self.work.reindex()

    async def to_do(self) -> AsyncIterator[tuple[CallKey, list[Message]]]:
        """The calls still to be made, in the job's order: neither answered nor given up. Streamed."""
        async for key, messages in self.work.requests():
            if key not in self.index and key not in self._given_up:
                yield key, messages

    async def affordable(self, price: Price) -> AsyncIterator[Request]:
        """Of what is to do as much as cannot exceed the budget, even if every answer is as long as it may be.

        Raises:
            RunStopped: not one more request fits the budget.
        """
        settings, budget, model = self.work.settings, self.context.budget, self.work.model
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
            yield Request(key, model.body(settings, key.sample, messages), prompt, worst, worst_usd)

    async def keep(self, responses: Iterable[Response]) -> None:
        """Write responses to the journal, and decide which calls may be made again. Streamed."""
        left = iter(responses)
        while together := list(islice(left, _TOGETHER)):
            await asyncio.gather(*(self.context.record(response) for response in together))
            for response in together:
                if not response.final:
                    self._failed(response.key, response.fault or RequestError.of("failed", "No answer came."))

    def _failed(self, key: CallKey, error: RequestError) -> None:
        if error.code in FATAL:
            self.context.control.stop(error.code, error.sentence, hint_for(error))
            return
        tries = self._tries[key] = self._tries.get(key, 0) + 1
        if error.code not in RETRIED or tries >= self.work.settings.attempts:
            self._given_up.add(key)
            del self._tries[key]
        else:
            self.context.progress.retries += 1

    def _settle(self) -> None:
        """The last failure of a call that was given up is its response."""
        if not self._given_up:
            return
        for offset, response in journal.read(self.context.journal.path, only=b'"fault"'):
            if response.key in self._given_up and not response.final:
                self.index.take(offset, response.key)
