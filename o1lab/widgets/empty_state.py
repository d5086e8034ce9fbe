"""The placeholder of a screen without content."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Center, Vertical
from textual.widgets import Static

from o1lab.text import visible


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
