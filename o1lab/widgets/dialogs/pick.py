"""Dialogs that choose from a searchable list."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from rich.text import Text
from textual import events, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import Worker, WorkerCancelled

from o1lab.text import visible
from o1lab.widgets.dialogs.dialog import Dialog
from o1lab.widgets.keys import Binding
from o1lab.widgets.line_input import LineInput

Picked = TypeVar("Picked")


@dataclass(frozen=True)
class Choice:
    """A line of the list.

    Attributes:
        id: What the dialog returns for it.
        title: The text of the line.
        detail: Dimmed text after the title.
    """

    id: str
    title: str
    detail: str = ""


Search = Callable[[str], Awaitable[Sequence[Choice]]]
"""Finds the choices for the text of the search line."""


def among(choices: Sequence[Choice]) -> Search:
    """Return a search in a complete list: every word must be in the title or the detail."""

    async def search(text: str) -> Sequence[Choice]:
        words = text.lower().split()
        return [c for c in choices if all(word in f"{c.title} {c.detail}".lower() for word in words)]

    return search


class SearchLine(LineInput):
    """The search input of a list; with ``marks`` the space key marks the current line instead of typing a space."""

    @dataclass
    class Marked(Message):
        """Space was pressed."""

    def __init__(self, text: str = "", *, marks: bool = False) -> None:
        super().__init__(text, placeholder="type to search", compact=True)
        self.marks = marks

    async def _on_key(self, event: events.Key) -> None:
        if self.marks and event.key == "space":  # not a binding, so that keys keep the order they were typed in
            event.stop()
            event.prevent_default()
            self.post_message(self.Marked())


class ListDialog(Dialog[Picked]):
    """A list under a search input: letters search, arrows move, enter chooses a line, escape cancels."""

    DEFAULT_CSS = """
    ListDialog {
        Input { width: 1fr; }
        OptionList {
            text-wrap: nowrap; text-overflow: ellipsis; height: auto; max-height: 20; border: none;
            background: transparent; margin-top: 1;
        }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", "Down", show=False, priority=True, tooltip="Go to the next choice"),
        Binding("up", "move(-1)", "Up", show=False, priority=True, tooltip="Go to the previous choice"),
        Binding("pagedown", "move(10)", "Page down", show=False, priority=True, tooltip="Go down ten choices"),
        Binding("pageup", "move(-10)", "Page up", show=False, priority=True, tooltip="Go up ten choices"),
    ]
    KEYS: ClassVar[str] = "type to search · enter take · esc back"
    MARKS: ClassVar[bool] = False

    def __init__(
        self, title: str, search: Search, *, empty: str = "Nothing found.", hint: str = "", text: str = ""
    ) -> None:
        """Make the dialog.

        Args:
            title: its title.
            search: finds the choices for the text of the search line.
            empty: what it says if there are none.
            hint: the line below the list.
            text: the text of the search line at first.
        """
        super().__init__(title, self.KEYS)
        self.text = text
        self.find = search
        self.empty = empty
        self.hint = hint
        self.choices: list[Choice] = []
        self.searching: Worker[None]

    def compose_dialog(self) -> ComposeResult:
        yield SearchLine(self.text, marks=self.MARKS)
        options = OptionList(markup=False, compact=True)
        options.can_focus = False
        yield options
        yield Static(self.hint, classes="hint", markup=False)

    def on_mount(self) -> None:
        self.query_one(SearchLine).focus()
        self.searching = self.search(self.text)

    def on_input_changed(self, event: Input.Changed) -> None:
        self.searching = self.search(event.value)

    async def on_input_submitted(self) -> None:
        with suppress(WorkerCancelled):  # enter chooses from the results for the complete text, even if typed fast
            await self.searching.wait()
        self.action_take()

    @work(exclusive=True)
    async def search(self, text: str) -> None:
        """Search and fill the list; a later search replaces this one."""
        self.choices = list(await self.find(text))
        self.fill()

    def fill(self, highlighted: int = 0) -> None:
        """Redraw the list."""
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options(Option(self.line(choice)) for choice in self.choices)
        if self.choices:
            options.highlighted = min(highlighted, len(self.choices) - 1)
        else:
            options.add_option(Option(Text(self.empty, "dim"), disabled=True))

    def line(self, choice: Choice) -> Text:
        """Return the line of a choice."""
        return Text.assemble(
            visible(choice.title), "  ", (visible(choice.detail), "dim"), no_wrap=True, overflow="ellipsis"
        )

    @property
    def current(self) -> Choice | None:
        """The highlighted choice."""
        at = self.query_one(OptionList).highlighted
        return self.choices[at] if at is not None and at < len(self.choices) else None

    def action_move(self, rows: int) -> None:
        options = self.query_one(OptionList)
        if self.choices:
            options.highlighted = max(0, min((options.highlighted or 0) + rows, len(self.choices) - 1))

    def action_take(self) -> None:
        """Close the dialog with an answer."""
        raise NotImplementedError

    def on_option_list_option_selected(self) -> None:
        self.action_take()


class PickDialog(ListDialog[str]):
    """Choose one line; returns its id."""

    def action_take(self) -> None:
        if (choice := self.current) is not None:
            self.dismiss(choice.id)
