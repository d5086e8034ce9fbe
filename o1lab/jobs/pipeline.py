"""Reads items in batches, processes them concurrently, and writes their results in batches."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, ParamSpec, Self, TypeVar

from o1lab.jobs.control import Control
from store.errors import StoreError

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
S = TypeVar("S")


class StoreThread:
    """A thread for the store, because a connection belongs to one thread. Close it with :meth:`close`."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")

    async def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``function`` in the thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args, **kwargs))

    def close(self) -> None:
        self._thread.shutdown()


class Feed(Generic[T]):
    """An async iterator over the items of batches that are read in a thread. Several tasks may take from it."""

    def __init__(self, batches: Iterator[Sequence[T]], read: StoreThread) -> None:
        self._batches = batches
        self._read = read
        self._items: list[T] = []
        self._turn = asyncio.Lock()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        async with self._turn:
            while not self._items:
                batch = await self._read(_next, self._batches)
                if batch is None:
                    raise StopAsyncIteration
                self._items = list(batch[::-1])
            return self._items.pop()


def _next(batches: Iterator[Sequence[T]]) -> Sequence[T] | None:
    return next(batches, None)


async def run_concurrently(
    feed: Feed[T],
    work: Callable[[T], Awaitable[R | None]],
    write: Callable[[R], Awaitable[None]],
    control: Control,
    *,
    workers: int,
    until_stopped: bool = True,
) -> None:
    """Process the items of ``feed`` concurrently and pass each result to ``write``.

    Args:
        feed: the items.
        work: returns the result of an item; None if the job stopped before the item was complete.
        write: takes a result. If it fails, the job stops, and leaving the writer's context raises the error.
        control: stops the job.
        workers: maximum number of items at the same time.
        until_stopped: whether to take no new item once ``control`` stops the job.

    Raises:
        Exception: the first error of ``work``; it cancels all workers.
    """

    async def worker() -> None:
        while not (until_stopped and control.stopping.is_set()):
            item = await anext(feed, None)
            if item is None:
                return
            result = await work(item)
            if result is None:
                continue
            try:
                await write(result)
            except Exception:  # leaving the writer raises it; until then, calls in flight are journalled
                control.stop("lab")
                return

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(workers):
                tasks.create_task(worker())
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None  # all have the same cause: the disk or the database


class BatchWriter(Generic[T]):
    """Writes results in batches, so that several share a transaction and its fsync.

    Use as ``async with``; leaving the context waits until everything is written.

    Args:
        write: writes one batch.
        waiting: maximum number of queued results; :meth:`put` waits while the queue is full.
        most: maximum number of results in a batch.
        together_s: results within this many seconds share a batch.
        at_once: maximum number of concurrent ``write`` calls.
        flush_on_cancel: whether queued results are still written when the task is cancelled.
    """

    def __init__(
        self,
        write: Callable[[list[T]], Coroutine[Any, Any, None]],
        *,
        waiting: int = 512,
        most: int = 256,
        together_s: float = 0.05,
        at_once: int = 1,
        flush_on_cancel: bool = True,
    ) -> None:
        self._write = write
        self._most, self._together_s, self._at_once = most, together_s, at_once
        self._flush_on_cancel = flush_on_cancel
        self._queue: asyncio.Queue[T | None] = asyncio.Queue(waiting)
        self._error: BaseException | None = None
        self._task: asyncio.Task[None]  # while entered

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._flush_on_cancel and kind is not None and issubclass(kind, asyncio.CancelledError):
            self._task.cancel()
        elif not self._task.done():
            await self._queue.put(None)
        await self._task

    async def put(self, result: T) -> None:
        """Queue one result; waits while the queue is full.

        Raises:
            Exception: a batch could not be written; the writer accepts no more results.
        """
        if self._error is not None:
            raise self._error
        await self._queue.put(result)

    async def _run(self) -> None:
        slots = asyncio.Semaphore(self._at_once)
        try:
            async with asyncio.TaskGroup() as tasks:
                async for batch in self._batches():
                    await slots.acquire()
                    tasks.create_task(self._write(batch)).add_done_callback(lambda _: slots.release())
        except BaseException as error:
            # The first of several errors, because the other batches were cancelled.
            self._error = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error
            while not self._queue.empty():  # unblock tasks that wait for room in the queue
                self._queue.get_nowait()
                await asyncio.sleep(0)
            raise self._error from None

    async def _batches(self) -> AsyncIterator[list[T]]:
        over = False
        while not over:
            batch: list[T] = []
            result = await self._queue.get()
            await asyncio.sleep(self._together_s)
            while result is not None:
                batch.append(result)
                if len(batch) == self._most or self._queue.empty():
                    break
                result = self._queue.get_nowait()
            over = result is None
            if batch:
                yield batch


class StoreWriter(BatchWriter[T], Generic[T, R]):
    """A :class:`BatchWriter` that stores results in a thread of its own, a batch in one transaction.

    Args:
        on_stored: called in the event loop with each stored result, once it is committed.
        more: arguments of :class:`BatchWriter`.
    """

    def __init__(self, on_stored: Callable[[R], None], **more: Any) -> None:
        super().__init__(self.write, **more)
        self._on_stored = on_stored

    async def __aenter__(self) -> Self:
        self.in_thread = StoreThread()
        return await super().__aenter__()

    async def __aexit__(self, *error: Any) -> None:
        try:
            await super().__aexit__(*error)
        finally:
            self.in_thread.close()

    @abstractmethod
    async def write(self, batch: list[T]) -> None:
        """Process a batch and :meth:`store` it."""

    async def store(
        self, batch: Sequence[S], save: Callable[[Sequence[S]], list[R]], save_failed: Callable[[S, Exception], R]
    ) -> None:
        """Store a batch as :func:`store_each` does, and report what was stored."""
        for stored in await self.in_thread(store_each, batch, save, save_failed):
            self._on_stored(stored)


def store_each(
    batch: Sequence[T], store: Callable[[Sequence[T]], list[R]], store_failed: Callable[[T, Exception], R]
) -> list[R]:
    """Store a batch in one transaction; if that fails, store its items one by one.

    Args:
        batch: the items.
        store: stores several items in one transaction.
        store_failed: stores an item that ``store`` cannot store, with the error.

    Returns:
        The result for each item.

    Raises:
        StoreError, OSError: the database or the disk cannot be written.
    """
    try:
        return store(batch)
    except (StoreError, OSError):
        raise
    except Exception as error:
        if len(batch) > 1:
            return [stored for one in batch for stored in store_each([one], store, store_failed)]
        return [store_failed(batch[0], error)]
