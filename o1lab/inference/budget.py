"""Prices, and the limits of what a job may spend in money and tokens."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from o1lab.jobs.control import Control, RunStopped
from o1lab.jobs.progress import Usage


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens; None if unknown."""

    input_usd: float | None = None
    output_usd: float | None = None

    @property
    def known(self) -> bool:
        return self.input_usd is not None and self.output_usd is not None

    def discounted(self, part: float) -> Price:
        """Return this price reduced by the share ``part`` (0 to 1)."""
        left = 1 - part
        return Price(
            None if self.input_usd is None else left * self.input_usd,
            None if self.output_usd is None else left * self.output_usd,
        )

    def of(self, input_tokens: int, output_tokens: int) -> float:
        """Return the cost of these tokens in US dollars; an unknown price counts as 0."""
        return ((self.input_usd or 0) * input_tokens + (self.output_usd or 0) * output_tokens) / 1e6


class Budget:
    """Limits the money and tokens of a job. Calls in flight count with the maximum that they can take.

    Args:
        control: stops the job when the budget is used up.
        usage: what the job has used so far. The budget only reads it; the code that counts a response adds to it.
        usd: the limit in US dollars; None for no limit.
        tokens: the limit in tokens, input and output together; None for no limit.
    """

    def __init__(self, control: Control, usage: Usage, usd: float | None = None, tokens: int | None = None) -> None:
        self._control = control
        self._usage = usage
        self._usd, self._tokens = usd, tokens
        self._reserved_usd, self._reserved_tokens = 0.0, 0
        self._in_flight = 0
        self._changed = asyncio.Event()

    async def reserve(self, tokens: int, usd: float) -> None:
        """Wait until a call that takes at most this much fits the budget; :meth:`settle` must follow.

        Calls in flight often take less than their maximum, so they are awaited before the job is stopped.

        Raises:
            RunStopped: the budget does not allow the call, or the job is stopping.
        """
        while (exceeded := self._exceeded(tokens, usd)) is not None:
            if not self._in_flight:
                self._control.stop(exceeded, *_MESSAGES[exceeded])
                raise RunStopped(exceeded)
            self._changed.clear()
            await self._changed.wait()
            await self._control.gate()
        self.take(tokens, usd)

    def fits(self, tokens: int, usd: float) -> bool:
        """Whether this much more fits the budget even if all calls in flight take their maximum."""
        return self._exceeded(tokens, usd) is None

    def take(self, tokens: int, usd: float) -> None:
        """Reserve without a check, for calls that fit or were sent already; :meth:`settle` must follow."""
        self._in_flight += 1
        self._reserved_tokens += tokens
        self._reserved_usd += usd

    def settle(self, tokens: int, usd: float) -> None:
        """Release a reservation, once the usage of its call has been counted."""
        self._in_flight -= 1
        self._reserved_tokens -= tokens
        self._reserved_usd -= usd
        self._changed.set()

    def _exceeded(self, tokens: int, usd: float) -> str | None:
        """The limit that this much more could exceed; None if it fits."""
        # The tolerance absorbs rounding errors of float sums.
        if self._usd is not None and self._usage.cost_usd + self._reserved_usd + usd > self._usd + 1e-9:
            return "budget_usd"
        if self._tokens is not None and self._usage.tokens + self._reserved_tokens + tokens > self._tokens:
            return "budget_tokens"
        return None


_MESSAGES = {
    "budget_usd": ("The next call could exceed the budget.", "Give a larger --budget-usd."),
    "budget_tokens": ("The next call could exceed the token budget.", "Give a larger --budget-tokens."),
}
