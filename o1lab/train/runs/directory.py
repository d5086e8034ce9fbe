"""The directory of a training run, LAB/runs/ID, and its status. Does not import torch."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from o1lab.jobs.directory import (
    Count,
    FileIn,
    JobFolder,
    JobInfo,
    JobStatus,
    Moment,
    find_directory,
    list_directories,
)
from o1lab.jobs.log import KILLED_HINT, cause_of_death
from o1lab.models.checkpoints import checkpoint_name, complete_checkpoints
from o1lab.paths import Lab
from o1lab.small_files import UnreadableError, read_json
from o1lab.train.runs import silent_jobs

SPIKES = "Loss spikes"
"""How the warning on loss spikes begins."""


@dataclass(frozen=True, slots=True)
class RunStatus(JobStatus):
    """The status of a training run.

    Attributes:
        after: the id of the run that this one waits for.
        kind: what its checkpoints hold: ``adapter`` or ``full``, a whole model; empty until it has loaded its base.
        warnings: warnings about the training, one sentence each. They stay when the message changes.
        processes: how many processes train, on all nodes together.
        stopped_by: ``median_rule`` if that stopped the run; None otherwise.
    """

    step: Count = 0
    total_steps: Count = 0
    device: str = ""
    dtype: str = ""
    after: str = ""
    kind: str = ""
    warnings: tuple[str, ...] = ()
    processes: Count = 1
    stopped_by: str | None = None


RunState = JobInfo[RunStatus, None]


@dataclass(frozen=True, slots=True)
class GroupTag:
    """The content of group.json: the group of a run, and the run's value of each field that varies in it."""

    name: str
    varies: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Launch:
    """The content of launch.json: the launcher of a run that is not a process of this machine, and the end of its job.

    Attributes:
        launcher: the name of the launcher (see :mod:`o1lab.train.launchers`).
        job: the id of its job; empty until it is known.
        where: the cluster or server that knows the job.
        requeue: whether the launcher starts the run again after a signal has interrupted it.
        submitted_at: when the job was submitted, in seconds since the epoch.
        commands: the command of each node, where a person starts them.
        end: the state of the run after its job ended without the worker's own final status; empty before that.
        message, hint: why it ended, and what to do.
    """

    launcher: str
    job: str = ""
    where: str = ""
    requeue: bool = False
    submitted_at: Moment = 0.0
    commands: tuple[str, ...] = ()
    end: str = ""
    message: str = ""
    hint: str = ""

    @classmethod
    def submitted(cls, launcher: str, job: str = "", *, requeue: bool = False, where: str = "") -> Launch:
        """Return the content for a job that is submitted now."""
        return cls(launcher, job=job, where=where, requeue=requeue, submitted_at=time.time())

    @property
    def words(self) -> str:
        """The launcher and its job, for a sentence: ``slurm job 12``."""
        return f"{self.launcher} job {self.job}" if self.job else self.launcher

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class RunDir(JobFolder[RunStatus, None]):
    """The paths of one training run and access to its small files."""

    noun = "run"
    verb = "o1lab runs"
    status_type = RunStatus
    marker = "status.json"
    own_files = ("status.json", "recipe.yaml")
    created_file = "recipe.yaml"

    recipe = FileIn("recipe.yaml", "The recipe, all defaults written out.")
    settings_file = recipe
    dataset = FileIn("dataset.json", "Name, hash and trace ids of the dataset, and of the replay dataset, if any.")
    data = FileIn(
        "data.jsonl",
        "The training rows, one {trace_id, prompt, thought, solution} per line. The worker never opens lab.db.",
    )
    command = FileIn("command.txt", "The command that makes the same run again.")
    env = FileIn("env.json", "The machine and the versions of the libraries.")
    metrics = FileIn("metrics.jsonl", "One line per logged step: loss, learning rate, gradient, tokens, speed.")
    samples = FileIn("samples.jsonl", "The student's answers to the probes, one line per probe and step.")
    checkpoints_dir = FileIn(
        "checkpoints", "Adapters or whole models, in step-N: weights, settings, optimiser, o1lab.json."
    )
    trackers = FileIn("trackers", "What TensorBoard, W&B and trackio write, where the recipe reports to them.")
    group_file = FileIn("group.json", "The group that the run belongs to; missing for a single run.")
    launch_file = FileIn("launch.json", "The launcher and its job, for a run that is not a process of this machine.")
    batch_script = FileIn("train.sbatch", "The script that Slurm runs, made from the lab's template.")
    again_file = FileIn("control/again", "Created by a worker that a signal interrupted and that can be started again.")
    early_stop = FileIn(
        "early_stop.json",
        "Why stop_hopeless stopped the run: the step, its best eval_loss, and those of the runs it was compared with.",
    )
    lock_file = FileIn("control/worker.lock", "Locked by the process that trains, the first one if there are several.")
    rank_errors = FileIn("control/ranks", "What ended a process other than the first one, N.json for process N.")

    def group(self) -> GroupTag | None:
        """Return the group of the run; None if it has none.

        Raises:
            UnreadableError: group.json is damaged.
        """
        return read_json(self.group_file, GroupTag) if self.group_file.exists() else None

    def launch(self) -> Launch | None:
        """Return the launcher and its job; None for a process of this machine, or if launch.json cannot be read."""
        if not self.launch_file.exists():
            return None
        try:
            return read_json(self.launch_file, Launch)
        except UnreadableError:
            return None

    def judged(self, status: RunStatus, *, stale: bool) -> tuple[str, RunStatus, bool]:
        """Judge a run of a launcher by its heartbeat, and by its job where that is old."""
        launch = self.launch()
        if launch is None:
            return super().judged(status, stale=stale)
        if not stale:
            return status.state, status, False
        return silent_jobs.judged(self, launch, status)

    def ask_to_stop(self) -> None:
        """Create the stop file; a job whose worker cannot see it is cancelled.

        Raises:
            LabError: the directory cannot be written, or the job cannot be cancelled.
        """
        super().ask_to_stop()
        if (launch := self.launch()) is not None:
            silent_jobs.cancel_if_silent(self, launch)

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints_dir / checkpoint_name(step)

    def checkpoints(self) -> list[Path]:
        """Return the complete checkpoints, by step."""
        return complete_checkpoints(self.path)

    def clear_control_files(self) -> None:
        """Delete all requests to stop, and the errors that processes have left."""
        super().clear_control_files()
        shutil.rmtree(self.rank_errors, ignore_errors=True)

    def explain_death(self, status: RunStatus) -> RunStatus:
        """Return the status with what ended the run, and whether it can be resumed."""
        message, hint = cause_of_death(self.log, status.heartbeat)
        again = self.resume_hint if self.checkpoints() else "It has no checkpoint to resume from"
        if hint == KILLED_HINT:
            hint = f"{hint} Then train again with a lower batch_size."
        return replace(status, message=message, hint=f"{hint} {again}.".strip())


def list_run_dirs(lab: Lab) -> list[RunDir]:
    """List the run directories of the lab, the newest first, including runs that another program created."""
    return list_directories(lab.runs, RunDir)


def find_run(lab: Lab, identity: str) -> RunDir:
    """Return the run with this id or name, or the only one whose id begins with ``identity``.

    Raises:
        NotFoundError: there is none, or there are several.
    """
    return find_directory(lab.runs, identity, RunDir)
