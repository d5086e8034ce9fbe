"""The map of a chain next to its text."""

from __future__ import annotations

from itertools import pairwise

from rich.segment import Segment as Drawn
from rich.style import Style
from textual import events
from textual.strip import Strip
from textual.widget import Widget

from o1lab.widgets.reader.body import THOUGHT, ReaderBody
from o1lab.widgets.reader.document import letter_of, style_of

_TURNS = ("backtrack", "reflect")  # in order of precedence


class Minimap(Widget):
    """A map of the chain, three cells wide; a click scrolls there.

    The cells of a row are: whether it is visible (▐), the letter of the kind that fills most of it, and R or B if a
    reflection or backtracking begins in it.
    """

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Minimap { width: 3; height: 1fr; background: $background; color: $foreground; }
    """

    def __init__(self, body: ReaderBody) -> None:
        super().__init__()
        self._body = body
        self._scale = 1.0
        """Number of rows of the body per row of the map."""
        self._rows: list[tuple[str, str]] = []
        """(kind that fills most of it, turn or "") of each row of the map."""
        self._in_sight = (0, -1)

    def lay_out(self) -> None:
        """Recompute the map after the rows of the body changed."""
        height, body = self.size.height, self._body
        self._scale = max(body.rows / max(height, 1), 1.0)  # a short chain is not stretched
        edges = [self._offset_at(int(at * self._scale)) for at in range(height + 1)]
        self._rows = [self._summary(low, high) for low, high in pairwise(edges)]
        self._in_sight = self._seen()
        self.refresh()

    def _offset_at(self, row: int) -> int:
        """Return the code point of the thought at which a row of the body begins; its end for a row below it."""
        body = self._body
        if body.document is None or not body.sections:
            return 0
        section, line = body.sections.place_at(row) if row < body.rows else (THOUGHT + 1, 0)
        return body.sections[THOUGHT].text.span(line)[0] if section == THOUGHT else len(body.document.thought)

    def _summary(self, low: int, high: int) -> tuple[str, str]:
        """Return the kind that fills most of the code points [low, high), and the turn that begins in them."""
        outline = self._body.segments
        moves = outline.between(low, high)
        if not moves:
            return "", ""
        part = slice(moves.start, moves.stop)
        kinds = outline.kinds[part]
        filled = dict.fromkeys(kinds, 0)
        for kind, start, end in zip(kinds, outline.starts[part], outline.ends[part], strict=True):
            filled[kind] += end - start
        filled[kinds[0]] -= max(low - outline.starts[moves[0]], 0)
        filled[kinds[-1]] -= max(outline.ends[moves[-1]] - high, 0)
        begun = kinds if outline.starts[moves[0]] >= low else kinds[1:]
        return max(filled, key=filled.__getitem__), next((turn for turn in _TURNS if turn in begun), "")

    def on_resize(self) -> None:
        self.lay_out()

    def follow(self) -> None:
        """Mark the visible part."""
        if (seen := self._seen()) != self._in_sight:
            self._in_sight = seen
            self.refresh()

    def _seen(self) -> tuple[int, int]:
        """Return the first and the last row of the map for the visible part."""
        top, height = self._body.scroll_offset.y, self._body.scrollable_content_region.height
        bottom = min(top + height, self._body.rows) - 1
        last = self.size.height - 1
        return min(int(top / self._scale), last), min(int(bottom / self._scale), last)

    def render_line(self, y: int) -> Strip:
        base = self.visual_style.rich_style
        kind, turn = self._rows[y] if y < len(self._rows) else ("", "")
        in_sight = self._in_sight[0] <= y <= self._in_sight[1]
        return Strip(
            [
                Drawn("▐" if in_sight else "│", base if in_sight else base + Style(dim=True)),
                Drawn(letter_of(kind) if kind else " ", base + style_of(kind) + Style(bold=False)),
                Drawn(letter_of(turn) if turn else " ", base + style_of(turn) + Style(reverse=bool(turn))),
            ],
            3,
        )

    def on_click(self, event: events.Click) -> None:
        height = self._body.scrollable_content_region.height
        self._body.go_to_row(int(event.y * self._scale) - height // 2)
