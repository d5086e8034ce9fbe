"""Rate limits of servers. Time comes from a monotonic clock, so changes of the system clock have no effect."""

from __future__ import annotations

import asyncio

from o1lab.jobs.control import Clock, Control

_SOON_S = 1e-6
"""Shorter waits count as none, because of rounding errors in float sums."""


class Bucket:
    """A token bucket that may go into debt: a call may be sent when the debt is paid, whatever its own amount.

    In any minute at most ``per_minute`` units are sent, exceeded by at most one call if calls take more than 1.

    Args:
        per_minute: the rate.
        clock: measures time.
    """

    def __init__(self, per_minute: float, clock: Clock) -> None:
        self._rate = per_minute / 60
        self._clock = clock
        self._level = 0.0
        self._at = clock.now()

    def wait_s(self) -> float:
        """Return the seconds until a call may be sent."""
        self._fill()
        return max(0.0, -self._level / self._rate)

    def take(self, amount: float) -> None:
        self._fill()
        self._level -= amount

    def _fill(self) -> None:
        now = self._clock.now()
        self._level = min(0.0, self._level + (now - self._at) * self._rate)
        self._at = now


class Limits:
    """The rates of one server and the pauses that it asks for. Callers are admitted in their order of arrival.

    Args:
        control: stops and pauses the job.
        clock: measures time.
        requests: maximum number of requests per minute; None for no limit.
        tokens: maximum number of tokens per minute; None for no limit.
    """

    def __init__(self, control: Control, clock: Clock, requests: int | None = None, tokens: int | None = None) -> None:
        self._control = control
        self._clock = clock
        self._requests = Bucket(requests, clock) if requests else None
        self._tokens = Bucket(tokens, clock) if tokens else None
        self._paused_until = 0.0
        self._turn = asyncio.Lock()

    async def admit(self, tokens: int) -> None:
        """Wait until a call that takes about ``tokens`` may be sent.

        Raises:
            RunStopped: the job is stopping.
        """
        async with self._turn:
            await self._control.gate()
            while (wait := self.wait_s()) > 0:
                await self._clock.wait(self._control.stopping, wait)
                await self._control.gate()
            if self._requests:
                self._requests.take(1)
            if self._tokens:
                self._tokens.take(tokens)

    def settle(self, guessed: int, used: int) -> None:
        """Replace the estimated tokens of an admitted call by the actual ones."""
        if self._tokens:
            self._tokens.take(used - guessed)

    def pause(self, seconds: float) -> None:
        """Send no call for some seconds, as the server asks."""
        self._paused_until = max(self._paused_until, self._clock.now() + seconds)

    def wait_s(self) -> float:
        """Return the seconds until the next call may be sent."""
        waits = [self._paused_until - self._clock.now(), *(b.wait_s() for b in (self._requests, self._tokens) if b)]
        wait = max(waits)
        return wait if wait > _SOON_S else 0.0
