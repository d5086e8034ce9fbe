"""The status line: the parts that fit, and the number of the others."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import events
from textual.widgets import Static

_GAP = " · "


class StatusLine(Static):
    """Parts in a row, the most important first; without parts the line is hidden."""

    DEFAULT_CSS = """
    StatusLine { height: 1; padding: 0 1; background: $surface; color: $text; text-wrap: nowrap; display: none; }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, markup=False)
        self._parts: tuple[Text, ...] = ()

    def show(self, parts: Sequence[Text]) -> None:
        """Show these parts; none hides the line."""
        if tuple(parts) != self._parts:
            self._parts = tuple(parts)
            self.display = bool(parts)
            self._draw()

    def on_resize(self, event: events.Resize) -> None:
        self._draw()

    def _draw(self) -> None:
        self.update(fitted(self._parts, max(self.app.size.width - 2, 1)))


def fitted(parts: Sequence[Text], width: int) -> Text:
    """Return the first parts that fit into ``width`` cells, and how many more there are; at least the first one."""
    line = Text(no_wrap=True, overflow="ellipsis")
    for number, part in enumerate(parts):
        left = len(parts) - number - 1
        more = len(f"{_GAP}+{left}") if left else 0
        if number and line.cell_len + len(_GAP) + part.cell_len + more > width:
            return line.append(f"{_GAP}+{left + 1}", "dim")
        line.append(_GAP if number else "", "dim").append_text(part)
    line.truncate(width, overflow="ellipsis")
    return line
