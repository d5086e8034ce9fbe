"""The counts of an evaluation, as its status shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from o1lab.evaluate.run.directory import EvalStatus
from o1lab.jobs.control import Clock
from o1lab.jobs.progress import Counts
from store.evaluations import OUTCOMES, Tally

_COUNTED = tuple(outcome for outcome in OUTCOMES if outcome != "failed")


@dataclass
class EvalCounts(Counts):
    """The counts of an evaluation; ``done`` counts every sample that did not fail."""

    incomplete: int = 0
    unextracted: int = 0
    unscored: int = 0
    cached: int = 0
    OF_SAMPLES: ClassVar[tuple[str, ...]] = (*Counts.OF_SAMPLES, "incomplete", "unextracted", "unscored", "cached")

    def start_from(self, so_far: Tally, failed: set[tuple[str, int]], before: EvalStatus | None) -> None:
        """Continue an evaluation; ``failed`` are the samples that are asked again."""
        self.continue_from(failed, before)
        for outcome in _COUNTED:
            setattr(self, outcome, so_far.outcomes[outcome])
        self.done = so_far.total - so_far.outcomes["failed"]
        self.cached = so_far.cached

    def count_sample(self, item: str, sample: int, outcome: str, clock: Clock, *, cached: bool) -> None:
        """Count a sample that ended."""
        self.count_end(item, sample, clock, failed=outcome == "failed")
        self.cached += cached
        if outcome != "failed":
            setattr(self, outcome, getattr(self, outcome) + 1)

    def scored(self, outcome: str) -> None:
        """Count a stored sample that was scored."""
        self.unscored -= 1
        setattr(self, outcome, getattr(self, outcome) + 1)
