"""When the next call may leave: what a person asked for, what the server asked for, and what may be spent.

Time is read from a monotonic clock only, so setting the system clock changes nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from o1lab.jobs.control import Clock, Control, RunStopped

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


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars a million tokens; None where it is not known."""

    input_usd: float | None = None
    output_usd: float | None = None

    @property
    def known(self) -> bool:
        return self.input_usd is not None and self.output_usd is not None

    def discounted(self, part: float) -> Price:
        """This price less ``part`` of it (0 to 1)."""
        left = 1 - part
        return Price(
            None if self.input_usd is None else left * self.input_usd,
            None if self.output_usd is None else left * self.output_usd,
        )

    def of(self, input_tokens: int, output_tokens: int) -> float:
        """What these tokens cost in dollars; 0 where no price is known."""
        return ((self.input_usd or 0) * input_tokens + (self.output_usd or 0) * output_tokens) / 1e6


class Budget:
    """Money and tokens that may be spent. What is in flight counts as if it came to its worst."""

    def __init__(self, control: Control, usd: float | None = None, tokens: int | None = None) -> None:
        self._control = control
        self._limits = {"budget_usd": usd, "budget_tokens": tokens}
        self._spent = {"budget_usd": 0.0, "budget_tokens": 0.0}
        self._reserved = {"budget_usd": 0.0, "budget_tokens": 0.0}
        self._flying = 0
        self._changed = asyncio.Event()

    def spend(self, tokens: int, usd: float) -> None:
        """Count what was spent without asking first: earlier sessions of a run."""
        self._spent["budget_usd"] += usd
        self._spent["budget_tokens"] += tokens

    async def reserve(self, tokens: int, usd: float) -> None:
        """Return when a call that takes at most this much cannot exceed the budget; ``settle`` must follow.

        Calls in flight often take less than their worst: they are waited for before the run is stopped.

        Raises:
            RunStopped: the budget does not allow it, or the run is stopping.
        """
        worst = {"budget_usd": usd, "budget_tokens": float(tokens)}
        while (over := self._over(worst)) is not None:
            if not self._flying:
                self._control.stop(over, *_SAID[over])
                raise RunStopped(over)
            self._changed.clear()
            await self._changed.wait()
            await self._control.gate()
        self.take(tokens, usd)

    def fits(self, tokens: int, usd: float) -> bool:
        """Whether so much more cannot exceed the budget, whatever is in flight."""
        return self._over({"budget_usd": usd, "budget_tokens": float(tokens)}) is None

    def take(self, tokens: int, usd: float) -> None:
        """Reserve without asking, for what fits or is on its way already; ``settle`` must follow."""
        self._flying += 1
        self._book(self._reserved, {"budget_usd": usd, "budget_tokens": float(tokens)}, 1)

    def settle(self, tokens: int, usd: float, used_tokens: int, used_usd: float) -> None:
        """The call that reserved ``tokens`` and ``usd`` has come back."""
        self._flying -= 1
        self._book(self._reserved, {"budget_usd": usd, "budget_tokens": float(tokens)}, -1)
        self.spend(used_tokens, used_usd)
        self._changed.set()

    def _over(self, worst: dict[str, float]) -> str | None:
        for name, limit in self._limits.items():
            # The last digits of sums of floats are no reason to stop.
            if limit is not None and self._spent[name] + self._reserved[name] + worst[name] > limit + 1e-9:
                return name
        return None

    @staticmethod
    def _book(account: dict[str, float], amounts: dict[str, float], sign: int) -> None:
        for name, amount in amounts.items():
            account[name] += sign * amount


_SAID = {
    "budget_usd": ("The next call could exceed the budget.", "Go on with a larger --budget-usd."),
    "budget_tokens": ("The next call could exceed the budget of tokens.", "Go on with a larger --budget-tokens."),
}
