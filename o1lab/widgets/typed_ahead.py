"""Type-ahead: keys typed before the focus moves go to the widget that gets the focus, in order."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from itertools import count
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from textual import events
from textual.app import App
from textual.message import Message
from textual.message_pump import MessagePump

HOLD_S = 1.0  # the longest that keys wait for earlier ones that a widget has not handled

_numbers: WeakKeyDictionary[events.Event, int] = WeakKeyDictionary()
"""The sequence number of each key; a key that is sent again keeps its number."""


async def send_again(app: App[Any], event: events.Key) -> None:
    """Send a key that reached a widget without the focus to the widget that has the focus now."""
    key = events.Key(event.key, event.character)
    if event in _numbers:
        _numbers[key] = _numbers[event]
    await app.on_event(key)


def post_held(target: MessagePump, message: Message) -> None:
    """Post a message that opens a screen or a pane: the keys typed behind wait until all that receive it handled it."""
    target.post_message(message)
    if isinstance(target.app, TypedAheadApp):
        target.app.hold_keys_until_handled(target)


class TypedAheadApp(App[int]):
    """An app that handles a burst of keys (a slow connection, a macro) as if they had arrived one by one.

    Textual sends each key to the focused widget as it arrives, before the previous key was handled. If the previous
    key moves the focus, such as ``/`` to a search line, the letters after it would act as keys of the old widget, and
    some of those decide on a trace. Therefore a key that bubbles up from a widget that lost the focus is sent again,
    and keys that arrive after the focus moved wait until the old widget has handled its own. Otherwise an enter would
    close a dialog before the letters typed ahead of it are inserted.

    An action that opens a dialog from a worker, because it reads something first, calls ``hold_keys`` before it
    returns: the keys behind its own wait for the dialog. A message that opens a pane or another screen is posted with
    :func:`post_held`: the keys behind wait until it is handled. A key with priority, such as that of another mode,
    waits for the keys before it.
    """

    _sent_to: ClassVar[WeakKeyDictionary[events.Event, MessagePump]] = WeakKeyDictionary()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._last_target: MessagePump | None = None
        self._queued: list[events.Key] = []
        self._typed = count()
        self._holds = 0
        self._releases: list[Callable[[], None]] = []

    def hold_keys(self) -> Callable[[], None]:
        """Hold all keys that follow: an action is about to open a dialog.

        Returns:
            A function to call when the action has ended. The keys are released then, when a dialog opens, or after
            ``HOLD_S``, so that an action that takes longer does not block the keyboard.
        """
        held = [True]

        def release() -> None:
            if held:
                held.clear()
                self._holds -= 1
                if release in self._releases:
                    self._releases.remove(release)
                if not self._holds:
                    self.call_later(self._release)

        self._holds += 1
        self._releases.append(release)
        self.set_timer(HOLD_S, release)
        return release

    def push_screen(self, *args: Any, **kwargs: Any) -> Any:
        """Open a screen; held keys go to it."""
        opening = super().push_screen(*args, **kwargs)
        releases, self._releases = self._releases, []
        for release in releases:
            release()
        return opening

    def hold_keys_until_handled(self, target: MessagePump) -> None:
        """Hold all keys that follow until a widget and its ancestors have handled the messages that it has now."""
        self._after(target, self.hold_keys())

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key) and not event.is_forwarded:
            here = self.focused or self.screen
            _numbers.setdefault(event, next(self._typed))
            if self._holds or self._queued or self._must_wait(here, event.key):
                self._queue(event)
                return
            self._last_target = self._sent_to[event] = here
        await super().on_event(event)

    async def on_key(self, event: events.Key) -> None:
        """Called for keys that no widget handled, before Textual looks for a binding."""
        here = self.focused or self.screen
        if self._holds or self._sent_to.get(event, here) is not here:
            event.prevent_default()
            await send_again(self, event)

    def _must_wait(self, here: MessagePump, key: str) -> bool:
        """Whether another widget may still be handling the previous key, or the screen is about to get a focus.

        A key with priority, such as one that shows another screen, acts before it reaches a widget: it waits as well.
        """
        if self._last_target is None:
            return False
        found = (one for _, bindings in self.screen._binding_chain for one in bindings.key_to_bindings.get(key, ()))
        return self._last_target is not here or here is self.screen or any(one.priority for one in found)

    def _queue(self, event: events.Key) -> None:
        """Queue a key until the widget that got the previous one has handled it."""
        insort(self._queued, event, key=_numbers.__getitem__)
        if self._holds:
            return
        if len(self._queued) == 1 and self._last_target is not None:
            self.set_timer(HOLD_S, self._release)
            self._after(self._last_target, self._release)

    def _after(self, target: MessagePump | None, then: Callable[[], Any]) -> None:
        """Call ``then`` once ``target`` and all its ancestors have handled their messages, on the path of a key."""
        if target is None or target is self:
            self.call_later(then)
        elif not target.call_later(self._after, target._parent, then):
            self._after(target._parent, then)

    async def _release(self) -> None:
        """Send the queued keys, in order."""
        if self._holds:
            return
        queued, self._queued = self._queued, []
        if queued:
            self._last_target = None
        for event in queued:
            await self.on_event(event)
