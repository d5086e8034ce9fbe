"""The counts of a job that calls models, as its status shows them."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from o1lab.jobs.control import Clock
from o1lab.jobs.directory import CountedStatus

_WINDOW = 400
"""The number of recent samples that the estimate of the time left is based on."""


class HasUsage(Protocol):
    """A response, or the usage of several."""

    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def cost_usd(self) -> float: ...


@dataclass
class Usage:
    """The tokens and US dollars that responses took, including failed ones."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def add(self, other: HasUsage) -> None:
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.cost_usd += other.cost_usd


@dataclass
class Counts:
    """The counts of any job. ``usage`` covers all attempts of all sessions; the job's budget reads it as well."""

    requested: int = 0
    done: int = 0
    correct: int = 0
    incorrect: int = 0
    failed: int = 0
    in_flight: int = 0
    retries: int = 0
    usage: Usage = field(default_factory=Usage)
    activity: str = ""
    """What the job is waiting for, as a sentence for people."""
    faults: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    _retried: set[tuple[str, int]] = field(default_factory=set)
    """(item, sample) of samples that failed in an earlier session; they count as failed until they end again."""
    _ends: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    OF_SAMPLES: ClassVar[tuple[str, ...]] = ("requested", "done", "correct", "incorrect", "failed")
    """Counts that a resumed job shows unchanged until everything has been counted again."""

    def continue_from(self, failed: set[tuple[str, int]], before: CountedStatus | None) -> None:
        """Continue the counts of an earlier session.

        Args:
            failed: (item, sample) of the failed samples, which are retried.
            before: the last status of that session; None for a new job.
        """
        self.failed, self._retried = len(failed), failed
        if before is not None:
            self.retries = before.retries
            self.faults.update(before.faults)
            self.notes.extend(before.notes)

    def note(self, text: str) -> None:
        """Add a note for people, unless it is there already."""
        if text not in self.notes:
            self.notes.append(text)

    def count_end(self, item: str, sample: int, clock: Clock, *, failed: bool) -> None:
        """Count a sample that ended."""
        self._ends.append(clock.now())
        if (item, sample) in self._retried:
            self._retried.remove((item, sample))
            self.failed -= 1
        self.failed += failed
        self.done += not failed

    def seconds_left(self, clock: Clock) -> float | None:
        """Estimate the seconds left from the rate of the last samples; None until two have ended."""
        if len(self._ends) < 2:
            return None
        took = clock.now() - self._ends[0]
        left = self.requested - self.done - self.failed + len(self._retried)
        return took / (len(self._ends) - 1) * max(0, left)
