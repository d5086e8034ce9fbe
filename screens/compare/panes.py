"""The panes of the Compare screen, side by side if they fit, else as tabs; and how saved answers are drawn in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from o1lab.chat.branches import BranchedHistory
from o1lab.chat.prefixes import by_others, described
from o1lab.serve.registry import ModelRef
from o1lab.text import one_line
from o1lab.widgets.stream_pane import StreamPane
from screens.compare.together import Diffed, DiffView, place_of, row_at
from store.conversations import Message

NARROWEST = 38
"""Minimum width of a pane in cells; below it the panes become tabs."""


class Panes(Vertical):
    """A StreamPane per place; places count from 0, from the left."""

    def compose(self) -> ComposeResult:
        yield Static(id="tabs", markup=False)
        yield Horizontal(id="row")
        yield DiffView(id="diff")

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.current = 0
        self.names: list[tuple[str, str]] = []
        self.together = False
        """Whether the panes scroll together."""
        self._leading = False

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
        added = [StreamPane(classes="pane") for _ in range(count - len(places))]
        await row.mount(*added)
        for pane in added:
            self.watch(pane.body, "scroll_y", partial(self._follow, pane), init=False)
        self.hide_diff()
        self.current = min(self.current, max(count - 1, 0))
        self.arrange_places()

    # Scrolling together, and the word diff.

    def _follow(self, leader: StreamPane) -> None:
        """Scroll the other panes to the place of the one that the user scrolls."""
        body = leader.body
        if not self.together or self._leading or leader.streaming or not (body.has_focus or body.mouse_hover):
            return
        if (place := place_of(body)) is None:
            return
        self._leading = True
        try:
            for pane in self.places:
                if pane is not leader and (row := row_at(pane.body, place)) is not None:
                    pane.body.scroll_to(y=row, animate=False, force=True, immediate=True)
        finally:
            self._leading = False

    @property
    def diffing(self) -> bool:
        """Whether the word diff is shown in place of the panes."""
        return self.has_class("-diff")

    def show_diff(self, names: tuple[str, str], found: Diffed) -> None:
        """Show a word diff in place of the panes."""
        self.add_class("-diff")
        view = self.query_one(DiffView)
        self.call_after_refresh(lambda: view.show_differences(names, found))
        view.focus()

    def hide_diff(self) -> None:
        """Show the panes again."""
        if self.diffing:
            self.remove_class("-diff")
            self.focus_current()

    def name_places(self, names: Sequence[tuple[str, str]]) -> None:
        """Set (name, mark) of each place for the line of tabs."""
        if list(names) != self.names:
            self.names = list(names)
            self._draw_tabs()

    def show_place(self, place: int) -> None:
        """Make ``place`` the current one and show it."""
        self.current = place
        self.arrange_places()

    def turn(self, steps: int) -> None:
        """Focus the pane ``steps`` to the right; after the last, the first."""
        if count := len(self.places):
            self.show_place((self.current + steps) % count)
            self.focus_current()

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


@dataclass(frozen=True)
class Selected:
    """The answer that a key acts on: the model of its pane, the question, and the saved message."""

    ref: ModelRef
    question: str
    message: Message


def draw_turns(stream: StreamPane, session: BranchedHistory, pane: int, turns: Sequence[int], *, hidden: bool) -> None:
    """Draw the questions of some turns, and the answers of a pane."""
    for turn in turns:
        stream.add_user(session.question(turn))
        draw_answer(stream, session.answer(pane, turn), session.record.panes[pane].model, hidden=hidden)


def draw_answer(stream: StreamPane, message: Message | None, model: str, *, hidden: bool) -> None:
    """Draw a saved answer with its notes and its error, and who wrote it if ``model`` did not write it alone."""
    if message is None:
        return
    draw_notes(stream, message.settings.get("notes", ()), hidden=hidden)
    if by_others(message.spans, model):
        draw_notes(stream, [f"written by {described(message.spans)}"], hidden=hidden)
    if message.content or message.thought:
        stream.add_assistant(message.content, message.thought, message.thought_tokens)
    if message.state == "failed":
        draw_failure(stream, message.error or "This answer failed.", "", hidden=hidden)


def draw_notes(stream: StreamPane, notes: Sequence[str], *, hidden: bool) -> None:
    """Draw what was changed in the request."""
    for note in notes if not hidden else ():  # a note names the model
        stream.add_note(note)


def draw_failure(stream: StreamPane, sentence: str, hint: str, *, hidden: bool) -> None:
    """End an answer with an error."""
    if hidden:  # the sentence names the model
        sentence, hint = "This model failed.", "The reason is shown after the vote."
    stream.fail(sentence, f"{hint} ctrl+r tries again.".strip())
