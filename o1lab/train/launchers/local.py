"""The launcher ``local``: the worker is a process of this machine, or several under torchrun."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from o1lab.jobs import spawn
from o1lab.process import QUIET_ENVIRONMENT
from o1lab.train import torchrun
from o1lab.train.launcher import KEEP_MEMORY, Launcher, launcher
from o1lab.train.runs.directory import RunDir

if TYPE_CHECKING:
    from o1lab.train.recipes.recipe import Recipe


@launcher("local", order=10)
class Local(Launcher):
    """Starts a detached process, which outlives the program and waits in the queue of its device."""

    about = "this machine"
    title = "this machine"
    elsewhere = False

    def start(self, run: RunDir, recipe: Recipe, *, resuming: bool) -> int:
        run.launch_file.unlink(missing_ok=True)
        command = torchrun.worker_command(run, processes=recipe.processes, resuming=resuming)
        env = KEEP_MEMORY | torchrun.environment(recipe.processes) | os.environ | QUIET_ENVIRONMENT
        return spawn.start(run, command, env=env)
