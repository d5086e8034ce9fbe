"""Editors of text: stored text is drawn without control characters, and keys act in the order they were typed."""

from __future__ import annotations

import asyncio

from rich.text import Text
from textual import events
from textual.widget import Widget
from textual.widgets import Input, TextArea

from o1lab.text import harmless
from o1lab.widgets.typed_ahead import send_again

_UNNAMED = {"slash": "/", "minus": "-"}  # keys whose character Textual does not know


class LineInput(Input):
    """An ``Input`` that handles editing keys and letters in the order they were typed.

    Textual sends a letter to the input at once, but a key with a binding through the app first: if ``ctrl+u`` and a
    word arrive together (a paste, a slow connection), ``ctrl+u`` would delete the word.
    """

    @property
    def _value(self) -> Text:
        """The value as it is drawn; the value itself keeps its characters."""
        return Text(harmless(super()._value.plain), no_wrap=True, overflow="ignore", end="")

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Say whether ``key`` is typed into the line: the footer then leaves out the binding that it hides."""
        return super().check_consume_key(key, character or _UNNAMED.get(key))

    async def on_key(self, event: events.Key) -> None:
        """Run the binding of a key at once, the screen's too; pass a key on if the focus has moved."""
        if self.app.focused is not self:
            event.stop()
            event.prevent_default()
            await send_again(self.app, event)
            return
        if not event.is_printable:
            await _run_binding(self, event)


class PlainArea(TextArea):
    """A ``TextArea`` that draws each control character of its text as one symbol.

    A key that was typed after the focus had moved is sent on to the widget with the focus, and the binding of a key is
    run at once, as in :class:`LineInput`.
    """

    def on_mount(self) -> None:
        for key in ("f6", "f7"):  # they select text in Textual's area, and switch to another mode in this app
            self._bindings.key_to_bindings.pop(key, None)

    async def on_key(self, event: events.Key) -> None:
        if self.app.focused is not self:
            event.stop()
            event.prevent_default()
            await send_again(self.app, event)
        elif not event.is_printable and event.key != "enter":
            await _run_binding(self, event)

    def get_line(self, line_index: int) -> Text:
        return Text(harmless(self.document.get_line(line_index)), end="", no_wrap=True)


async def _run_binding(widget: Widget, event: events.Key) -> None:
    """Run the binding of a key, of the widget or of its screen, before the widget handles the keys typed after it."""
    found = widget.screen.active_bindings.get(event.key)
    if found is not None and found.enabled and await widget.app.run_action(found.binding.action, found.node):
        event.stop()
        event.prevent_default()


async def caught_up(widget: Widget) -> None:
    """Wait until ``widget`` has handled every key sent to it, for actions of keys with priority over the widget's."""
    taken = asyncio.Event()
    if widget.call_later(taken.set):
        await taken.wait()
