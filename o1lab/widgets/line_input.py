"""A line of text that takes its keys in the order they were typed, however fast they come."""

from __future__ import annotations

import asyncio

from textual import events
from textual.widget import Widget
from textual.widgets import Input

from o1lab.widgets.typed_ahead import send_again


class LineInput(Input):
    """An ``Input`` whose editing keys keep their place among the letters.

    Textual hands a letter to the line at once, but takes a key with a binding up to the app first: of ``ctrl+u`` and
    a word in one burst (a paste, a slow connection) it would delete the word.
    """

    async def on_key(self, event: events.Key) -> None:
        """Act on a key of our own here and now; one typed ahead of a key that moved the focus goes where that went."""
        if self.app.focused is not self:
            event.stop()
            event.prevent_default()
            await send_again(self.app, event)
            return
        if event.is_printable:
            return
        for binding in self._bindings.key_to_bindings.get(event.key, ()):
            if await self.app.run_action(binding.action, self):
                event.stop()
                return


async def caught_up(widget: Widget) -> None:
    """Wait until ``widget`` has taken every key that was sent to it: for a key that is read before the widget's own."""
    taken = asyncio.Event()
    if widget.call_later(taken.set):
        await taken.wait()
