"""Stop and pause a job from within its process; and its clock, which tests replace."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class RunStopped(Exception):  # noqa: N818 - not an error: the user or the budget stopped the job
    """No more calls may be made. The conversation ends; resuming the job continues it."""

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
    """Stops and pauses new calls. The first reason to stop is kept."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.reason = ""
        self.message = ""
        self.hint = ""
        self._running = asyncio.Event()
        self._running.set()

    @property
    def paused(self) -> bool:
        return not self._running.is_set()

    def stop(self, reason: str, message: str = "", hint: str = "") -> None:
        """Allow no new call; calls in flight are completed.

        Args:
            reason: a short code, such as ``budget_usd``; becomes ``stopped_by`` in the status.
            message: what happened, for people.
            hint: what to do about it.
        """
        if not self.stopping.is_set():
            self.reason, self.message, self.hint = reason, message, hint
            self.stopping.set()
            self._running.set()

    def pause(self) -> None:
        if not self.stopping.is_set():
            self._running.clear()

    def resume(self) -> None:
        self._running.set()

    async def gate(self) -> None:
        """Wait until a call may be made.

        Raises:
            RunStopped: the job is stopping.
        """
        await self._running.wait()
        if self.stopping.is_set():
            raise RunStopped(self.reason)
