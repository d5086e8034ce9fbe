"""The parts of the Train screen: the list of runs, and panes of text that grow at their end."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from o1lab.text import visible
from o1lab.widgets.line_view import LineView
from screens.train_text import list_cell
from screens.train_watch import RunLine

_MOST_ROWS = 5000


class RunList(OptionList):
    """Every run, the newest first; redraws only the rows that changed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", "Down", show=False),
        Binding("k", "cursor_up", "Up", show=False),
        Binding("g", "first", "First", show=False),
        Binding("G", "last", "Last", show=False),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, markup=False)
        self._shown: dict[str, Text] = {}

    def show(self, lines: Sequence[RunLine], marked: Collection[str], selected: str | None) -> None:
        """Draw ``lines``; the cursor stays on its run, or goes to ``selected`` when the runs are others."""
        cells = {line.id: list_cell(line, marked=line.id in marked) for line in lines}
        if list(cells) != list(self._shown):
            with self.prevent(OptionList.OptionHighlighted):
                self.set_options([Option(cell, id=run_id) for run_id, cell in cells.items()])
                self.point_at(selected)
        else:
            for run_id, cell in cells.items():
                if cell != self._shown[run_id]:
                    self.replace_option_prompt(run_id, cell)
        self._shown = cells

    def point_at(self, run_id: str | None) -> None:
        """Put the cursor on a run, if it is in the list."""
        if run_id in self._shown or (run_id and any(option.id == run_id for option in self.options)):
            self.highlighted = self.get_option_index(run_id)


class TextPane(VerticalScroll, can_focus=True):
    """A titled pane of text."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "scroll_down", "Down", show=False),
        Binding("k", "scroll_up", "Up", show=False),
        Binding("g", "scroll_home", "Top", show=False),
        Binding("G", "scroll_end", "End", show=False),
    ]

    def __init__(self, title: str, *, id: str) -> None:
        super().__init__(id=id)
        self.border_title = title
        self._shown: Text | None = None

    def compose(self) -> ComposeResult:
        yield Static(markup=False)

    def show(self, text: Text) -> None:
        """Show ``text`` if it is another than what stands there."""
        if text != self._shown:
            self._shown = text
            self.query_one(Static).update(text)


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
