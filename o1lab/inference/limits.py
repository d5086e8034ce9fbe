"""Rates, budgets and the tokens that a call may use.

Time comes from a monotonic clock, so changes of the system clock have no effect.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from o1lab.jobs.control import Clock, Control, RunStopped
from o1lab.jobs.progress import Usage
from o1lab.text import CJK

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
        usage: what the job has used so far. The budget only reads it.
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


RULE = "4 characters a token, 1 where they are Chinese, Japanese or Korean"
_TEMPLATE = 32
_WIDE = re.compile(f"[\u2e80-\u33ff{CJK}\uff00-\uffef]")  # with radicals, punctuation and full-width forms


def rough_tokens(text: str) -> int:
    """Estimate the tokens of ``text`` by ``RULE``."""
    wide = 0 if text.isascii() else len(_WIDE.findall(text))
    return wide + (len(text) - wide + 3) // 4


def prompt_tokens(messages: Iterable[Mapping[str, str]]) -> int:
    """Estimate the tokens of the contents of these messages by ``RULE``."""
    return sum(rough_tokens(message["content"]) for message in messages)


def worst_case(messages: Sequence[Mapping[str, str]], max_tokens: int, price: Price) -> tuple[int, float]:
    """Return the most tokens and US dollars that a call can take."""
    most = most_tokens(messages)
    return most + max_tokens, price.of(most, max_tokens)


def most_tokens(messages: Iterable[Mapping[str, str]]) -> int:
    """Return an upper bound of the tokens of these messages.

    No tokenizer makes more than one token of a byte; a chat template adds a few per message.
    """
    return sum(len(message["content"].encode("utf-8", "replace")) + _TEMPLATE for message in messages)
