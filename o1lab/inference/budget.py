"""Prices, and what a job may spend in money and tokens."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from o1lab.jobs.control import Control, RunStopped


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens; None where it is not known."""

    input_usd: float | None = None
    output_usd: float | None = None

    @property
    def known(self) -> bool:
        return self.input_usd is not None and self.output_usd is not None

    def discounted(self, part: float) -> Price:
        """This price reduced by ``part`` of it (0 to 1)."""
        left = 1 - part
        return Price(
            None if self.input_usd is None else left * self.input_usd,
            None if self.output_usd is None else left * self.output_usd,
        )

    def of(self, input_tokens: int, output_tokens: int) -> float:
        """What these tokens cost in dollars; 0 where no price is known."""
        return ((self.input_usd or 0) * input_tokens + (self.output_usd or 0) * output_tokens) / 1e6


class Budget:
    """Money and tokens that a job may spend. Calls in flight count with the most that they can take."""

    def __init__(self, control: Control, usd: float | None = None, tokens: int | None = None) -> None:
        self._control = control
        self._limits = {"budget_usd": usd, "budget_tokens": tokens}
        self._spent = {"budget_usd": 0.0, "budget_tokens": 0.0}
        self._reserved = {"budget_usd": 0.0, "budget_tokens": 0.0}
        self._flying = 0
        self._changed = asyncio.Event()

    def spend(self, tokens: int, usd: float) -> None:
        """Count what earlier sessions spent."""
        self._spent["budget_usd"] += usd
        self._spent["budget_tokens"] += tokens

    async def reserve(self, tokens: int, usd: float) -> None:
        """Return when a call that takes at most this much cannot exceed the budget; ``settle`` must follow.

        Calls in flight often take less than their maximum, so they are awaited before the run is stopped.

        Raises:
            RunStopped: the budget does not allow it, or the run is stopping.
        """
        worst = {"budget_usd": usd, "budget_tokens": float(tokens)}
        while (over := self._over(worst)) is not None:
            if not self._flying:
                self._control.stop(over, *_MESSAGES[over])
                raise RunStopped(over)
            self._changed.clear()
            await self._changed.wait()
            await self._control.gate()
        self.take(tokens, usd)

    def fits(self, tokens: int, usd: float) -> bool:
        """Whether this much more cannot exceed the budget, with everything in flight at its maximum."""
        return self._over({"budget_usd": usd, "budget_tokens": float(tokens)}) is None

    def take(self, tokens: int, usd: float) -> None:
        """Reserve without a check, for what fits or was sent already; ``settle`` must follow."""
        self._flying += 1
        self._book(self._reserved, {"budget_usd": usd, "budget_tokens": float(tokens)}, 1)

    def settle(self, tokens: int, usd: float, used_tokens: int, used_usd: float) -> None:
        """The call that reserved ``tokens`` and ``usd`` has ended."""
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


_MESSAGES = {
    "budget_usd": ("The next call could exceed the budget.", "Go on with a larger --budget-usd."),
    "budget_tokens": ("The next call could exceed the budget of tokens.", "Go on with a larger --budget-tokens."),
}
