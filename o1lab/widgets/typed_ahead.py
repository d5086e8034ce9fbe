"""Keys typed ahead mean what they mean where the focus is by then, and keep their order."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from itertools import count
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from textual import events
from textual.app import App
from textual.message_pump import MessagePump

HOLD_S = 1.0  # the longest that keys wait for those before them, should a widget not read its own

_numbers: WeakKeyDictionary[events.Event, int] = WeakKeyDictionary()
"""The keys in the order in which they were typed; one that is sent again keeps its number."""


async def send_again(app: App[Any], event: events.Key) -> None:
    """Send a key that a widget without the focus got to the widget that has it now."""
    key = events.Key(event.key, event.character)
    if event in _numbers:
        _numbers[key] = _numbers[event]
    await app.on_event(key)


class TypedAheadApp(App[int]):
    """An app that reads a burst of keys (a slow connection, a macro) as if they had come one by one.

    Textual sends each key to the widget in focus as it arrives, before the one ahead of it is read. Where that one
    moves the focus, ``/`` to a search line say, the letters behind it would come back as keys of the old place, of
    which some decide on a trace. So a key that comes back from a place that has lost the focus is sent again, and
    keys that arrive after the focus moved wait until the old place has read its own: an enter would else close a
    dialog before the letters typed ahead of it are in.
    """

    _sent_to: ClassVar[WeakKeyDictionary[events.Event, MessagePump]] = WeakKeyDictionary()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._last_place: MessagePump | None = None
        self._held: list[events.Key] = []
        self._typed = count()

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key) and not event.is_forwarded:
            here = self.focused or self.screen
            _numbers.setdefault(event, next(self._typed))
            if self._held or self._must_wait(here):
                self._hold(event)
                return
            self._last_place = self._sent_to[event] = here
        await super().on_event(event)

    async def on_key(self, event: events.Key) -> None:
        """Nobody below had a use for the key, bindings not counted: those are looked up now."""
        here = self.focused or self.screen
        if self._sent_to.get(event, here) is not here:
            event.prevent_default()
            await send_again(self, event)

    def _must_wait(self, here: MessagePump) -> bool:
        """Whether the key before may be on its way in another place, or in a screen that is about to get a focus."""
        return self._last_place is not None and (self._last_place is not here or here is self.screen)

    def _hold(self, event: events.Key) -> None:
        """Keep a key until the place that got the one before it has read that."""
        insort(self._held, event, key=_numbers.__getitem__)
        if len(self._held) == 1 and self._last_place is not None:
            self.set_timer(HOLD_S, self._release)
            self._after(self._last_place, self._release)

    def _after(self, place: MessagePump | None, then: Callable[[], Any]) -> None:
        """Call ``then`` once ``place`` and all above it have read what they were sent, the way a key takes."""
        if place is None or place is self:
            self.call_later(then)
        elif not place.call_later(self._after, place._parent, then):
            self._after(place._parent, then)

    async def _release(self) -> None:
        """Send the keys that were held back, in their order."""
        held, self._held = self._held, []
        if held:
            self._last_place = None
        for event in held:
            await self.on_event(event)
