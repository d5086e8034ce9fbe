"""The pages of a long table: how they are fetched, and the cache of those in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from inspect import isawaitable, iscoroutinefunction
from typing import Any

from o1lab.widgets.columns import Page, Row, RowKey

FetchPage = Callable[[int, int], Page] | Callable[[int, int], Awaitable[Page]]
"""(offset, limit) -> Page. A plain function runs in a thread (use that thread's database connection), a coroutine
function in the app's event loop. An exception is posted as `PagedTable.FetchFailed`."""

Locate = Callable[[RowKey], int | None] | Callable[[RowKey], Awaitable[int | None]]
"""Row key -> its offset under the current filter and order; called like a fetch. It keeps the cursor on its row."""

HELD_ROWS = 1000


class HeldPages:
    """At most ``HELD_ROWS`` rows of a table, in pages of ``size`` rows; page n begins at row n * size."""

    def __init__(self, size: int) -> None:
        self.size = min(size, HELD_ROWS)
        self.stale: set[int] = set()  # pages from before the last reload: shown until they are fetched again
        self._pages: dict[int, list[Row]] = {}

    @property
    def held(self) -> int:
        """Number of rows in memory."""
        return sum(map(len, self._pages.values()))

    def number(self, index: int) -> int:
        """Return the number of the page of a row."""
        return index // self.size

    def row(self, index: int) -> Row | None:
        """Return the row at an index if it is in memory."""
        page = self._pages.get(self.number(index), [])
        at = index % self.size
        return page[at] if at < len(page) else None

    def is_stale(self, index: int) -> bool:
        """Whether the row in memory is out of date."""
        return self.number(index) in self.stale

    def missing(self, indexes: Iterable[int], total: int | None) -> int | None:
        """Return the first missing or stale page of these rows; ``total`` is None while it is not known."""
        for index in indexes:
            number = self.number(index)
            in_table = total is None or number * self.size < max(total, 1)
            if in_table and (number not in self._pages or number in self.stale):
                return number
        return None

    def expire(self) -> None:
        """Mark all pages as out of date."""
        self.stale = set(self._pages)

    def put(self, number: int, rows: Sequence[Row], *, here: int) -> None:
        """Store a fetched page; if there are too many, drop those furthest from row ``here``."""
        self._pages[number] = list(rows)
        self.stale.discard(number)
        while len(self._pages) * self.size > HELD_ROWS:
            self._drop(max(self._pages, key=lambda page: abs(page - self.number(here))))

    def cut(self, total: int) -> None:
        """Drop the pages after ``total`` rows."""
        for number in [number for number in self._pages if number * self.size >= max(total, 1)]:
            self._drop(number)

    def replace(self, row: Row) -> bool:
        """Replace the row in memory with the same key; return whether there is one."""
        found = False
        for page in self._pages.values():
            for at, other in enumerate(page):
                if other.key == row.key:
                    page[at], found = row, True
        return found

    def find(self, number: int, key: RowKey | None) -> int | None:
        """Return the index of the row with ``key`` if it is in page ``number``."""
        for at, row in enumerate(self._pages.get(number, ())):
            if row.key == key:
                return number * self.size + at
        return None

    def _drop(self, number: int) -> None:
        del self._pages[number]
        self.stale.discard(number)


async def called(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a coroutine function in this event loop, any other in a thread, and return its result."""
    if iscoroutinefunction(function):
        return await function(*arguments)
    result = await asyncio.to_thread(function, *arguments)
    return await result if isawaitable(result) else result
