"""The launcher ``ray``: a job of Ray Jobs on the cluster of ``[cluster]`` in o1lab.toml.

The job's command runs on a node with the GPUs that one node of the run needs. A run of several nodes asks Ray for the
others (:mod:`o1lab.train.launchers.ray_nodes`). The folder of the lab has the same path on all of them.
"""

from __future__ import annotations

import os
import secrets
import shlex
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from o1lab.config import ClusterConfig, Config, load_config
from o1lab.errors import LabError
from o1lab.files import writing
from o1lab.jobs.log import begin_session
from o1lab.paths import Lab
from o1lab.process import QUIET_ENVIRONMENT
from o1lab.text import one_line
from o1lab.train import torchrun
from o1lab.train.launcher import (
    KEEP_MEMORY,
    Examined,
    Launcher,
    Seen,
    died_here,
    launcher,
    write_launch,
)
from o1lab.train.launchers.ray_client import RayJobs
from o1lab.train.launchers.silence import Silence
from o1lab.train.runs.directory import Launch, RunDir

if TYPE_CHECKING:
    from o1lab.train.recipes.recipe import Recipe

_NODES = "o1lab.train.launchers.ray_nodes"
_PASSED = ("O1LAB_CACHE", "O1LAB_OFFLINE", "HF_HOME", "HF_HUB_OFFLINE", "PYTHONPATH", "OMP_NUM_THREADS")
"""Variables that the worker gets from the environment of the program, besides those of ``[cluster] runtime_env``."""


@launcher("ray", order=40)
class Ray(Launcher):
    """Submits a job through Ray's dashboard, and reads its state there."""

    about = "a job on a Ray cluster"
    title = "Ray"

    def __init__(self) -> None:
        self._silence = Silence(lambda error: isinstance(error, LabError) and error.code == "no_cluster")

    def start(self, run: RunDir, recipe: Recipe, *, resuming: bool) -> None:
        config = load_config(run.lab).cluster
        jobs = RayJobs(config)
        launch = Launch.submitted(self.name, where=jobs.address)
        write_launch(run, launch)
        with writing(run.log), run.log.open("ab") as log:
            begin_session(log)
        job = jobs.submit(request(run, recipe, config, resuming=resuming))
        self._silence.forget(jobs.address)
        write_launch(run, replace(launch, job=job))
        run.write_status(replace(run.read_status(), message=f"Waits for the Ray cluster as job {job}."))

    def cancel(self, run: RunDir, launch: Launch) -> None:
        if launch.job:
            jobs = RayJobs(load_config(run.lab).cluster, launch.where)
            try:
                jobs.stop(launch.job)
            except LabError as error:
                if error.code != "no_job":
                    raise
            self._silence.forget(jobs.address)

    def seen(self, run: RunDir, launch: Launch) -> Seen:
        if not launch.job:
            return Seen("ended", "The job was not submitted to Ray.", "Submit it again.")
        try:
            jobs = RayJobs(load_config(run.lab).cluster, launch.where)
            found = self._silence.ask(jobs.address, lambda: jobs.find(launch.job))
            return _seen(found, launch, run, jobs)
        except LabError as error:
            if died_here(run.read_status()):
                return Seen("ended")  # the log of the run says why
            return Seen("unknown", error.message, error.hint)

    def faults(self, lab: Lab, recipe: Recipe) -> list[LabError]:
        try:
            RayJobs(load_config(lab).cluster).version()
        except LabError as error:
            return [error]
        return super().faults(lab, recipe)

    def examine(self, config: Config) -> Examined | None:
        if config.cluster.dashboard is None:
            return None
        jobs = RayJobs(config.cluster)
        try:
            return Examined(True, f"Ray {jobs.version()} at {jobs.address}")
        except LabError as error:
            return Examined(False, error.message, error.hint)


def request(run: RunDir, recipe: Recipe, config: ClusterConfig, *, resuming: bool) -> dict[str, Any]:
    """Return the request that submits a run."""
    gpus = 0 if recipe.device == "cpu" else recipe.processes
    python = str(config.runtime_env.get("py_executable") or "")
    if recipe.nodes == 1:
        words = torchrun.worker_command(run, processes=recipe.processes, resuming=resuming)
    else:
        words = [*torchrun.worker_command(run)[:3], _NODES, str(run.path), *(["--resume"] if resuming else [])]
    if python:
        words = [python if word == sys.executable else word for word in words]
    variables = {name: os.environ[name] for name in _PASSED if name in os.environ}
    variables |= KEEP_MEMORY | QUIET_ENVIRONMENT
    variables |= dict(config.runtime_env.get("env_vars") or {})
    runtime_env = {key: value for key, value in config.runtime_env.items() if key not in ("py_executable", "env_vars")}
    entry: dict[str, Any] = {
        # Ray runs it with a shell. The output of the worker goes to the log of the run.
        "entrypoint": f"cd {shlex.quote(str(run.path))} && exec {shlex.join(words)} >> log.txt 2>&1",
        "submission_id": f"o1lab-{run.id}-{secrets.token_hex(3)}",
        "runtime_env": runtime_env | {"env_vars": variables},
        "metadata": {"o1lab_run": run.id},
    }
    if gpus and recipe.nodes == 1:
        entry["entrypoint_num_gpus"] = gpus
    if recipe.nodes == 1:
        entry["entrypoint_num_cpus"] = 1
    return entry


def _seen(found: dict[str, Any] | None, launch: Launch, run: RunDir, jobs: RayJobs) -> Seen:
    name = f"Ray job {launch.job}"
    if found is None:
        return Seen("ended", f"Ray at {jobs.address} does not know job {launch.job}: was it restarted?")
    state, message = str(found.get("status") or ""), one_line(str(found.get("message") or ""), 240)
    if state == "PENDING":
        return Seen("pending", f"{name} waits: {message}" if message else f"{name} waits for the cluster.")
    if state == "RUNNING":
        return Seen("running", f"{name} runs; its worker has not reported lately.")
    if state == "STOPPED":
        return Seen("ended", f"{name} was stopped.", "", "stopped")
    if run.read_status().pid is not None:
        return Seen("ended")  # the log of the run says why
    printed = one_line(jobs.log_end(launch.job), 200)
    why = printed or message or state.lower()
    return Seen("ended", f"{name} ended before its worker started: {why.rstrip('.')}.", f"Do all nodes see {run.path}?")
