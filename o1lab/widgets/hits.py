"""A search in several texts: the positions of its hits, and the current one. No widgets."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class Hits:
    """Every occurrence of ``query`` in ``texts``; case matters only if ``query`` has a capital.

    An empty query has no hits.
    """

    def __init__(self, query: str = "", texts: Iterable[str] = ()) -> None:
        self.query = query
        self.current = -1
        """The number of the current hit, counted through all texts; -1 for none."""
        flags = re.NOFLAG if any(char.isupper() for char in query) else re.IGNORECASE
        self._pattern = re.compile(re.escape(query), flags)
        self._starts: list[array[int]] = []
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        """Return the number of hits."""
        return sum(map(len, self._starts))

    def add(self, text: str) -> None:
        """Search another text."""
        if self.query:
            self._starts.append(self._find(text, 0))

    def extend(self, index: int, text: str, known: int) -> None:
        """Search the rest of text ``index``, which grew to ``text``, behind its ``known`` code points."""
        if self.query:
            self._starts[index].extend(self._find(text, max(known - len(self.query) + 1, 0)))

    def keep(self, count: int) -> None:
        """Drop the hits of all but the first ``count`` texts."""
        del self._starts[count:]
        self.current = min(self.current, len(self) - 1)

    def _find(self, text: str, start: int) -> array[int]:
        return array("q", (match.start() for match in self._pattern.finditer(text, start)))

    def first_from(self, index: int, offset: int) -> int:
        """Return the number of the first hit at or after a place; the first of all if there is none."""
        before = sum(map(len, self._starts[:index])) + bisect_left(self._starts[index], offset)
        return before % len(self)

    @property
    def place(self) -> tuple[int, int] | None:
        """(text, code point) of the current hit."""
        number = self.current
        for index, starts in enumerate(self._starts):
            if 0 <= number < len(starts):
                return index, starts[number]
            number -= len(starts)
        return None

    def inside(self, index: int, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """Yield (start, end, whether it is current) of the hits that overlap code points [start, end) of a text."""
        if not len(self):
            return
        starts, size, current = self._starts[index], len(self.query), self.place
        for hit in starts[bisect_right(starts, start - size) : bisect_left(starts, end)]:
            yield hit, hit + size, current == (index, hit)
