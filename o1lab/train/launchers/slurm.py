"""The launcher ``slurm``: a batch job that starts the processes of each node with srun.

It needs sbatch, squeue, scontrol and scancel, and no accounting database. ``[slurm]`` of o1lab.toml has the options of
the job; a lab may replace the script (``LAB/slurm/train.sbatch``).

Before a preemption or the time limit, Slurm sends SIGTERM to the processes. The worker saves a checkpoint, creates
``control/again`` and ends; the script then puts its job back into the queue. There, and after a node has failed, the
same job starts with ``--resume``.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from o1lab.config import Config, SlurmConfig, load_config
from o1lab.errors import LabError
from o1lab.files import write_text, writing
from o1lab.paths import Lab, assets_dir
from o1lab.process import QUIET_ENVIRONMENT
from o1lab.train import torchrun
from o1lab.train.launcher import (
    KEEP_MEMORY,
    Examined,
    Launcher,
    Seen,
    launcher,
    write_launch,
)
from o1lab.train.launchers.silence import Silence
from o1lab.train.launchers.slurm_client import COMMANDS, SlurmError, SlurmJob, ask, find_job, jobs_of_user, missing
from o1lab.train.launchers.slurm_words import refusal, seen_of
from o1lab.train.parent_run import awaited
from o1lab.train.runs.directory import Launch, RunDir

if TYPE_CHECKING:
    from o1lab.train.recipes.recipe import Recipe

_MINE_S = 4.0
_HEAD, _RANK = "@HEAD@", "@NODE@"  # in the command, for what the shell of a node fills in


@launcher("slurm", order=30)
class Slurm(Launcher):
    """Submits a job, and reads its state from squeue and scontrol."""

    about = "a Slurm job, resumed when preempted"
    title = "Slurm"

    def __init__(self) -> None:
        self._mine: dict[str, SlurmJob] = {}
        self._asked = 0.0
        self._silence = Silence(lambda error: isinstance(error, SlurmError))

    def start(self, run: RunDir, recipe: Recipe, *, resuming: bool) -> None:
        lab = run.lab
        config = load_config(lab).slurm
        launch = Launch.submitted(self.name, requeue=config.requeues > 0)
        with writing(run.batch_script):
            write_text(run.batch_script, script(lab, run, recipe, config, resuming=resuming))
        run.again_file.unlink(missing_ok=True)
        write_launch(run, launch)
        words = ["sbatch", "--parsable", f"--job-name=o1lab-{run.id}", f"--chdir={run.path}", "--output=log.txt"]
        words += ["--open-mode=append", *_dependency(run, recipe), *options(recipe, config), str(run.batch_script)]
        environment = KEEP_MEMORY | os.environ | QUIET_ENVIRONMENT
        try:
            answer = ask(words, environment=environment, timeout_s=60.0)
        except SlurmError as error:
            raise refusal(error.text, config) from error
        self._silence.forget("")
        job, _, cluster = answer.strip().rpartition("\n")[2].partition(";")
        write_launch(run, replace(launch, job=job, where=cluster))
        run.write_status(replace(run.read_status(), message=f"In the queue of Slurm as job {job}."))

    def cancel(self, run: RunDir, launch: Launch) -> None:
        chosen = [launch.job] if launch.job else [f"--name=o1lab-{run.id}"]
        try:
            ask(["scancel", *chosen])
        except SlurmError as error:
            if "Invalid job id" not in error.text:
                raise LabError(
                    f"Slurm did not cancel job {launch.job or run.id}: {error.brief}.",
                    f"Cancel it yourself: scancel {' '.join(chosen)}",
                ) from error
        self._silence.forget("")

    def seen(self, run: RunDir, launch: Launch) -> Seen:
        try:
            job = self._find(run, launch)
        except SlurmError as error:
            message = f"Slurm cannot be asked about job {launch.job}: {error.brief}."
            return Seen("unknown", message, "See `o1lab doctor`.")
        return seen_of(job, launch, run)

    def faults(self, lab: Lab, recipe: Recipe) -> list[LabError]:
        if not_found := missing(COMMANDS):
            return [_missing_fault(not_found)]
        config = load_config(lab).slurm
        found = []
        try:
            ask(["sbatch", "--test-only", *options(recipe, config), "--wrap=true"], timeout_s=30.0)
        except SlurmError as error:
            found.append(refusal(error.text, config))
        return [*found, *super().faults(lab, recipe)]

    def examine(self, config: Config) -> Examined | None:
        if "slurm" not in config.model_fields_set:
            return None
        if not_found := missing(COMMANDS):
            fault = _missing_fault(not_found)
            return Examined(False, fault.message, fault.hint)
        try:
            lines = ask(["sinfo", "--noheader", "--format=%R %a"]).split("\n")
        except SlurmError as error:
            return Examined(False, f"Slurm does not answer: {error.brief}", "Ask it: scontrol ping")
        partitions = dict(line.split()[:2] for line in lines if len(line.split()) >= 2)
        wanted = config.slurm.partition
        if wanted is not None and wanted not in partitions:
            refused = refusal("Invalid partition name", config.slurm)
            return Examined(False, refused.message, f"There are: {', '.join(partitions)}.")
        return Examined(True, f"partition{'s' * (len(partitions) != 1)} {', '.join(partitions)}")

    def _find(self, run: RunDir, launch: Launch) -> SlurmJob | None:
        """Return the job of a run; None if Slurm does not know it (any more)."""
        mine = self._silence.ask("", self._queue)
        if not launch.job:  # the submission was interrupted before its answer was written
            return next((job for job in mine.values() if job.name == f"o1lab-{run.id}"), None)
        return mine.get(launch.job) or self._silence.ask("", lambda: find_job(launch.job))

    def _queue(self) -> dict[str, SlurmJob]:
        """Return the jobs of this user; an answer is used for some seconds."""
        if not self._asked or time.monotonic() - self._asked > _MINE_S:
            self._mine, self._asked = jobs_of_user(), time.monotonic()
        return self._mine


def options(recipe: Recipe, config: SlurmConfig) -> list[str]:
    """Return the options of sbatch that a recipe and ``[slurm]`` ask for; later ones override earlier ones."""
    words = [f"--nodes={recipe.nodes}", "--ntasks-per-node=1", f"--signal=TERM@{config.signal_s}"]
    words.append("--requeue" if config.requeues else "--no-requeue")
    given = {
        "partition": config.partition, "account": config.account, "time": config.time,
        "cpus-per-task": config.cpus_per_node,
    }  # fmt: skip
    words += [f"--{name}={value}" for name, value in given.items() if value]
    gpus = recipe.processes if config.gpus_per_node is None else config.gpus_per_node
    if gpus and recipe.device != "cpu":
        words.append(f"--gpus-per-node={gpus}")
    return [*words, *config.options]


def template(lab: Lab) -> str:
    """Return the text of the batch script of the lab, or of the built-in one.

    Raises:
        LabError: it cannot be read.
    """
    own = lab.batch_script
    path = own if own.exists() else assets_dir() / "slurm" / "train.sbatch"
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(
            f"Cannot read {path}: {error}.", "Correct it, or delete it to use the built-in script."
        ) from error


def script(lab: Lab, run: RunDir, recipe: Recipe, config: SlurmConfig, *, resuming: bool) -> str:
    """Return the batch script of a run: the template with its marks ``@NAME@`` replaced.

    Raises:
        LabError: the template cannot be read, or has no place for the command.
    """
    words = torchrun.worker_command(
        run,
        nodes=recipe.nodes,
        processes=recipe.processes,
        node_rank=_RANK,
        rendezvous=_HEAD,
        resuming=resuming,
        shutdown_s=max(config.signal_s, torchrun.SHUTDOWN_S),
    )
    if config.python:
        words = [config.python if word == sys.executable else word for word in words]
    command = shlex.join(words)
    command = command.replace(_RANK, '"$SLURM_NODEID"').replace(_HEAD, '"$O1LAB_HEAD"')
    text = template(lab)
    if "@COMMAND@" not in text:
        raise LabError(
            f"{lab.batch_script} does not say @COMMAND@.", "Start from the built-in script.", code="template"
        )
    marks = {
        "COMMAND": shlex.quote(command),
        "RUN": shlex.quote(str(run.path)),
        "PROCESSES": str(recipe.processes),
        "REQUEUES": str(config.requeues),
    }
    return re.sub(f"@({'|'.join(marks)})@", lambda found: marks[found[1]], text)


def _dependency(run: RunDir, recipe: Recipe) -> list[str]:
    """Let a run that waits for another one wait in the queue, not with its nodes."""
    identity = awaited(recipe)
    before = RunDir(run.path.parent / identity).launch() if identity else None
    if before is None or before.launcher != Slurm.name or not before.job or before.end:
        return []
    return [f"--dependency=afterany:{before.job}"]


def _missing_fault(names: list[str]) -> LabError:
    message = f"Slurm's command{'s' * (len(names) != 1)} {', '.join(names)} cannot be found on this machine."
    return LabError(message, "Start o1lab on a login node of the cluster, or set PATH.", code="no_slurm")
