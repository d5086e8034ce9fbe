"""Checks of a run of several processes: rows, devices, and the memory that they need together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from o1lab.train.preflight.report import Preflight
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.trainer.distributed import FSDP2_ON_CPU, too_few_rows

if TYPE_CHECKING:
    from o1lab.train.preflight.memory import Estimate


def check(found: Preflight, recipe: Recipe) -> None:
    """Check that every process gets its own rows, and a device that the strategy supports.

    Args:
        found: has the training rows and the device; gets problems and warnings.
        recipe: the recipe.
    """
    world = recipe.world_size
    if recipe.strategy == "fsdp2" and world > 1:
        if found.device == "cpu":
            found.problem("fsdp2_cpu", *FSDP2_ON_CPU)
        elif recipe.probes:
            found.warning(
                "fsdp2_probes",
                "The probes are not asked: with fsdp2 no process has the whole model.",
                "Choose strategy ddp, or ask the student after the run: o1lab chat.",
            )
    if found.train_rows < world:
        found.refused(too_few_rows(found.train_rows, world))
    elif world > 1 and found.train_rows < (batch := recipe.batch_size * world):
        found.warning(
            "rows_repeat",
            f"{world} processes take {batch:,} rows at once, but there are {found.train_rows:,}: some count twice.",
            "Lower batch_size or processes.",
        )


def on_one_machine(guess: Estimate, recipe: Recipe, *, layers: int, gpu: bool) -> Estimate:
    """Return what a run needs of one device, from the estimate for a single process.

    On CPUs the processes of a machine share its memory, so their needs add up; each GPU has its own process. DDP
    keeps the gradients once more, in float32, to exchange them. FSDP2 shares weights, gradients and moments among all
    processes, and gathers the weights of one layer while it is computed, and of the next.

    Args:
        guess: the estimate for one process.
        recipe: the recipe.
        layers: the number of layers of the base.
        gpu: whether it runs on GPUs.
    """
    world = recipe.world_size
    if world == 1:
        return guess
    if recipe.strategy == "fsdp2":
        gathered = 2 * guess.weights // max(layers, 1)
        return replace(guess, weights=guess.weights // world + gathered, adapter=guess.adapter // world)
    each = replace(guess, adapter=guess.adapter + 4 * guess.trainable)
    if gpu:
        return each
    here = recipe.processes
    return replace(
        each,
        weights=here * each.weights,
        adapter=here * each.adapter,
        activations=here * each.activations,
        overhead=here * each.overhead,
    )
