"""A scrolling view of long text that styles only the lines in sight (Textual's line API).

The base of the chain reader and of the streaming pane: sections of wrapped text one under the other,
a gutter, highlights, search with counted hits, and a place that survives a resize.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message
from textual.scroll_view import ScrollView


class LineView(ScrollView, can_focus=True):
    """Keys: j k (or arrows) a line, space/pgdn and pgup a page, g G the ends, n p the next and previous hit,
    y copies what is selected (or all of it), made safe with ``o1lab.text.visible``."""

    @dataclass
    class Searched(Message):
        """Hits of the current search: ``current`` counts from 1 (0: none in sight yet)."""

        view: LineView
        query: str
        current: int
        total: int

    @property
    def rows(self) -> int:
        """How many rows there are to scroll over."""
        raise NotImplementedError

    def set_text(self, text: str) -> None:
        """Show one text from its beginning."""

    def search(self, query: str) -> int:
        """Highlight every occurrence (case matters only if ``query`` has a capital), go to the first one at or
        after the place in sight, and return how many there are. An empty query clears the search."""
        raise NotImplementedError

    def next_hit(self) -> None:
        """Go to the next hit, from the last round to the first."""

    def previous_hit(self) -> None:
        """Go to the previous hit, from the first round to the last."""
