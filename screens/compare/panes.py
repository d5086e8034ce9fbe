"""The panes of the Compare screen: side by side if they fit, else one at a time below a line of tabs."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from o1lab.text import one_line
from o1lab.widgets.stream_pane import StreamPane

NARROWEST = 38
"""Minimum width of a pane in cells; below it the panes become tabs."""


class Panes(Vertical):
    """A StreamPane per place; places count from 0, from the left."""

    def compose(self) -> ComposeResult:
        yield Static(id="tabs", markup=False)
        yield Horizontal(id="row")

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.current = 0
        self.names: list[tuple[str, str]] = []

    @property
    def places(self) -> list[StreamPane]:
        return list(self.query_one("#row").query_children(StreamPane).results(StreamPane))

    @property
    def tabbed(self) -> bool:
        return len(self.places) > 1 and self.size.width < NARROWEST * len(self.places)

    async def set_count(self, count: int) -> None:
        """Set the number of panes, and empty all of them."""
        row, places = self.query_one("#row"), self.places
        for pane in places[:count]:  # kept, with the focus
            pane.clear()
        for pane in places[count:]:
            await pane.remove()
        await row.mount(*(StreamPane(classes="pane") for _ in range(count - len(places))))
        self.current = min(self.current, max(count - 1, 0))
        self.arrange_places()

    def name_places(self, names: Sequence[tuple[str, str]]) -> None:
        """Set (name, mark) of each place for the line of tabs."""
        if list(names) != self.names:
            self.names = list(names)
            self._draw_tabs()

    def show_place(self, place: int) -> None:
        """Make ``place`` the current one and show it."""
        self.current = place
        self.arrange_places()

    def focus_current(self) -> None:
        """Focus the current pane."""
        if self.places:
            self.places[self.current].focus()

    def place_of_focus(self) -> int | None:
        """Return the place of the focused pane."""
        focused = self.screen.focused
        if focused is None:
            return None
        return next((at for at, pane in enumerate(self.places) if pane in focused.ancestors_with_self), None)

    def on_descendant_focus(self) -> None:
        place = self.place_of_focus()
        if place is not None and place != self.current:
            self.show_place(place)

    def on_resize(self, event: events.Resize) -> None:
        self.arrange_places()

    def arrange_places(self) -> None:
        """Show all panes, or only the current one if they would be too narrow."""
        tabbed = self.tabbed
        for at, pane in enumerate(self.places):
            pane.display = not tabbed or at == self.current
        self.query_one("#tabs").display = tabbed
        self._draw_tabs()

    def _draw_tabs(self) -> None:
        line = Text(no_wrap=True, overflow="ellipsis")
        room = max(self.size.width // max(len(self.names), 1) - 4, 4)
        for at, (name, sign) in enumerate(self.names):
            label = f" {sign.strip()}{' ' if sign.strip() else ''}{one_line(name, room)} "
            # Brackets as well as reverse, so that the current tab is not marked by colour alone.
            line.append(f"[{label}]" if at == self.current else f" {label} ", "reverse" if at == self.current else "")
        self.query_one("#tabs", Static).update(line)
