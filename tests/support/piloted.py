"""What tests that drive the app with a pilot share."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from functools import partialmethod
from typing import Any

import pytest
from textual import events
from textual.app import App
from textual.keys import key_to_character
from textual.pilot import Pilot

from o1lab.widgets.typed_ahead import TypedAheadApp
from tests.support.compare_lab import PATIENCE_S


@pytest.fixture(autouse=True)
def _piloted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are handled when ``Pilot.press`` returns, however busy the machine is.

    The pilot takes a process that gets no processor time for one that has handled its keys, and gives widgets 30 s.
    """
    monkeypatch.setattr(Pilot, "_wait_for_screen", partialmethod(Pilot._wait_for_screen, timeout=PATIENCE_S))
    monkeypatch.setattr(TypedAheadApp, "_press_keys", _press_keys, raising=False)


def burst(app: App[Any], *keys: str) -> None:
    """Send all keys at once, as a fast hand over a slow connection sends them; ``Pilot.press`` waits for each."""
    for key in keys:
        app.post_message(events.Key(key, _CONTROL.get(key, key if len(key) == 1 else key_to_character(key))))


_CONTROL = {"ctrl+j": "\n", "enter": "\r", "slash": "/", "tab": "\t"}


async def _press_keys(app: TypedAheadApp, keys: Iterable[str]) -> None:
    for key in keys:
        await App._press_keys(app, [key])
        handled = asyncio.Event()
        app.call_later(_handled, app, handled)
        deadline = time.monotonic() + PATIENCE_S
        while not handled.is_set() and app._running and app._exception is None:
            assert time.monotonic() < deadline, f"the key {key} was not handled"
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(handled.wait(), 0.05)


def _handled(app: TypedAheadApp, handled: asyncio.Event) -> None:
    """Called by the app after it sent the key to a widget: wait for that widget and its ancestors."""
    app._after(app._last_target, handled.set)
