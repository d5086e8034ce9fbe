"""Batches of results that arrive close together, so that they share a transaction and its fsync."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

T = TypeVar("T")


async def batches(queue: asyncio.Queue[T | None], *, most: int, together_s: float) -> AsyncIterator[list[T]]:
    """Yield the items of a queue in batches, until None is taken from it.

    Args:
        queue: the items; None ends the iteration.
        most: the largest size of a batch.
        together_s: about how many seconds a batch waits for further items.
    """
    over = False
    while not over:
        batch: list[T] = []
        next_one = await queue.get()
        await asyncio.sleep(together_s)
        while next_one is not None:
            batch.append(next_one)
            if len(batch) == most or queue.empty():
                break
            next_one = queue.get_nowait()
        over = next_one is None
        if batch:
            yield batch
