"""A search through several texts: where its hits are and which one is looked at. No widget in here."""

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
        """The hit looked at, counted through all texts; -1 for none."""
        flags = re.NOFLAG if any(char.isupper() for char in query) else re.IGNORECASE
        self._pattern = re.compile(re.escape(query), flags)
        self._starts: list[array[int]] = []
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        """How many hits there are."""
        return sum(map(len, self._starts))

    def add(self, text: str) -> None:
        """Search one more text."""
        if self.query:
            self._starts.append(self._find(text, 0))

    def extend(self, index: int, text: str, known: int) -> None:
        """Text ``index`` grew to ``text``; of it ``known`` code points were searched already."""
        if self.query:
            self._starts[index].extend(self._find(text, max(known - len(self.query) + 1, 0)))

    def keep(self, count: int) -> None:
        """Forget all but the first ``count`` texts."""
        del self._starts[count:]
        self.current = min(self.current, len(self) - 1)

    def _find(self, text: str, start: int) -> array[int]:
        return array("q", (match.start() for match in self._pattern.finditer(text, start)))

    def first_from(self, index: int, offset: int) -> int:
        """The number of the first hit at or behind a place, the first of all if there is none behind it."""
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
        """(start, end, whether it is the current one) of the hits that share code points [start, end) of a text."""
        if not len(self):
            return
        starts, size, current = self._starts[index], len(self.query), self.place
        for hit in starts[bisect_right(starts, start - size) : bisect_left(starts, end)]:
            yield hit, hit + size, current == (index, hit)
