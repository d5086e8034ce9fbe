"""Items are worked on concurrently and written in batches; nothing waits for ever when one of both fails."""

from __future__ import annotations

import asyncio

import pytest

from o1lab.jobs.control import Control
from o1lab.jobs.pipeline import BatchWriter, Feed, StoreThread, run_concurrently, store_each
from store.errors import StoreError


async def test_every_item_is_worked_on_once_and_written_in_batches() -> None:
    written: list[list[int]] = []
    read, together = StoreThread(), asyncio.Barrier(3)

    async def work(item: int) -> int | None:
        if item < 3:
            await together.wait()  # the test hangs unless three are worked on at once
        return None if item == 7 else item

    async def write(batch: list[int]) -> None:
        written.append(batch)

    feed = Feed(iter([range(5), [], range(5, 20)]), read)
    async with BatchWriter(write, most=4) as writer:
        await run_concurrently(feed, work, writer.put, Control(), workers=3)
    read.close()
    assert sorted(item for batch in written for item in batch) == [item for item in range(20) if item != 7]
    assert max(map(len, written)) <= 4


async def test_nothing_new_begins_once_the_job_stops() -> None:
    control, begun, read = Control(), list[int](), StoreThread()

    async def work(item: int) -> None:
        begun.append(item)
        control.stop("stop")

    async def write(_: None) -> None:
        pytest.fail("there is nothing to write")

    await run_concurrently(Feed(iter([range(9)]), read), work, write, control, workers=1)
    assert begun == [0]
    await run_concurrently(Feed(iter([range(3)]), read), work, write, control, workers=1, until_stopped=False)
    read.close()
    assert begun == [0, 0, 1, 2]


async def test_the_first_error_of_the_work_is_raised() -> None:
    read = StoreThread()

    async def work(item: int) -> int:
        raise OSError(f"no disk for {item}")

    async def write(_: int) -> None:
        """Never called."""

    with pytest.raises(OSError, match="no disk for"):
        await run_concurrently(Feed(iter([range(9)]), read), work, write, Control(), workers=4)
    read.close()


async def test_a_writer_that_fails_stops_the_job_and_unblocks_producers() -> None:
    control, read, worked = Control(), StoreThread(), list[int]()

    async def work(item: int) -> int:
        worked.append(item)
        return item

    async def write(_: list[int]) -> None:
        raise StoreError("the lab is locked")

    with pytest.raises(StoreError, match="locked"):
        async with BatchWriter(write, waiting=1, most=1, together_s=0.0) as writer:
            await run_concurrently(Feed(iter([range(1000)]), read), work, writer.put, control, workers=4)
    read.close()
    assert control.reason == "lab"
    assert len(worked) < 1000


@pytest.mark.parametrize("flush", [True, False])
async def test_a_cancelled_writer_flushes_its_queue_only_on_request(flush: bool) -> None:
    written, entered, never = list[int](), asyncio.Event(), asyncio.Event()

    async def write(batch: list[int]) -> None:
        written.extend(batch)

    async def session() -> None:
        async with BatchWriter(write, flush_on_cancel=flush) as writer:
            await writer.put(1)
            entered.set()
            await never.wait()

    task = asyncio.create_task(session())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert written == ([1] if flush else [])


def test_what_cannot_be_stored_fails_alone() -> None:
    def store(batch: list[int]) -> list[str]:
        if 3 in batch:
            raise OverflowError("too large")
        return [f"stored {one}" for one in batch]

    def failed(one: int, error: Exception) -> str:
        return f"{one}: {error}"

    assert store_each([1, 3, 5], store, failed) == ["stored 1", "3: too large", "stored 5"]  # type: ignore[arg-type]  # a list is a sequence

    def refuse(_batch: object) -> list[str]:
        raise StoreError("locked")

    with pytest.raises(StoreError):
        store_each([1, 2], refuse, failed)
