"""Stop and pause signals of a running job, and its clock, which tests can replace."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class RunStopped(Exception):  # noqa: N818 - not an error: a person or the budget stopped the job
    """No further call may be made. The conversation ends here; resuming the job continues it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Clock(Protocol):
    """Monotonic time in seconds, and waiting."""

    def now(self) -> float: ...

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Wait for ``seconds`` or until ``event`` is set; returns whether it is set."""
        ...


class MonotonicClock:
    """The monotonic clock of the machine."""

    def now(self) -> float:
        return time.monotonic()

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass
        return event.is_set()


class Control:
    """Whether new calls may be made. The first reason to stop is kept."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.reason = ""
        self.message = ""
        self.hint = ""
        self._going = asyncio.Event()
        self._going.set()

    @property
    def paused(self) -> bool:
        return not self._going.is_set()

    def stop(self, reason: str, message: str = "", hint: str = "") -> None:
        """Allow no new call; calls in flight are completed."""
        if not self.stopping.is_set():
            self.reason, self.message, self.hint = reason, message, hint
            self.stopping.set()
            self._going.set()

    def pause(self) -> None:
        if not self.stopping.is_set():
            self._going.clear()

    def go_on(self) -> None:
        self._going.set()

    async def gate(self) -> None:
        """Return when a call may be made.

        Raises:
            RunStopped: the job is stopping.
        """
        await self._going.wait()
        if self.stopping.is_set():
            raise RunStopped(self.reason)
