"""The prompt input: enter sends, ctrl+j breaks the line. Also the palette entries for keys that it captures."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from textual import events
from textual.actions import parse
from textual.binding import Binding, BindingType
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.message import Message

from o1lab.widgets.line_input import PlainArea


class PromptInput(PlainArea):
    """A text area that grows with its text; pasted text keeps its line breaks."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", "Send"),
        Binding("ctrl+underscore", "undo", "Undo", show=False),  # ctrl+z suspends the app
        Binding("ctrl+j", "break_line", "New line", key_display="^j"),
    ]

    @dataclass
    class Sent(Message):
        """Enter was pressed. The text stays until the receiver clears it."""

        prompt: PromptInput
        text: str

        @property
        def control(self) -> PromptInput:
            return self.prompt

    def __init__(self, text: str = "", *, placeholder: str = "", id: str | None = None) -> None:
        super().__init__(
            text, placeholder=placeholder, id=id, soft_wrap=True, show_line_numbers=False, compact=True,
            highlight_cursor_line=False,
        )  # fmt: skip

    def write(self, text: str) -> None:
        """Replace the text and put the cursor at its end."""
        self.text = text
        self.move_cursor(self.document.end)

    async def _on_key(self, event: events.Key) -> None:
        """Handle enter and ctrl+j here: as priority bindings they would run before letters typed earlier."""
        if event.key in ("enter", "ctrl+j"):
            event.stop()
            event.prevent_default()
            if event.key == "enter":
                self.action_send()
            else:
                self.action_break_line()

    def action_send(self) -> None:
        self.post_message(self.Sent(self, self.text))

    def action_break_line(self) -> None:
        self.insert("\n")


class LetterKeys(Provider):
    """Lists the letter keys that are not active in the prompt. The app itself lists the active keys."""

    def commands(self) -> Iterator[Binding]:
        active = self.screen.active_bindings
        for binding in Binding.make_bindings(self.screen.BINDINGS):
            may = self.screen.check_action(*parse(binding.action)[1:])
            if binding.description and binding.key not in active and may:
                yield binding

    async def discover(self) -> Hits:
        for binding in self.commands():
            yield DiscoveryHit(self.title(binding), self.run(binding), help=binding.tooltip)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for binding in self.commands():
            title = self.title(binding)
            if score := matcher.match(title):
                yield Hit(score, matcher.highlight(title), self.run(binding), help=binding.tooltip)

    def title(self, binding: Binding) -> str:
        return f"{binding.description} (esc, then {self.app.get_key_display(binding)})"

    def run(self, binding: Binding) -> partial[Coroutine[Any, Any, None]]:
        return partial(self.screen.run_action, binding.action)
