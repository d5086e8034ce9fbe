"""Where a prompt is written: enter sends it, ctrl+j breaks the line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import TextArea

from o1lab.text import visible


class PromptInput(TextArea):
    """A text area that grows with its text. What is pasted into it keeps its line breaks."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", "Send"),
        Binding("ctrl+j", "break_line", "New line", key_display="^j"),
    ]

    @dataclass
    class Sent(Message):
        """Enter was pressed; the text stays until somebody clears it."""

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
        """Replace the text, with the cursor behind it."""
        self.text = text
        self.move_cursor(self.document.end)

    async def _on_key(self, event: events.Key) -> None:
        """Enter and ctrl+j in the order they were typed: a priority binding would overtake the letters before."""
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

    def get_line(self, line_index: int) -> Text:
        """A line as it is drawn: prompts come from files too, and nothing in them may act on the terminal."""
        line = self.document.get_line(line_index)
        if not line.isprintable():
            line = "".join(map(_one_character, line))
        return Text(line, end="", no_wrap=True)


def _one_character(char: str) -> str:
    """One safe character for ``char``: the cursor counts characters."""
    if char == "\t":
        return char
    shown = visible(char)
    return shown if len(shown) == 1 and shown.isprintable() else "�"
