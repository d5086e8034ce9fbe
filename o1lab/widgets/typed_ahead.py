"""Keys typed ahead mean what they mean where the focus is by then."""

from __future__ import annotations

from typing import ClassVar
from weakref import WeakKeyDictionary

from textual import events
from textual.app import App
from textual.dom import DOMNode


class TypedAheadApp(App[int]):
    """An app that reads a burst of keys (a slow connection, a macro) as if they had come one by one.

    Textual sends each key to the widget in focus as it arrives, before the one ahead of it is read. Where that one
    moves the focus, ``/`` to a search line say, the letters behind it would come back as keys of the old place, of
    which some decide on a trace. So a key that comes back from a place that has lost the focus is sent anew.
    """

    _sent_to: ClassVar[WeakKeyDictionary[events.Event, DOMNode]] = WeakKeyDictionary()

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key) and not event.is_forwarded:
            self._sent_to[event] = self.focused or self.screen
        await super().on_event(event)

    async def on_key(self, event: events.Key) -> None:
        """Nobody below had a use for the key, bindings not counted: those are looked up now."""
        here = self.focused or self.screen
        if self._sent_to.get(event, here) is not here:
            event.prevent_default()
            await self.on_event(events.Key(event.key, event.character))
