"""When the next call may be sent: whether the job is stopped or paused, and the rates of each server.

Time is read from a monotonic clock only, so setting the system's clock changes nothing.
"""

from __future__ import annotations

import asyncio

from o1lab.jobs.control import Clock, Control

_SOON_S = 1e-6
"""Less than this is no wait: sums of floats would otherwise never come out even."""


class Bucket:
    """A token bucket that may go into debt: a call may leave when the debt is paid, whatever it takes itself.

    So over any minute no more than ``per_minute`` leave, and at most one call beyond it where calls take more than 1.
    """

    def __init__(self, per_minute: float, clock: Clock) -> None:
        self._rate = per_minute / 60
        self._clock = clock
        self._level = 0.0
        self._at = clock.now()

    def wait_s(self) -> float:
        """Seconds until a call may leave."""
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
    """One server's rates: requests and tokens a minute, and the pauses it asks for. Callers go in their order."""

    def __init__(self, control: Control, clock: Clock, requests: int | None = None, tokens: int | None = None) -> None:
        self._control = control
        self._clock = clock
        self._requests = Bucket(requests, clock) if requests else None
        self._tokens = Bucket(tokens, clock) if tokens else None
        self._held_until = 0.0
        self._turn = asyncio.Lock()

    async def admit(self, tokens: int) -> None:
        """Return when a call that takes about ``tokens`` may leave.

        Raises:
            RunStopped: the run is stopping.
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
        """Correct the guess a call was admitted with."""
        if self._tokens:
            self._tokens.take(used - guessed)

    def hold(self, seconds: float) -> None:
        """The server wants to be left alone so long: nobody asks before."""
        self._held_until = max(self._held_until, self._clock.now() + seconds)

    def wait_s(self) -> float:
        """Seconds until the next call may leave."""
        waits = [self._held_until - self._clock.now(), *(b.wait_s() for b in (self._requests, self._tokens) if b)]
        wait = max(waits)
        return wait if wait > _SOON_S else 0.0
