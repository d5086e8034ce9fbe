"""The moves of a thought in the order of their start, and finding among them. No widget in here."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from operator import itemgetter
from typing import Literal

from o1lab.widgets.document import Segment
from o1lab.widgets.kinds import name_of

_START = itemgetter(1)


class Outline(list[Segment]):
    """Moves with named kinds, cut to a thought of ``size`` code points; what is empty or outside of it is left out."""

    def __init__(self, given: Iterable[Segment | tuple[str, int, int]] = (), size: int = 0) -> None:
        ordered = sorted(given, key=_START)
        names = {kind: name_of(kind) for kind in {segment[0] for segment in ordered}}
        super().__init__(
            Segment(names[kind], start, min(size, end))
            for kind, start, end in ordered
            if 0 <= start < end and start < size
        )
        self.starts = array("q", map(_START, self))

    def at(self, offset: int) -> int:
        """The index of the move that holds a code point, -1 for none."""
        index = bisect_right(self.starts, offset) - 1
        return index if index >= 0 and offset < self[index].end else -1

    def nearest(self, offset: int) -> int:
        """The index of the move that holds a code point, else of the next one (the last behind all of them)."""
        index = self.at(offset)
        return index if index >= 0 else min(bisect_left(self.starts, offset), len(self) - 1)

    def between(self, start: int, end: int) -> list[Segment]:
        """The moves that share code points [start, end)."""
        first = max(bisect_right(self.starts, start) - 1, 0)
        return [segment for segment in self[first : bisect_left(self.starts, end)] if segment.end > start]

    def of_kind(self, kind: str) -> list[int]:
        """The indices of the moves of a kind, given by name or letter."""
        name = name_of(kind)
        return [index for index, segment in enumerate(self) if segment.kind == name]

    def step(self, index: int, step: Literal[1, -1], kind: str | None = None) -> int | None:
        """The index of the next (1) or previous (-1) move, of a kind if one is given; None if there is none."""
        wanted = None if kind is None else name_of(kind)
        for other in range(index + step, len(self) if step > 0 else -1, step):
            if wanted is None or self[other].kind == wanted:
                return other
        return None

    def breaks(self, thought: str) -> Sequence[int]:
        """Where lines begin: with each move, and with text between moves that is more than whitespace."""
        found = set(self.starts)
        followings = chain(islice(self.starts, 1, None), (len(thought),))
        for (_, _, end), following in zip(self, followings, strict=False):
            if end < following and not thought[end:following].isspace():
                found.add(end)
        return sorted(found)
