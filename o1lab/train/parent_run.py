"""Runs that continue from another run, and wait for it if it has not finished. Does not import torch.

``init_from: RUN/end`` waits for RUN. The waiting worker neither uses a device nor waits for one, so the two runs
cannot block each other. When RUN has finished, the recipe in the run directory is changed to name its last checkpoint,
so that a resumed run does not wait again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from o1lab.errors import RefusedError, UsageError
from o1lab.jobs.heartbeat import Heartbeat
from o1lab.paths import Lab
from o1lab.train.adapter import MODELS, adapter_shape, find_checkpoint, reference_to, shape_mismatch
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import load, load_values, rewrite
from o1lab.train.runs.directory import RunDir, RunState, RunStatus, find_run

END = "end"
SHAPE = ("adapter", "lora_r", "lora_alpha", "lora_dropout", "lora_targets", "modules_to_save")
"""The values of a recipe that the adapter to start from determines."""
POLL_S = 1.0


def awaited(recipe: Recipe) -> str | None:
    """Return the id of the run that the recipe waits for (``init_from: RUN/end``); None if it waits for none."""
    identity, _, name = (recipe.init_from or "").partition("/")
    return identity if name == END and identity != MODELS else None


def parent_id(recipe: Path) -> str | None:
    """Return the id of the run that a recipe file starts from; None if there is none or it cannot be read.

    An imported adapter is ``models/NAME``.
    """
    try:
        reference = load_values(recipe).get("init_from")
    except UsageError:
        return None
    if not isinstance(reference, str):
        return None
    return reference if reference.startswith(f"{MODELS}/") else reference.partition("/")[0]


def origin(lab: Lab, recipe: Recipe) -> dict[str, Any]:
    """Return the values of a recipe that the run it starts from determines.

    Returns:
        ``init_from`` as RUN/step-N, or RUN/end if that run has not finished, and the adapter's shape; empty if the
        recipe starts from no run.

    Raises:
        NotFoundError: the run or the checkpoint does not exist.
        UsageError: the recipe asks for another shape than the adapter's.
        RefusedError: the run to wait for will not finish, or has another base.
    """
    if recipe.init_from is None:
        return {}
    identity = awaited(recipe)
    if identity is None:
        return _of(find_checkpoint(lab, recipe.init_from), recipe)
    run = find_run(lab, identity)
    state = run.info()
    if state.state == "finished":
        return _of(find_checkpoint(lab, run.id), recipe)
    if not state.active:
        raise _will_not_finish(run, state, "")
    theirs = load(run.recipe)
    if theirs.base != recipe.base:
        raise RefusedError(
            f"The run {run.id} trains {theirs.base}, not {recipe.base}.", "Start from a run of the same base.",
            code="adapter_of_other_base",
        )  # fmt: skip
    shape = SHAPE if theirs.kind == "adapter" else ("adapter",)
    for name in shape:
        if name in recipe.model_fields_set and getattr(recipe, name) != getattr(theirs, name):
            raise shape_mismatch(run.id, name, getattr(theirs, name), getattr(recipe, name))
    return {"init_from": f"{run.id}/{END}"} | {name: getattr(theirs, name) for name in shape}


def wait_for_origin(
    run: RunDir,
    recipe: Recipe,
    heartbeat: Heartbeat[RunStatus],
    give_up: Callable[[], bool],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Recipe | None:
    """Wait until the run that the recipe starts from has finished.

    Args:
        run: the waiting run; the resolved recipe is written to its directory.
        recipe: its recipe.
        heartbeat: shows what it waits for.
        give_up: called repeatedly; returns true to stop waiting.
        sleep: tests replace it.

    Returns:
        The recipe with the last checkpoint of that run in ``init_from``; None after giving up.

    Raises:
        RefusedError: that run ended without finishing.
    """
    identity = awaited(recipe)
    if identity is None:
        return recipe
    other = RunDir(run.path.parent / identity)
    before = ""
    while True:
        state = other.info()
        if state.state == "finished":
            return _settled(run, recipe, other, heartbeat)
        # Twice, because a single failed read (on a network file system) does not mean that it ended.
        if not state.active and before == state.state:
            raise _will_not_finish(other, state, run.id)
        before = state.state
        message = f"Waiting for run {other.id}, which is {state.state}, to start from its last checkpoint."
        if heartbeat.status.message != message:
            heartbeat.update(state="queued", after=other.id, message=message)
        if give_up():
            return None
        sleep(POLL_S)


def _settled(run: RunDir, recipe: Recipe, other: RunDir, heartbeat: Heartbeat[RunStatus]) -> Recipe:
    saved = other.checkpoints()
    if not saved:
        raise RefusedError(
            f"The run {other.id} has finished without a checkpoint to start from.", "Train that run again."
        )
    settled = recipe.model_copy(update=_of(saved[-1], recipe))
    rewrite(run.recipe, settled)
    heartbeat.update(state="starting", after="", message="Loading.")
    return settled


def _of(checkpoint: Path, recipe: Recipe) -> dict[str, Any]:
    return {"init_from": reference_to(checkpoint)} | adapter_shape(recipe, checkpoint)


def _will_not_finish(other: RunDir, state: RunState, waiting: str) -> RefusedError:
    ended = {"stopped": "was stopped", "failed": "has failed", "dead": "has died"}.get(state.state, f"is {state.state}")
    why = f" {state.status.message}" if state.status.message else ""
    then = f", then `o1lab runs resume {waiting}`" if waiting else ""
    return RefusedError(
        f"The run {other.id}, which this run starts from, {ended}.{why}",
        f"Finish that run first: `o1lab runs resume {other.id}`{then}.",
        code="origin_ended",
    )
