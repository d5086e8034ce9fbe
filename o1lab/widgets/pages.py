"""The pages of a long table: where they come from, and the few of them that are in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from inspect import isawaitable, iscoroutinefunction
from typing import Any

from o1lab.widgets.columns import Page, Row, RowKey

FetchPage = Callable[[int, int], Page] | Callable[[int, int], Awaitable[Page]]
"""(offset, limit) -> Page. A plain function runs in a thread (open a connection of that thread), a coroutine
function in the app's loop. What it raises is posted as `PagedTable.FetchFailed`."""

Locate = Callable[[RowKey], int | None] | Callable[[RowKey], Awaitable[int | None]]
"""Row key -> its offset under the current filter and sort, run like a fetch; keeps the cursor on its row."""

HELD_ROWS = 1000


class HeldPages:
    """At most ``HELD_ROWS`` rows of a table, in pages of ``size`` rows; page n begins at row n * size."""

    def __init__(self, size: int) -> None:
        self.size = min(size, HELD_ROWS)
        self.stale: set[int] = set()  # pages of before the last reload: still shown, and fetched again
        self._pages: dict[int, list[Row]] = {}

    @property
    def held(self) -> int:
        """How many rows are in memory."""
        return sum(map(len, self._pages.values()))

    def number(self, index: int) -> int:
        """The page of a row."""
        return index // self.size

    def row(self, index: int) -> Row | None:
        """The row at an index, if it is held."""
        page = self._pages.get(self.number(index), [])
        at = index % self.size
        return page[at] if at < len(page) else None

    def is_stale(self, index: int) -> bool:
        """Whether what is held of a row is out of date."""
        return self.number(index) in self.stale

    def missing(self, indexes: Iterable[int], total: int | None) -> int | None:
        """The first page that one of these rows lacks, in a table of ``total`` rows (None: nobody knows yet)."""
        for index in indexes:
            number = self.number(index)
            in_table = total is None or number * self.size < max(total, 1)
            if in_table and (number not in self._pages or number in self.stale):
                return number
        return None

    def expire(self) -> None:
        """All that is held is out of date."""
        self.stale = set(self._pages)

    def put(self, number: int, rows: Sequence[Row], *, here: int) -> None:
        """Hold a page that came, and let go of those furthest from row ``here`` if there are too many."""
        self._pages[number] = list(rows)
        self.stale.discard(number)
        while len(self._pages) * self.size > HELD_ROWS:
            self._drop(max(self._pages, key=lambda held: abs(held - self.number(here))))

    def cut(self, total: int) -> None:
        """The table ends after ``total`` rows."""
        for number in [number for number in self._pages if number * self.size >= max(total, 1)]:
            self._drop(number)

    def replace(self, row: Row) -> bool:
        """Put ``row`` where the held row of its key is; whether there is one."""
        found = False
        for page in self._pages.values():
            for at, held in enumerate(page):
                if held.key == row.key:
                    page[at], found = row, True
        return found

    def find(self, number: int, key: RowKey | None) -> int | None:
        """The index of the row of ``key``, if page ``number`` has it."""
        for at, row in enumerate(self._pages.get(number, ())):
            if row.key == key:
                return number * self.size + at
        return None

    def _drop(self, number: int) -> None:
        del self._pages[number]
        self.stale.discard(number)


async def called(function: Callable[..., Any], *arguments: object) -> Any:
    """What ``function`` gives: a coroutine function in this loop, any other in a thread."""
    if iscoroutinefunction(function):
        return await function(*arguments)
    given = await asyncio.to_thread(function, *arguments)
    return await given if isawaitable(given) else given
