"""The directory of a job that asks models: its journals, and the errors in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from o1lab.jobs.directory import FileIn, JobFolder, SettingsT, StatusT

if TYPE_CHECKING:
    from o1lab.inference.journal import FaultCount


@dataclass(frozen=True)
class AskingFolder(JobFolder[StatusT, SettingsT]):
    """The directory of one job that asks models."""

    journal = FileIn("journal.jsonl", "One line per response, written before the response counts.")

    @property
    def journals(self) -> list[Path]:
        """All journals of the job."""
        return [self.journal]

    def faults(self) -> list[FaultCount]:
        """Count the errors of the job by code, the most frequent first; reads its journals in full."""
        from o1lab.inference import journal

        return journal.faults(*self.journals)
