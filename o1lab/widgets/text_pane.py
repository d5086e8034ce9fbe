"""Widgets of text: a scrolling pane with a title, a text as tall as its content, the placeholder of an empty screen."""

from __future__ import annotations

from typing import ClassVar, Self

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Center, Vertical, VerticalScroll
from textual.geometry import Region
from textual.widgets import Static

from o1lab.text import visible
from o1lab.widgets.keys import Binding


class TallText(Static):
    """A ``Static`` of height ``auto`` whose text can be updated at any time.

    Textual caches the height of a widget until its count of layout requests rises, and the count rises only once until
    the widget is idle. A text updated after a layout and before the widget is idle, as on a screen that is starting,
    would keep the height of the previous text.
    """

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        if layout:
            self._layout_updates += 1
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)


class TextPane(VerticalScroll, can_focus=True):
    """A scrolling pane of text with a title in its border."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "scroll_down", "Down", show=False, tooltip="Scroll down"),
        Binding("k", "scroll_up", "Up", show=False, tooltip="Scroll up"),
        Binding("g", "scroll_home", "Top", show=False, tooltip="Go to the top"),
        Binding("G", "scroll_end", "End", show=False, tooltip="Go to the end"),
    ]

    def __init__(self, title: str, *, id: str) -> None:
        super().__init__(id=id)
        self.border_title = title
        self._shown: Text | None = None

    def compose(self) -> ComposeResult:
        yield Static(markup=False)

    def show(self, text: Text) -> None:
        """Show ``text``, unless it is shown already."""
        if text != self._shown:
            self._shown = text
            self.query_one(Static).update(text)


class EmptyState(Vertical):
    """Shows what is missing, and the next action with its key."""

    DEFAULT_CSS = """
    EmptyState {
        align: center middle;
        height: 1fr;
        Static { width: auto; max-width: 100%; text-align: center; }
        .empty--title { text-style: bold; }
    }
    """

    def __init__(self, title: str, next_action: str = "", *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._title = Static(visible(title), markup=False, classes="empty--title")
        self._next = Static(visible(next_action), markup=False)

    def compose(self) -> ComposeResult:
        yield Center(self._title)
        yield Center(self._next)

    def set(self, title: str, next_action: str = "") -> None:
        """Replace both texts."""
        self._title.update(visible(title))
        self._next.update(visible(next_action))
