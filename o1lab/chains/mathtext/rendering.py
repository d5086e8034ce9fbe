"""The result of rendering: the drawn text, and which code points of the source each part of it stands for."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, Protocol

Look = Literal["strong", "emphasis", "heading", "code"]


class Run(NamedTuple):
    """Drawn text that stands for the code points [start, stop) of the source.

    ``kind`` tells the spacing of formulas what the text is; ``look`` names a style.
    """

    text: str
    start: int
    stop: int
    kind: str = ""
    look: Look | None = None


class Argument(NamedTuple):
    """An argument: its content is [start, stop), and the next one begins at ``after``."""

    start: int
    stop: int
    after: int


class FormulaReader(Protocol):
    """What commands and grids need of the formula in which they stand: its source, and runs of parts of it."""

    text: str
    multiline: bool
    depth: int

    def group_end(self, at: int, end: int) -> int | None: ...

    def argument(self, at: int, end: int) -> Argument | None: ...

    def option(self, at: int, end: int) -> Argument | None: ...

    def sequence(self, start: int, end: int) -> list[Run]: ...

    def part(self, start: int, end: int) -> list[Run]: ...

    def atom(self, at: int, end: int) -> tuple[list[Run], int]: ...


class Rendering:
    """Drawn text in runs that partition source and drawn text, both in order.

    A run that draws its source unchanged maps one to one; any other run is a block, whose parts all map to its
    beginning. Source that draws nothing (a brace, a dollar sign) belongs to its neighbour.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._parts: list[str] = []
        self._text: str | None = ""
        self.size = 0
        """Number of code points drawn."""
        self.source_size = 0
        self._drawn = array("q")
        """Where each run begins in the drawn text."""
        self._source = array("q")
        """Where each run begins in the source."""
        self._is_block = bytearray()
        self._look_bounds = array("q")
        self._looks: list[Look | None] = []
        """The look from each bound on."""
        self._unseen = 0
        """Number of code points of the source before the next run that draw nothing."""

    @property
    def text(self) -> str:
        """The drawn text."""
        if self._text is None:
            self._text = "".join(self._parts)
            self._parts = [self._text]
        return self._text

    def _begin(self, text: str, source: int, is_block: bool) -> None:
        self._drawn.append(self.size)
        self._source.append(source)
        self._is_block.append(is_block)
        self._parts.append(text)
        self.size += len(text)
        self._text = None

    def add(self, text: str, length: int, look: Look | None = None) -> None:
        """Append ``text``, which stands for the next ``length`` code points of the source."""
        if not text:
            self._unseen += length
            return
        if look != (self._looks[-1] if self._looks else None):
            self._look_bounds.append(self.size)
            self._looks.append(look)
        at = self.source_size + self._unseen
        same = len(text) == length and self.source.startswith(text, at)
        if self._unseen and same and length > 1:
            self._begin(text[0], self.source_size, True)
            self._begin(text[1:], at + 1, False)
        else:
            self._begin(text, self.source_size, bool(self._unseen) or not same)
        self.source_size, self._unseen = at + length, 0

    def close(self, length: int) -> None:
        """Append ``length`` code points that draw nothing and belong to the text before them."""
        if not self._drawn or self._unseen:
            self._unseen += length
            return
        if not self._is_block[-1] and self.size - self._drawn[-1] > 1:  # only the last character becomes a block
            self._drawn.append(self.size - 1)
            self._source.append(self.source_size - 1)
            self._is_block.append(True)
        self._is_block[-1] = True
        self.source_size += length

    def finish(self) -> Rendering:
        """Give what is left without a drawing to the last run."""
        unseen, self._unseen = self._unseen, 0
        if unseen and self._drawn:
            self.close(unseen)
        else:
            self.source_size += unseen
        return self

    def extend(self, runs: Iterable[Run]) -> None:
        """Append runs."""
        for run in runs:
            if run.text or run.kind != "close":
                self.add(run.text, run.stop - run.start, run.look)
            else:
                self.close(run.stop - run.start)

    def _bounds(self, index: int) -> tuple[int, int, int, int]:
        """Return (drawn start, drawn end, source start, source end) of a run."""
        last = index + 1 == len(self._drawn)
        return (
            self._drawn[index],
            self.size if last else self._drawn[index + 1],
            self._source[index],
            self.source_size if last else self._source[index + 1],
        )

    def to_drawn(self, offset: int) -> int:
        """Return where code point ``offset`` of the source is drawn."""
        if offset >= self.source_size:
            return self.size
        index = bisect_right(self._source, offset) - 1
        if index < 0:
            return 0
        drawn, drawn_end, source, _ = self._bounds(index)
        if not self._is_block[index]:
            return drawn + offset - source
        # A formula that begins on a line of its own is drawn after the line break.
        return drawn + 1 if drawn_end - drawn > 1 and self.text[drawn] == "\n" else drawn

    def to_source(self, offset: int) -> int:
        """Return the first code point of the source that is drawn at ``offset``."""
        if offset >= self.size:
            return self.source_size
        index = bisect_right(self._drawn, offset) - 1
        return self._source[index] + (0 if self._is_block[index] else offset - self._drawn[index])

    def block(self, offset: int) -> tuple[int, int]:
        """Return the code points [start, end) of the source that are drawn together with code point ``offset``."""
        index = bisect_right(self._source, offset) - 1
        if index < 0 or offset >= self.source_size or not self._is_block[index]:
            return offset, offset + 1
        return self._bounds(index)[2:]

    def pieces(self, start: int, end: int) -> Iterator[tuple[int, int, int, int, Look | None]]:
        """Yield (source start, end, drawn start, end, look) of drawn [start, end), cut at runs and looks."""
        index = bisect_right(self._drawn, start) - 1
        bound = bisect_right(self._look_bounds, start) - 1
        while start < end:
            drawn, drawn_end, source, source_end = self._bounds(index)
            following = self._look_bounds[bound + 1] if bound + 1 < len(self._looks) else self.size
            stop = min(end, drawn_end, following)
            if not self._is_block[index]:
                source, source_end = source + start - drawn, source + stop - drawn
            yield source, source_end, start, stop, self._looks[bound] if bound >= 0 else None
            start = stop
            index += stop == drawn_end
            bound += stop == following
