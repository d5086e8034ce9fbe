"""The log of the Train screen: a pane of text that grows at its end."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events

from o1lab.text import visible
from o1lab.widgets.line_view import LineView

_MOST_ROWS = 5000


class LogPane(LineView):
    """The end of a log that grows: only what is new is laid out, and its end stays in sight unless one scrolled up."""

    def __init__(self, title: str, *, id: str) -> None:
        super().__init__(id=id)
        self.border_title = title
        self._lines: tuple[str, ...] = ()
        self._at_end = True

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._at_end = self.scroll_offset.y >= self.max_scroll_y

    def on_resize(self, event: events.Resize) -> None:
        if self._at_end:
            self.call_after_refresh(self.scroll_end, animate=False)

    def show(self, lines: tuple[str, ...]) -> None:
        """Show the last lines of the log; they are made visible here."""
        if lines == self._lines:
            return
        at_end = self._at_end  # new text scrolls to its top
        known = overlap(self._lines, lines)
        text = visible("\n".join(lines[known:]))
        self._lines = lines
        if known and self.rows < _MOST_ROWS:
            self.extend(0, "\n" + text if text else "")
        else:
            self.set_text(visible("\n".join(lines)))
        if at_end:
            self._at_end = True
            self.scroll_end(animate=False, immediate=True)


def overlap(before: Sequence[str], now: Sequence[str]) -> int:
    """How many of the first lines of ``now`` are the last of ``before``."""
    return next(
        (count for count in range(min(len(before), len(now)), 0, -1) if before[-count:] == now[:count]),
        0,
    )
