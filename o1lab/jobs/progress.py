"""The counts of a job that asks models, as its status shows them."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import ClassVar

from o1lab.jobs.control import Clock
from o1lab.jobs.directory import CountedStatus

_WINDOW = 400
"""How many of the last samples the estimate of the time left is based on."""


@dataclass
class Counts:
    """The counts of any job. Tokens and money are those of all responses, including failed ones."""

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
    """What the job is waiting for, for a person."""
    faults: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    _to_hold_again: set[tuple[str, int]] = field(default_factory=set)
    """Samples that failed in an earlier session; they count as failed until they end again."""
    _ends: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    OF_SAMPLES: ClassVar[tuple[str, ...]] = ("requested", "done", "correct", "incorrect", "failed")
    """Counts that a resumed job shows unchanged until everything has been counted again."""

    def go_on(self, failed: set[tuple[str, int]], before: CountedStatus | None) -> None:
        """Continue the counts of an earlier session; ``failed`` are the samples that are asked again."""
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
        """Add a sentence for a person, once."""
        if text not in self.notes:
            self.notes.append(text)

    def ended(self, item: str, sample: int, clock: Clock, *, failed: bool) -> None:
        """Count a sample that ended."""
        self._ends.append(clock.now())
        if (item, sample) in self._to_hold_again:
            self._to_hold_again.remove((item, sample))
            self.failed -= 1
        self.failed += failed
        self.done += not failed

    def seconds_left(self, clock: Clock) -> float | None:
        """The estimated time left in seconds, from the speed of the last samples; None until two have ended."""
        if len(self._ends) < 2:
            return None
        took = clock.now() - self._ends[0]
        left = self.requested - self.done - self.failed + len(self._to_hold_again)
        return took / (len(self._ends) - 1) * max(0, left)
