"""The nodes of a run on Ray: ``python -P -m o1lab.train.launchers.ray_nodes RUN_DIR [--resume]``.

Ray Jobs runs this on one node. It requests the nodes of the run from the cluster, each with the GPUs of its
processes, and starts the command of each node there. It ends with the status of the first command that failed.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from o1lab.train import torchrun
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import load
from o1lab.train.runs.directory import RunDir

WAIT_S = 900.0
"""Seconds to wait for the nodes."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    arguments = parser.parse_args()
    run = RunDir(arguments.run.absolute())
    return work(run, load(run.recipe), resuming=arguments.resume)


def work(run: RunDir, recipe: Recipe, *, resuming: bool, wait_s: float = WAIT_S) -> int:
    """Start the command of each node, and wait until all have ended.

    Returns:
        The exit status: 0 if all commands succeeded.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    ray.init(address=os.environ.get("RAY_ADDRESS", "auto"), log_to_driver=False)
    wanted = resources(recipe)
    group = placement_group([dict(wanted) for _ in range(recipe.nodes)], strategy="STRICT_SPREAD")
    try:
        if not group.wait(wait_s):
            per_node = ", ".join(f"{number:g} {name}" for name, number in wanted.items())
            message = f"The cluster did not give {recipe.nodes} nodes with {per_node} each in {wait_s / 60:.0f} min."
            hint = "See `ray status`. Add nodes, or ask for fewer nodes or GPUs."
            run.write_status(replace(run.read_status(), state="failed", message=message, hint=hint))
            return 1

        def on(node: int) -> dict[str, Any]:
            where = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=node)
            return {"num_cpus": wanted["CPU"], "num_gpus": wanted.get("GPU", 0), "scheduling_strategy": where}

        address = ray.remote(_address).options(**on(0)).remote()
        meet = str(ray.get(address))
        start = ray.remote(max_retries=0)(run_node)
        left = [
            start.options(**on(node)).remote(
                str(run.path),
                torchrun.worker_command(
                    run,
                    nodes=recipe.nodes,
                    processes=recipe.processes,
                    node_rank=node,
                    rendezvous=meet,
                    resuming=resuming,
                ),
            )
            for node in range(recipe.nodes)
        ]
        status = 0
        while left:
            (ended,), left = ray.wait(left)
            status = status or ray.get(ended)
        return int(status)
    finally:
        remove_placement_group(group)
        ray.shutdown()


def resources(recipe: Recipe) -> dict[str, float]:
    """Return what Ray reserves on each node of a run."""
    gpus = {} if recipe.device == "cpu" else {"GPU": float(recipe.processes)}
    return {"CPU": 1.0, **gpus}


def _address() -> str:
    """Return the address of this node, as the others see it."""
    import ray

    return str(ray.util.get_node_ip_address())


def run_node(folder: str, command: list[str]) -> int:
    """Run the command of a node, with its output in the log of the run; it ends with this process."""
    with (Path(folder) / "log.txt").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
