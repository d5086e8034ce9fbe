"""Base class of the engines that make all calls before any conversation starts: the Batch API and a Ray cluster.

They fill the journal; then the conversations run with a client that makes no calls. Rows, verdicts and outcomes are
therefore the same as with the local engine, and journalled calls are not made again.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from o1lab.inference import journal
from o1lab.inference.backend import CallContext, ReplayClient
from o1lab.inference.calls import FATAL, TRANSIENT, CallKey, Message, RequestError, Response
from o1lab.inference.client import hint_for
from o1lab.inference.journal import JournalIndex
from o1lab.inference.limits import Price, prompt_tokens, worst_case
from o1lab.inference.models import ModelClient
from o1lab.inference.settings import RequestSettings, StreamMode
from o1lab.jobs.control import RunStopped
from o1lab.paths import Lab
from store.batches import batched

RETRIED = TRANSIENT | {"expired", "missing"}
"""Errors after which a call is repeated: transient ones, and those of a server that did not process it."""
_TOGETHER = 1_000
"""The number of responses that are written to the journal together."""


@dataclass
class OfflineWork:
    """The job that an engine fills the journal for.

    Attributes:
        lab: the lab of the job.
        id: the job's id.
        directory: where the engine may keep its own files.
        created: when the job was created, in seconds since the epoch.
        resume: the command that resumes the job.
        settings: the request settings.
        stream: whether responses are streamed.
        model: the model to ask.
        context: what all calls of the job share.
        index: the calls that are in the journal already.
        requests: yields the calls of samples that have not ended, in the job's order; the engine skips those that are
            in the journal.
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
    """A call to make: its body, the estimated tokens of its prompt, and the maximum tokens and cost."""

    key: CallKey
    body: dict[str, Any]
    prompt: int
    worst_tokens: int
    worst_usd: float


class OfflineEngine(ABC):
    """Fills the journal. Use as ``async with``: it makes the calls and returns the client of the conversations."""

    def __init__(self, work: OfflineWork) -> None:
        self.work = work
        self.context = work.context
        self.index = work.index
        self._tries: dict[CallKey, int] = {}
        self._given_up: set[CallKey] = set()

    @abstractmethod
    async def fill(self) -> None:
        """Make all pending calls and pass their responses to :meth:`keep`.

        Raises:
            RunStopped: no more calls may be made.
        """

    async def __aenter__(self) -> ReplayClient:
        try:
            await self.fill()
        except RunStopped:
            pass  # the reason is in ``control``; the responses so far are stored
        self.context.progress.activity = ""
        self.context.progress.in_flight = 0
        await self.reindex()
        await asyncio.to_thread(self._settle)
        return ReplayClient()

    async def __aexit__(self, *_: object) -> None:  # noqa: B027 - not every engine has resources to release
        """Release the engine's resources."""

    async def reindex(self) -> None:
        """Read the journal again."""
        self.index = await self.work.reindex()

    async def to_do(self) -> AsyncIterator[tuple[CallKey, list[Message]]]:
        """Yield the pending calls in the job's order: those that are neither answered nor given up."""
        async for key, messages in self.work.requests():
            if key not in self.index and key not in self._given_up:
                yield key, messages

    async def affordable(self, price: Price) -> AsyncIterator[Request]:
        """Yield as many pending calls as fit the budget even if every response has the maximum length.

        Args:
            price: the price of the model with this engine.

        Raises:
            RunStopped: not one more request fits the budget.
        """
        settings, budget, model = self.work.settings, self.context.budget, self.work.model
        tokens, usd, number = 0, 0.0, 0
        async for key, messages in self.to_do():
            worst, worst_usd = worst_case(messages, settings.max_tokens, price)
            if not budget.fits(tokens + worst, usd + worst_usd):
                if not number:
                    await budget.reserve(worst, worst_usd)
                return  # the next calls follow when the actual cost of these is known
            tokens, usd, number = tokens + worst, usd + worst_usd, number + 1
            yield Request(key, model.body(settings, key.sample, messages), prompt_tokens(messages), worst, worst_usd)

    async def keep(self, responses: Iterable[Response]) -> None:
        """Write responses to the journal, and decide which failed calls are repeated.

        Args:
            responses: consumed in groups, so that it can be a generator over a large file.
        """
        for together in batched(responses, _TOGETHER):
            await asyncio.gather(*(self.context.record(response) for response in together))
            for response in together:
                if not response.final:
                    self._failed(response.key, response.fault or RequestError.of("failed", "No answer was received."))

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
        """Use the last failure of each call that was given up as its response."""
        if not self._given_up:
            return
        for offset, response in journal.read(self.context.journal.path, only=b'"fault"'):
            if response.key in self._given_up and not response.final:
                self.index.take(offset, response.key)
