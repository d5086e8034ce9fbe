"""The whole chain in one column: which moves fill it, where the turns are, which part is in sight."""

from __future__ import annotations

from rich.segment import Segment as Drawn
from rich.style import Style
from textual import events
from textual.strip import Strip
from textual.widget import Widget

from o1lab.widgets.kinds import letter_of, style_of
from o1lab.widgets.reader_body import THOUGHT, ReaderBody

_TURNS = ("backtrack", "reflect")  # what a reader looks for; the first one found wins


class Minimap(Widget):
    """Three cells wide: what is in sight (▐), the letter of the move that fills most of the rows this one stands
    for, and R or B where a reflection or a backtrack stands among them. A click scrolls there."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Minimap { width: 3; height: 1fr; background: $background; color: $foreground; }
    """

    def __init__(self, body: ReaderBody) -> None:
        super().__init__()
        self._body = body
        self._rows: list[tuple[str, str]] = []
        """(kind that fills most, turn or "") of each row of the map."""

    def lay_out(self) -> None:
        """Count again which moves stand where, after the rows of the body changed."""
        height, body = self.size.height, self._body
        rows = body.rows
        filled: list[dict[str, int]] = [{} for _ in range(height)]
        turns = [""] * height
        for segment in body.segments if rows and height else ():
            first = body.row_of(THOUGHT, segment.start)
            last = body.row_of(THOUGHT, segment.end - 1)
            low, high = self._map_row(first), self._map_row(last)
            for at in range(low, high + 1):
                begin, stop = at * self._scale, (at + 1) * self._scale
                share = min(last + 1, stop) - max(first, begin)
                filled[at][segment.kind] = filled[at].get(segment.kind, 0) + max(int(100 * share), 1)
            if segment.kind in _TURNS and turns[low] != _TURNS[0]:
                turns[low] = segment.kind
        self._rows = [
            (max(kinds, key=kinds.__getitem__) if kinds else "", turn)
            for kinds, turn in zip(filled, turns, strict=True)
        ]
        self.refresh()

    @property
    def _scale(self) -> float:
        """Rows of the body for one row of the map; a short chain is not stretched."""
        return max(self._body.rows / max(self.size.height, 1), 1.0)

    def _map_row(self, row: int) -> int:
        return min(int(row / self._scale), self.size.height - 1)

    def on_resize(self) -> None:
        self.lay_out()

    def render_line(self, y: int) -> Strip:
        base = self.rich_style
        kind, turn = self._rows[y] if y < len(self._rows) else ("", "")
        top = self._body.scroll_offset.y
        bottom = min(top + self._body.scrollable_content_region.height, self._body.rows) - 1
        in_sight = self._map_row(top) <= y <= self._map_row(bottom) and self._body.rows > 0
        return Strip(
            [
                Drawn("▐" if in_sight else "│", base if in_sight else base + Style(dim=True)),
                Drawn(letter_of(kind) if kind else " ", base + style_of(kind) + Style(bold=False)),
                Drawn(letter_of(turn) if turn else " ", base + style_of(turn) + Style(reverse=bool(turn))),
            ]
        )

    def on_click(self, event: events.Click) -> None:
        height = self._body.scrollable_content_region.height
        self._body.go_to_row(int(event.y * self._scale) - height // 2)
