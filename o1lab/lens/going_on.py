"""Let a model go on with the beginning of a response, many times and a limited number at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from typing import Any, TypeVar

from o1lab.errors import LabError, RefusedError
from o1lab.inference.calls import FATAL, RequestError
from o1lab.inference.chat_client import ChatClient
from o1lab.inference.events import Done, Failed, Sampling
from o1lab.lens.convergence import Chain
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.registry import ModelRef

T = TypeVar("T")
AT_ONCE = 32
"""Requests that are sent at the same time."""
_ATTEMPTS = 3
_PAUSE_S = 1.0


class Asking:
    """Asks one model, a limited number of requests at a time.

    Args:
        client: the client.
        address: where the model is served.
        ref: the model.
    """

    def __init__(self, client: ChatClient, address: ModelAddress, ref: ModelRef) -> None:
        self._client, self._address, self._ref = client, address, ref
        self._room = asyncio.Semaphore(AT_ONCE)

    async def go_on(self, chain: Chain, prefix: str, sampling: Sampling) -> Done:
        """Return what the model writes after the beginning of a response.

        Args:
            chain: the chain; what was asked counts.
            prefix: the beginning of the response.
            sampling: the sampling.

        Raises:
            RefusedError: the server refuses this request.
            LabError: it would refuse all.
        """
        asked = self._ref.prompt.conversation(chain.messages)
        async with self._room:
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


async def as_they_come(requests: Sequence[Coroutine[Any, Any, T]]) -> AsyncGenerator[list[T]]:
    """Yield the results of requests in groups, as soon as there are some; the first error ends all others."""
    tasks = {asyncio.ensure_future(one) for one in requests}
    waiting = set(tasks)
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
