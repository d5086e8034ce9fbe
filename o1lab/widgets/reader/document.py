"""The document that the chain reader shows, the outline of its moves, and the letter and style of each kind."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from operator import ge, itemgetter
from typing import Literal, NamedTuple, overload

from rich.style import Style

from o1lab.chains.segmentation.moves import MOVE_OF_LETTER, MoveKind

_KIND, _START, _END = map(itemgetter, range(3))


class Segment(NamedTuple):
    """One move of the thought, which covers its code points [start, end).

    ``kind`` is a name ("reflect") or a letter ("R"). Text between segments is shown without a letter.
    """

    kind: str
    start: int
    end: int


class Span(NamedTuple):
    """An annotated span of the thought, code points [start, end), with its label.

    ``mark`` is its character in the gutter; an empty ``colour`` is that of all spans.
    """

    start: int
    end: int
    label: str
    mark: str = "*"
    colour: str = ""


class LabelKey(NamedTuple):
    """A label that the lab offers, with its colour and its digit if it has one."""

    name: str
    colour: str
    digit: int | None


class Sign(NamedTuple):
    """A sign in the gutter of the move with a code point, and the text that the status line shows for it."""

    at: int
    sign: str
    style: str
    label: str


@dataclass(frozen=True, slots=True)
class ReaderDocument:
    """A chain: the thought with its moves, annotated spans and signs, and the solution; the labels of the lab."""

    thought: str
    solution: str = ""
    segments: Sequence[Segment | tuple[str, int, int]] = field(default=())
    spans: Sequence[Span | tuple[int, int, str]] = field(default=())
    signs: Sequence[Sign] = field(default=())
    labels: Sequence[LabelKey] = field(default=())


class Outline(Sequence[Segment]):
    """The moves of a thought in the order of their start, with named kinds.

    Moves are cut to the ``size`` code points of the thought; empty ones and ones outside are dropped. They are stored
    in columns: creating an object for each of a hundred thousand moves takes longer than the layout of the text.
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
        """Return the index of the move with a code point, -1 for none."""
        index = bisect_right(self.starts, offset) - 1
        return index if index >= 0 and offset < self.ends[index] else -1

    def nearest(self, offset: int) -> int:
        """Return the index of the move with a code point, or of the next one (the last one after all moves)."""
        index = self.at(offset)
        return index if index >= 0 else min(bisect_left(self.starts, offset), len(self) - 1)

    def between(self, start: int, end: int) -> range:
        """Return the indices of the moves that overlap code points [start, end)."""
        first = bisect_right(self.starts, start) - 1
        if first < 0 or self.ends[first] <= start:
            first += 1
        return range(first, bisect_left(self.starts, end, first))

    def of_kind(self, kind: str) -> list[int]:
        """Return the indices of the moves of a kind, given by name or letter."""
        name = name_of(kind)
        return [index for index, other in enumerate(self.kinds) if other == name]

    def step(self, index: int, step: Literal[1, -1], kind: str | None = None) -> int | None:
        """Return the index of the next (1) or previous (-1) move, of a kind if given; None if there is none."""
        wanted = None if kind is None else name_of(kind)
        for other in range(index + step, len(self) if step > 0 else -1, step):
            if wanted is None or self.kinds[other] == wanted:
                return other
        return None

    def placed(self, signs: Iterable[Sign]) -> dict[int, list[Sign]]:
        """Return the signs of each move that has any, by its index."""
        found: dict[int, list[Sign]] = {}
        for sign in signs:
            if (index := self.at(sign.at)) >= 0:
                found.setdefault(index, []).append(sign)
        return found

    def breaks(self, thought: str) -> Sequence[int]:
        """Return where lines begin: at each move, and at text between moves that is not only white space."""
        found = set(self.starts)
        followings = chain(islice(self.starts, 1, None), (len(thought),))
        for end, following in zip(self.ends, followings, strict=False):
            if end < following and not thought[end:following].isspace():
                found.add(end)
        return sorted(found)


# Letters and bold carry the meaning; the colours are among the terminal's sixteen.
_STYLES = {
    MoveKind.UNDERSTAND: Style(color="blue"),
    MoveKind.PLAN: Style(color="cyan"),
    MoveKind.COMPUTE: Style(color="white"),
    MoveKind.REFLECT: Style(color="yellow", bold=True),
    MoveKind.BACKTRACK: Style(color="red", bold=True),
    MoveKind.VERIFY: Style(color="green"),
    MoveKind.CONCLUDE: Style(color="magenta", bold=True),
}


def name_of(kind: str) -> str:
    """Return the name of a kind given by name or letter; an unknown kind is returned unchanged."""
    return str(MOVE_OF_LETTER.get(kind, kind))


def letter_of(kind: str) -> str:
    """Return the letter of a kind given by name or letter; `?` for an unknown kind."""
    try:
        return MoveKind(name_of(kind)).letter
    except ValueError:
        return "?"


def style_of(kind: str) -> Style:
    """Return the style of the letter of a kind."""
    try:
        return _STYLES[MoveKind(name_of(kind))]
    except ValueError:
        return Style.null()
