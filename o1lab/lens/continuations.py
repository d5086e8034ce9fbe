"""Ask a model to continue responses, with a limited number of requests at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from o1lab.errors import LabError, RefusedError
from o1lab.inference.calls import FATAL, RequestError
from o1lab.inference.chat_client import ChatClient
from o1lab.inference.continuing import require_continuing
from o1lab.inference.events import Done, Failed, Sampling
from o1lab.lens.convergence import Chain
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import ModelRef, open_model

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
AT_ONCE = 32
"""Requests that are sent at the same time."""
_ATTEMPTS = 3
_PAUSE_S = 1.0


class Continuer:
    """Asks one model to continue responses.

    Args:
        client: the client.
        address: where the model is served.
        ref: the model.
    """

    def __init__(self, client: ChatClient, address: ModelAddress, ref: ModelRef) -> None:
        self._client, self._address, self._ref = client, address, ref
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def continue_response(self, chain: Chain, prefix: str, sampling: Sampling) -> Done:
        """Return what the model writes after the beginning of a response.

        Args:
            chain: the chain whose question is asked.
            prefix: the beginning of the response.
            sampling: the sampling.

        Raises:
            RefusedError: the server refuses this request.
            LabError: it would refuse all requests, or failed ``_ATTEMPTS`` times.
        """
        asked = self._ref.prompt.conversation(chain.messages)
        async with self._slots:
            return await self._reply([*asked, {"role": "assistant", "content": prefix}], sampling)

    async def _reply(self, messages: list[dict[str, str]], sampling: Sampling) -> Done:
        for attempt in range(1, _ATTEMPTS + 1):
            last: object = None
            async for event in self._client.stream(self._address, messages, sampling):
                last = event
            if isinstance(last, Done):
                return last
            error = last.error if isinstance(last, Failed) else RequestError.of("empty", "The server sent nothing.")
            if not error.transient or attempt == _ATTEMPTS:
                break
            await asyncio.sleep(attempt * _PAUSE_S)
        kind = LabError if error.code in FATAL or error.transient else RefusedError
        raise kind(error.sentence, error.hint, code=error.code)


@asynccontextmanager
async def open_continuer(ref: ModelRef, manager: ServerManager) -> AsyncIterator[Continuer]:
    """Open a model that continues responses; start a server or load an adapter if necessary.

    Raises:
        RefusedError: the model cannot continue a text (code ``no_continuing``).
        LabError: it cannot be opened.
    """
    address = await open_model(ref, manager)
    require_continuing(address, ref.id)
    async with ChatClient() as client:
        yield Continuer(client, address, ref)


async def first_then_others(
    ask: Callable[[ItemT], Awaitable[ResultT]], items: Sequence[ItemT]
) -> AsyncGenerator[list[ResultT]]:
    """Ask for the first item alone, then for all others concurrently.

    A server that keeps prefixes then reads a text once, if the first item is the longest beginning of it.

    Args:
        ask: asks for one item.
        items: the items.

    Yields:
        Groups of results, as soon as there are some.

    Raises:
        Exception: the first error of a request; it cancels the others.
    """
    for batch in (items[:1], items[1:]):
        tasks = {asyncio.ensure_future(ask(one)) for one in batch}
        waiting: set[Any] = tasks
        try:
            while waiting:
                finished, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                good = [one.result() for one in finished if one.exception() is None]
                if good:
                    yield good
                for one in finished:
                    one.result()
        finally:
            for one in tasks:
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
