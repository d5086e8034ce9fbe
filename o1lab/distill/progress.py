"""The counts of a teacher run, as its status shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from o1lab.distill.run_directory import TeacherRunStatus
from o1lab.jobs.control import Clock
from o1lab.jobs.progress import Counts
from store.teacher_runs import Outcome, Tally


@dataclass
class Progress(Counts):
    """The counts of a teacher run."""

    unverifiable: int = 0
    rejected: int = 0
    OF_SAMPLES: ClassVar[tuple[str, ...]] = (*Counts.OF_SAMPLES, "unverifiable", "rejected")

    def start_from(self, ended: Tally, failed: set[tuple[str, int]], before: TeacherRunStatus | None) -> None:
        """Continue a run; ``ended`` are its samples so far, ``failed`` those of them that are asked again."""
        self.continue_from(failed, before)
        self.done, self.rejected = ended.done, ended.rejected
        self.correct, self.incorrect, self.unverifiable = ended.correct, ended.incorrect, ended.unverifiable
        self.usage.add(ended)

    def count_sample(self, outcome: Outcome, verdict: str | None, clock: Clock) -> None:
        """Count a sample that ended."""
        self.count_end(outcome.item, outcome.sample, clock, failed=outcome.state == "failed")
        if outcome.state == "failed":
            return
        self.rejected += outcome.state == "rejected"
        match verdict:
            case "correct":
                self.correct += 1
            case "incorrect":
                self.incorrect += 1
            case "unverifiable":
                self.unverifiable += 1
