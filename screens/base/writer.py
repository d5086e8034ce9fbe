"""The thread in which a screen writes to the store, one change after another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from store import Store

Result = TypeVar("Result")


class Writer:
    """A thread that writes to the store, in the order of the calls.

    Its connection also detects the writes of others, since SQLite does not count a connection's own changes.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._version: int | None = None

    async def do(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Run ``work`` after all earlier work, even if the caller is cancelled in the meantime."""
        return await self.submit(work, *arguments)

    def submit(self, work: Callable[..., Result], *arguments: Any) -> asyncio.Future[Result]:
        """Queue ``work`` and return its future."""

        def explained() -> Result:
            with self.store.explained():
                return work(*arguments)

        return asyncio.shield(asyncio.wrap_future(self._pool.submit(explained)))

    def others_wrote(self) -> bool:
        """Whether another connection has written since the last call. Call it with ``do``."""
        before, self._version = self._version, self.store.data_version()
        return before is not None and before != self._version

    async def close(self) -> None:
        """Finish the queued work, then end the thread."""
        await asyncio.to_thread(self._pool.shutdown)
