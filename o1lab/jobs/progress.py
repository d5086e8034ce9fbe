"""What a job that asks models has come to so far, as its status shows it."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import ClassVar

from o1lab.jobs.control import Clock
from o1lab.jobs.directory import CountedStatus

_WINDOW = 400
"""The time left follows the speed of so many last samples."""


@dataclass
class Counts:
    """The numbers of any job. Tokens and money are those of every response there is, whatever became of it."""

    requested: int = 0
    done: int = 0
    correct: int = 0
    incorrect: int = 0
    failed: int = 0
    in_flight: int = 0
    retries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    activity: str = ""
    """What it is waiting for, in words."""
    faults: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    _to_hold_again: set[tuple[str, int]] = field(default_factory=set)
    """Samples that failed in an earlier session: they count as failed until they have ended anew."""
    _ends: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    OF_SAMPLES: ClassVar[tuple[str, ...]] = ("requested", "done", "correct", "incorrect", "failed")
    """What a job that goes on shows as it was, until everything is counted anew."""

    def go_on(self, failed: set[tuple[str, int]], before: CountedStatus | None) -> None:
        """Take up a job: ``failed`` are the samples that are held again."""
        self.failed, self._to_hold_again = len(failed), failed
        if before is not None:
            self.retries = before.retries
            self.faults.update(before.faults)
            self.notes.extend(before.notes)

    def paid(self, input_tokens: int, output_tokens: int, cost_usd: float, *, fault: str = "") -> None:
        """Count what a response took.

        Args:
            input_tokens: tokens of the request.
            output_tokens: tokens of the response.
            cost_usd: its price in US dollars.
            fault: the code of the request's error, if it failed.
        """
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.cost_usd += cost_usd
        if fault:
            self.faults[fault] += 1

    def note(self, text: str) -> None:
        """Something the person should know, once."""
        if text not in self.notes:
            self.notes.append(text)

    def ended(self, item: str, sample: int, clock: Clock, *, failed: bool) -> None:
        """A sample came to its end."""
        self._ends.append(clock.now())
        if (item, sample) in self._to_hold_again:
            self._to_hold_again.remove((item, sample))
            self.failed -= 1
        self.failed += failed
        self.done += not failed

    def seconds_left(self, clock: Clock) -> float | None:
        """By the speed of the last samples; None before there is one."""
        if len(self._ends) < 2:
            return None
        took = clock.now() - self._ends[0]
        left = self.requested - self.done - self.failed + len(self._to_hold_again)
        return took / (len(self._ends) - 1) * max(0, left)
