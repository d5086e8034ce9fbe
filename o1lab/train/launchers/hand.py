"""The launcher ``hand``: a person starts the command of each node, on machines that see the folder of the lab."""

from __future__ import annotations

import shlex
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

from o1lab.config import load_config
from o1lab.train import torchrun
from o1lab.train.launcher import (
    KEEP_MEMORY,
    Launcher,
    Seen,
    died_here,
    launcher,
    write_launch,
)
from o1lab.train.runs.directory import Launch, RunDir

if TYPE_CHECKING:
    from o1lab.train.recipes.recipe import Recipe


@launcher("hand", order=20)
class Hand(Launcher):
    """Writes the command of each node into launch.json; the run waits until they are started."""

    about = "machines where you start the worker"
    title = "the nodes"

    def start(self, run: RunDir, recipe: Recipe, *, resuming: bool) -> None:
        hosts = load_config(run.lab).hand.hosts or [socket.gethostname()]
        commands = [_command(run, recipe, node=node, first=hosts[0], resuming=resuming) for node in range(recipe.nodes)]
        write_launch(run, replace(Launch.submitted(self.name), commands=tuple(commands)))
        message = f"Waits until you start its commands (i shows them; or `{run.verb} show {run.id}`)."
        run.write_status(replace(run.read_status(), message=message))

    def seen(self, run: RunDir, launch: Launch) -> Seen:
        status = run.read_status()
        if status.pid is None:
            return Seen("pending")
        if died_here(status):
            return Seen("ended")  # the log of the run says why
        return Seen(
            "unknown",
            f"No sign of life from {status.host}.",
            f"Look there. If it is gone, end it: {run.verb} stop {run.id}.",
        )


def _command(run: RunDir, recipe: Recipe, *, node: int, first: str, resuming: bool) -> str:
    """Return the command of a node, for a shell in any folder; its output goes to the log of the run too.

    Ctrl-C ends the worker alone: ``tee -i`` keeps reading while the worker saves its checkpoint.
    """
    words = torchrun.worker_command(
        run, nodes=recipe.nodes, processes=recipe.processes, node_rank=node, rendezvous=first, resuming=resuming
    )
    settings = [f"{name}={shlex.quote(value)}" for name, value in KEEP_MEMORY.items()]
    return f"cd {shlex.quote(str(run.path))} && {' '.join([*settings, shlex.join(words)])} 2>&1 | tee -ia log.txt"
