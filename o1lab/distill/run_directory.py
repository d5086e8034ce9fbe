"""The directory of a teacher run, LAB/distill/ID, and its status."""

from __future__ import annotations

from dataclasses import dataclass

from o1lab.distill.settings import TeacherRunSettings
from o1lab.inference.directory import AskingFolder
from o1lab.jobs.directory import Count, CountedStatus, FileIn


@dataclass(frozen=True, slots=True)
class TeacherRunStatus(CountedStatus):
    """The status of a teacher run."""

    unverifiable: Count = 0
    rejected: Count = 0


@dataclass(frozen=True)
class RunFolder(AskingFolder[TeacherRunStatus, TeacherRunSettings]):
    """The directory of one teacher run."""

    noun = "teacher run"
    verb = "o1lab distill"
    status_type = TeacherRunStatus
    settings_type = TeacherRunSettings
    created_file = "prompts.json"

    prompts = FileIn("prompts.json", "The full texts of the run's prompts.")
    asked = FileIn("asked.json", "The models that the run uses, and their terms.")
    items_file = FileIn(
        "items.txt", "The ids of the run's items in order, one per line: a run keeps its items when the pool changes."
    )
    batches_file = FileIn("batches.json", "With the engine batch: the batches, their states and what they may cost.")
    batches = FileIn("batches", "With the engine batch: the request lines of the batches that have not returned.")
