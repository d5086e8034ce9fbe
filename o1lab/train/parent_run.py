"""A run that goes on from another one which has not ended yet: it waits for it. Nothing here imports torch.

``init_from: RUN/end`` says so. The waiting worker holds neither a device nor a place in its queue, so the two cannot
stand in each other's way. Once RUN has finished, the recipe in the run directory names the checkpoint, and resuming the
run later waits for nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from o1lab.errors import O1LabError, RefusedError, UsageError
from o1lab.files import write_text
from o1lab.jobs.heartbeat import Heartbeat
from o1lab.paths import Lab
from o1lab.train.adapter import adapter_shape, find_checkpoint
from o1lab.train.recipe import Recipe, dump, load, load_values
from o1lab.train.run_directory import RunDir, RunState, RunStatus, find_run

END = "end"
SHAPE = ("lora_r", "lora_alpha", "lora_dropout", "lora_targets")
"""What of a recipe the adapter decides that a run goes on with."""
POLL_S = 1.0


def awaited(recipe: Recipe) -> str | None:
    """The run that ``recipe`` waits for, if it names one by ``init_from: RUN/end``."""
    identity, _, name = (recipe.init_from or "").partition("/")
    return identity if name == END else None


def parent_id(recipe: Path) -> str | None:
    """The id of the run that the recipe file starts from; None without one, or if the file cannot be read."""
    try:
        reference = load_values(recipe).get("init_from")
    except UsageError:
        return None
    return reference.partition("/")[0] if isinstance(reference, str) else None


def origin(lab: Lab, recipe: Recipe) -> dict[str, Any]:
    """The values of ``recipe`` that the run it starts from decides: the checkpoint's full name, the adapter's shape.

    Where that run is still to finish, its name stands for its last checkpoint.

    Raises:
        NotFoundError: no such run or checkpoint.
        UsageError: the recipe asks for another shape than the adapter's.
        RefusedError: it was to wait for a run that will not finish, or is of another base.
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
    for name in SHAPE:
        if name in recipe.model_fields_set and getattr(recipe, name) != getattr(theirs, name):
            raise UsageError(
                f"The adapter of run {run.id} has {name} {getattr(theirs, name)}, and the recipe asks for "
                f"{getattr(recipe, name)}.",
                f"An adapter keeps its shape: leave {name} out (--set {name}=none), or start without init_from.",
                code="adapter_shape",
            )
    return {"init_from": f"{run.id}/{END}"} | {name: getattr(theirs, name) for name in SHAPE}


def wait_for_origin(
    run: RunDir,
    recipe: Recipe,
    heart: Heartbeat[RunStatus],
    give_up: Callable[[], bool],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Recipe | None:
    """Wait until the run that ``recipe`` names has finished; None when asked to give up before.

    Returns the recipe with that run's last checkpoint to start from, which is then the one in the run directory.

    Raises:
        RefusedError: that run ended otherwise.
    """
    identity = awaited(recipe)
    if identity is None:
        return recipe
    other = RunDir(run.path.parent / identity)
    before = ""
    while True:
        state = other.info()
        if state.state == "finished":
            return _settled(run, recipe, other, heart)
        # Twice, because one unreadable look (a network file system) is no end.
        if not state.active and before == state.state:
            raise _will_not_finish(other, state, run.id)
        before = state.state
        message = f"Waits for run {other.id}, which is {state.state}, to go on from its last checkpoint."
        if heart.status.message != message:
            heart.update(state="queued", after=other.id, message=message)
        if give_up():
            return None
        sleep(POLL_S)


def _settled(run: RunDir, recipe: Recipe, other: RunDir, heart: Heartbeat[RunStatus]) -> Recipe:
    saved = other.checkpoints()
    if not saved:
        raise RefusedError(
            f"The run {other.id} has finished and left no checkpoint to go on from.", "Train that run again."
        )
    settled = recipe.model_copy(update=_of(saved[-1], recipe))
    write_text(run.recipe, dump(settled))
    heart.update(state="starting", after="", message="Loading.")
    return settled


def _of(checkpoint: Path, recipe: Recipe) -> dict[str, Any]:
    return {"init_from": f"{checkpoint.parent.parent.name}/{checkpoint.name}"} | adapter_shape(recipe, checkpoint)


def _will_not_finish(other: RunDir, state: RunState, waiting: str) -> O1LabError:
    ended = {"stopped": "was stopped", "failed": "has failed", "dead": "has died"}.get(state.state, f"is {state.state}")
    why = f" {state.status.message}" if state.status.message else ""
    then = f", then `o1lab runs resume {waiting}`" if waiting else ""
    return RefusedError(
        f"The run {other.id}, which this one was to go on from, {ended}.{why}",
        f"Let that one finish first: `o1lab runs resume {other.id}`{then}.",
        code="origin_ended",
    )
