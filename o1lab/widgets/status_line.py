"""One line of text that changes often."""

from __future__ import annotations

from rich.segment import Segment
from rich.text import Text
from textual.strip import Strip
from textual.widget import Widget


class StatusLine(Widget):
    """What was given to ``show``, cut with an ellipsis where it is too long.

    A ``Static`` would lay it out as a page each time, which costs more than scrolling the page above it.
    """

    ALLOW_SELECT = False
    DEFAULT_CSS = "StatusLine { height: 1; }"

    def __init__(self, *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._text = Text()

    def show(self, text: Text) -> None:
        """Show ``text``; what it holds must have gone through ``visible``."""
        if text != self._text:
            self._text = text
            self.refresh()

    def render(self) -> Text:
        return self._text

    def render_line(self, y: int) -> Strip:
        text = self._text.copy()
        text.truncate(self.size.width, overflow="ellipsis")
        return Strip(Segment.apply_style(text.render(self.app.console), self.visual_style.rich_style))
