"""What a teacher run has come to so far, as its status shows it."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from o1lab.distill.calls import Response
from o1lab.distill.folder import Status
from o1lab.distill.limits import Clock
from store.teacher_runs import Outcome, Tally

_WINDOW = 400
"""The time left follows the speed of so many last samples."""


@dataclass
class Progress:
    """The numbers of a run. Tokens and money are those of every response there is, whatever became of it."""

    requested: int = 0
    done: int = 0
    correct: int = 0
    incorrect: int = 0
    unverifiable: int = 0
    rejected: int = 0
    failed: int = 0
    in_flight: int = 0
    retries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    activity: str = ""
    """What an engine is waiting for, in words."""
    faults: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    _to_hold_again: set[tuple[str, int]] = field(default_factory=set)
    """Samples that failed in an earlier session: they count as failed until they have ended anew."""
    _ends: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))

    def start_from(self, ended: Tally, failed: set[tuple[str, int]], before: Status | None) -> None:
        """Take up a run: ``ended`` are its samples so far, ``failed`` those of them that are held again."""
        self.done, self.rejected, self.failed, self._to_hold_again = ended.done, ended.rejected, len(failed), failed
        self.correct, self.incorrect, self.unverifiable = ended.correct, ended.incorrect, ended.unverifiable
        self.input_tokens, self.output_tokens = ended.input_tokens, ended.output_tokens
        self.cost_usd = ended.cost_usd
        if before is not None:
            self.retries = before.retries
            self.faults.update(before.faults)
            self.notes.extend(before.notes)

    def paid(self, input_tokens: int, output_tokens: int, cost_usd: float) -> None:
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.cost_usd += cost_usd

    def heard(self, response: Response) -> None:
        """A response came."""
        self.paid(response.input_tokens, response.output_tokens, response.cost_usd)
        if response.fault is not None:
            self.faults[response.fault.code] += 1

    def note(self, text: str) -> None:
        """Something the person should know, once."""
        if text not in self.notes:
            self.notes.append(text)

    def landed(self, outcome: Outcome, verdict: str | None, clock: Clock) -> None:
        """A sample came to its end."""
        self._ends.append(clock.now())
        if (outcome.item, outcome.sample) in self._to_hold_again:
            self._to_hold_again.remove((outcome.item, outcome.sample))
            self.failed -= 1
        if outcome.state == "failed":
            self.failed += 1
            return
        self.done += 1
        self.rejected += outcome.state == "rejected"
        match verdict:
            case "correct":
                self.correct += 1
            case "incorrect":
                self.incorrect += 1
            case "unverifiable":
                self.unverifiable += 1

    def seconds_left(self, clock: Clock) -> float | None:
        """By the speed of the last samples; None before there is one."""
        if len(self._ends) < 2:
            return None
        took = clock.now() - self._ends[0]
        left = self.requested - self.done - self.failed + len(self._to_hold_again)
        return took / (len(self._ends) - 1) * max(0, left)
