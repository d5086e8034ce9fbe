"""Following what changes on the disk while it is shown: looked at again and again, sooner when something was chosen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol, TypeVar

from textual.css.query import NoMatches

# Between two looks while something is at work, and else: a frame of the whole screen costs more than the reading.
LIVE_S, IDLE_S = 1.5, 2.0


class Snapshot(Protocol):
    """What was seen; ``active`` counts what is at work."""

    @property
    def active(self) -> int: ...


LookT = TypeVar("LookT", bound=Snapshot)


class PollLoop:
    """Looks, shows what it saw, waits. A trouble that lasts is reported once, not at every look."""

    def __init__(self) -> None:
        self._wake = asyncio.Event()
        self._trouble = ""

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    async def follow(
        self,
        look: Callable[[], Awaitable[LookT]],
        show: Callable[[LookT], None],
        report: Callable[[BaseException], None],
    ) -> None:
        """Until it is cancelled or its widgets are gone."""
        live = False
        while True:
            self._wake.clear()
            try:
                found = await look()
            except Exception as error:
                if str(error) != self._trouble:
                    self._trouble = str(error)
                    report(error)
            else:
                self._trouble = ""
                try:
                    show(found)
                except NoMatches:
                    return  # the app closes: widgets go before workers do
                live = bool(found.active)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LIVE_S if live else IDLE_S)
