"""The moves of a thought in the order of their start, and finding among them. No widget in here."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from operator import ge, itemgetter
from typing import Literal, overload

from o1lab.widgets.document import Segment
from o1lab.widgets.kinds import name_of

_KIND, _START, _END = map(itemgetter, range(3))


class Outline(Sequence[Segment]):
    """Moves with named kinds, cut to a thought of ``size`` code points; what is empty or outside of it is left out.

    Kept in columns: of a hundred thousand moves hardly one is ever looked at alone, and to make an object of each
    takes longer than to lay the text out.
    """

    def __init__(self, given: Iterable[Segment | tuple[str, int, int]] = (), size: int = 0) -> None:
        ordered = sorted(given, key=_START)
        starts, ends = array("q", map(_START, ordered)), array("q", map(_END, ordered))
        if ordered and (starts[0] < 0 or starts[-1] >= size or max(ends) > size or any(map(ge, starts, ends))):
            ordered = [(kind, start, min(size, end)) for kind, start, end in ordered if 0 <= start < min(size, end)]
            starts, ends = array("q", map(_START, ordered)), array("q", map(_END, ordered))
        names = {kind: name_of(kind) for kind in set(map(_KIND, ordered))}
        self.kinds = list(map(names.__getitem__, map(_KIND, ordered)))
        self.starts, self.ends = starts, ends

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, index: int) -> Segment: ...
    @overload
    def __getitem__(self, index: slice) -> list[Segment]: ...
    def __getitem__(self, index: int | slice) -> Segment | list[Segment]:
        if isinstance(index, slice):
            return list(map(Segment, self.kinds[index], self.starts[index], self.ends[index]))
        return Segment(self.kinds[index], self.starts[index], self.ends[index])

    def at(self, offset: int) -> int:
        """The index of the move that holds a code point, -1 for none."""
        index = bisect_right(self.starts, offset) - 1
        return index if index >= 0 and offset < self.ends[index] else -1

    def nearest(self, offset: int) -> int:
        """The index of the move that holds a code point, else of the next one (the last behind all of them)."""
        index = self.at(offset)
        return index if index >= 0 else min(bisect_left(self.starts, offset), len(self) - 1)

    def between(self, start: int, end: int) -> range:
        """The indices of the moves that share code points [start, end)."""
        first = bisect_right(self.starts, start) - 1
        if first < 0 or self.ends[first] <= start:
            first += 1
        return range(first, bisect_left(self.starts, end, first))

    def of_kind(self, kind: str) -> list[int]:
        """The indices of the moves of a kind, given by name or letter."""
        name = name_of(kind)
        return [index for index, other in enumerate(self.kinds) if other == name]

    def step(self, index: int, step: Literal[1, -1], kind: str | None = None) -> int | None:
        """The index of the next (1) or previous (-1) move, of a kind if one is given; None if there is none."""
        wanted = None if kind is None else name_of(kind)
        for other in range(index + step, len(self) if step > 0 else -1, step):
            if wanted is None or self.kinds[other] == wanted:
                return other
        return None

    def breaks(self, thought: str) -> Sequence[int]:
        """Where lines begin: with each move, and with text between moves that is more than whitespace."""
        found = set(self.starts)
        followings = chain(islice(self.starts, 1, None), (len(thought),))
        for end, following in zip(self.ends, followings, strict=False):
            if end < following and not thought[end:following].isspace():
                found.add(end)
        return sorted(found)
