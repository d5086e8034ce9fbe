"""Text laid out in terminal cells: visual lines with offsets back to the code points of the source.

No widget in here. Control characters, bidi controls and other invisible code points are drawn as visible
symbols (``o1lab.text.visible``), yet every offset stays an offset into the text as it was given.
"""

from __future__ import annotations

from collections.abc import Sequence


class WrappedText:
    """``text`` wrapped to ``width`` cells (wide CJK 2, combining marks 0, tabs to stops of 4).

    The lines partition the text: line i covers code points ``starts[i]`` up to ``starts[i + 1]``, its newline
    or the space it broke at included. A new line is also begun at every offset in ``breaks`` (ascending).
    """

    text: str
    width: int

    def __init__(self, text: str = "", width: int = 80, breaks: Sequence[int] = ()) -> None: ...

    def __len__(self) -> int:
        """How many visual lines; an empty text has none."""
        raise NotImplementedError

    def rewrap(self, width: int) -> None:
        """Lay the text out again for another width."""

    def append(self, delta: str) -> int:
        """Add to the end; only the last visual line is laid out again. The first line that may have changed."""
        raise NotImplementedError

    def span(self, line: int) -> tuple[int, int]:
        """The code points [start, end) that visual line ``line`` covers."""
        raise NotImplementedError

    def line_of(self, offset: int) -> int:
        """The visual line on which code point ``offset`` stands."""
        raise NotImplementedError

    def cell_of(self, offset: int) -> int:
        """The cell, from the left of its line, at which code point ``offset`` is drawn."""
        raise NotImplementedError

    def offset_at(self, line: int, cell: int) -> int:
        """The code point drawn at ``cell`` of ``line`` (the last one of the line if it is shorter)."""
        raise NotImplementedError

    def shown(self, line: int, cuts: Sequence[int] = ()) -> list[tuple[int, str, int]]:
        """What is drawn of ``line``, cut at the offsets ``cuts``: (start offset, safe text, cells) in order."""
        raise NotImplementedError
