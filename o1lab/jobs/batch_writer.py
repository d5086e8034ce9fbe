"""What arrives close together, together: many things share a transaction and its fsync."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

T = TypeVar("T")


async def batches(queue: asyncio.Queue[T | None], *, most: int, together_s: float) -> AsyncIterator[list[T]]:
    """Lists of at most ``most`` that came within about ``together_s`` seconds, until None is taken from the queue."""
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
