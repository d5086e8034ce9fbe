"""The directory of a teacher run, LAB/distill/ID, and its status."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from o1lab.distill.settings import TeacherRunSettings
from o1lab.jobs.directory import Count, CountedStatus, JobFolder


@dataclass(frozen=True, slots=True)
class TeacherRunStatus(CountedStatus):
    """The status of a teacher run."""

    unverifiable: Count = 0
    rejected: Count = 0


@dataclass(frozen=True)
class RunFolder(JobFolder[TeacherRunStatus, TeacherRunSettings]):
    """The directory of one teacher run."""

    noun = "teacher run"
    verb = "o1lab distill"
    status_type = TeacherRunStatus
    settings_type = TeacherRunSettings
    created_file = "prompts.json"

    @cached_property
    def journal(self) -> Path:
        """One line per response, written before the response counts."""
        return self.path / "journal.jsonl"

    @cached_property
    def prompts(self) -> Path:
        """The full texts of the run's prompts."""
        return self.path / "prompts.json"

    @cached_property
    def asked(self) -> Path:
        """The models that the run uses, and their terms."""
        return self.path / "asked.json"

    @cached_property
    def items_file(self) -> Path:
        """The ids of the run's items in order, one per line: a run keeps its items when the pool changes."""
        return self.path / "items.txt"
