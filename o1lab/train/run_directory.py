"""The directory of a training run, LAB/runs/ID, and its status. Does not import torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from o1lab.jobs.directory import Count, JobFolder, JobInfo, JobStatus, find_directory, list_directories
from o1lab.models.checkpoints import checkpoint_name, complete_checkpoints
from o1lab.models.library_errors import explain, last_error
from o1lab.paths import Lab

_LOG_LINES = 40


@dataclass(frozen=True, slots=True)
class RunStatus(JobStatus):
    """The status of a training run. ``after`` is the id of the run that this one waits for."""

    step: Count = 0
    total_steps: Count = 0
    device: str = ""
    dtype: str = ""
    after: str = ""


RunState = JobInfo[RunStatus, None]


@dataclass(frozen=True)
class RunDir(JobFolder[RunStatus, None]):
    """The paths of one training run and access to its small files."""

    noun = "run"
    verb = "o1lab runs"
    status_type = RunStatus
    marker = "status.json"
    own_files = ("status.json", "recipe.yaml")
    created_file = "recipe.yaml"
    lock_name = "worker.lock"

    @cached_property
    def recipe(self) -> Path:
        return self.path / "recipe.yaml"

    @cached_property
    def dataset(self) -> Path:
        return self.path / "dataset.json"

    @cached_property
    def data(self) -> Path:
        """The training rows, one {trace_id, prompt, thought, solution} per line. The worker never opens lab.db."""
        return self.path / "data.jsonl"

    @cached_property
    def command(self) -> Path:
        return self.path / "command.txt"

    @cached_property
    def env(self) -> Path:
        return self.path / "env.json"

    @cached_property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @cached_property
    def samples(self) -> Path:
        return self.path / "samples.jsonl"

    @cached_property
    def checkpoints_dir(self) -> Path:
        return self.path / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints_dir / checkpoint_name(step)

    def checkpoints(self) -> list[Path]:
        """Return the complete checkpoints, by step."""
        return complete_checkpoints(self.path)

    def explain_death(self, status: RunStatus) -> RunStatus:
        """Return the status with the last error in the log as its message, and what to do as its hint."""
        lines = [line.strip() for line in self.log_tail(_LOG_LINES) if line.strip()]
        again = self.resume_hint if self.checkpoints() else "It has no checkpoint to resume from"
        last = last_error(lines)
        if known := explain(last):
            return replace(status, message=known.message, hint=f"{known.hint} {again}.")
        ends = (last or (lines[-1] if lines else "")).partition("\n")[0].rstrip(".")
        message = "The process ended without reporting why." + (f" Its log ends with: {ends}." if ends else "")
        return replace(
            status, message=message, hint=f"{again}. If memory ran out, train again with a lower batch_size."
        )


def list_run_dirs(lab: Lab) -> list[RunDir]:
    """List the run directories of the lab, the newest first, including runs that another program created."""
    return list_directories(lab.runs, RunDir)


def find_run(lab: Lab, identity: str) -> RunDir:
    """Return the run with this id or name, or the only one whose id begins with ``identity``.

    Raises:
        NotFoundError: there is none, or there are several.
    """
    return find_directory(lab.runs, identity, RunDir)
