"""Several phases out of one recipe file: each is a run of its own, and goes on from the adapter of the one before.

``phases`` is a list; what stands beside it holds for all of them, what stands in one of them for that one alone. Base
and adapter are those of the first, because an adapter keeps both.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from o1lab.errors import UsageError
from o1lab.paths import Lab
from o1lab.train.launch import make_run, opened_store, require_trainer, start_worker
from o1lab.train.parent_run import END, SHAPE
from o1lab.train.preflight.report import Preflight, run_preflight
from o1lab.train.recipe import Recipe, override, resolve
from o1lab.train.run_directory import RunDir
from store import runs
from store.connection import Store

PHASES = "phases"
_OF_THE_FIRST = ("base", "init_from", *SHAPE)


def has_phases(values: Mapping[str, Any]) -> bool:
    """Whether the values of a recipe file are several recipes."""
    return PHASES in values


def require_one(values: Mapping[str, Any]) -> None:
    """See that the values are one recipe.

    Raises:
        UsageError: they are several.
    """
    if has_phases(values):
        raise UsageError(
            "This recipe has several phases, which are runs of their own.", "Start them by: o1lab train --recipe FILE."
        )


def split(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The values of each phase, in order.

    Raises:
        UsageError: ``phases`` is no list of phases, or a later phase names what only the first can.
    """
    phases = values[PHASES]
    if not isinstance(phases, list) or not phases or not all(isinstance(phase, dict) for phase in phases):
        raise UsageError(
            "The recipe's phases: they are a list, each with its dataset.", "See assets/recipes/two-phases.yaml."
        )
    shared = {name: value for name, value in values.items() if name != PHASES}
    kept = {name: phases[0][name] for name in _OF_THE_FIRST if name in phases[0] and name != "init_from"}
    found = [{**shared, **phases[0]}]
    for number, phase in enumerate(phases[1:], 2):
        if given := [name for name in _OF_THE_FIRST if name in phase]:
            raise UsageError(
                f"The recipe's phase {number} names {given[0]}, but it goes on with the adapter of the one before.",
                f"Give {given[0]} beside the phases, or in the first.",
            )
        found.append({**shared, **kept, **phase})
        found[-1].pop("init_from", None)
    return found


def laid_over(
    phases: Sequence[Mapping[str, Any]], options: Mapping[str, Any], settings: list[str]
) -> list[dict[str, Any]]:
    """The phases with options and ``key=value`` settings laid over all of them; ``init_from`` is the first one's.

    Raises:
        UsageError: a setting is not ``key=value``, or is not one for several phases.
    """
    given = {name: value for name, value in options.items() if value is not None}
    found = []
    for number, phase in enumerate(phases):
        values = override({**phase, **given}, settings)
        if any(values.get(name) != phase.get(name) for name in ("dataset", "dataset_hash", "phase")):
            raise UsageError("Each phase of this recipe has a dataset of its own.", "Change it in the recipe file.")
        if number:
            values.pop("init_from", None)
        found.append(values)
    return found


def resolve_phases(phases: Sequence[Mapping[str, Any]]) -> list[Recipe]:
    """The recipes of several phases.

    Raises:
        UsageError: a value of one of them is out of bounds or unknown, or one names no dataset.
    """
    recipes = []
    for number, values in enumerate(phases, 1):
        if not values.get("dataset"):
            raise UsageError(f"The recipe's phase {number} names no dataset.", "Give each phase its `dataset`.")
        try:
            recipes.append(resolve(values))
        except UsageError as error:
            raise UsageError(f"Phase {number}: {error.message}", error.hint, code=error.code) from error
    return recipes


def preflight_phases(lab: Lab, recipes: Sequence[Recipe], *, store: Store | None = None) -> list[Preflight]:
    """Run :func:`~o1lab.train.preflight.report.run_preflight` on each phase; each problem names its phase.

    Later phases have no adapter yet to start from, so preflight uses a new one of the same shape.
    """
    found = []
    for number, recipe in enumerate(recipes, 1):
        seen = run_preflight(lab, recipe.model_copy(update={"init_from": recipes[0].init_from}), store=store)
        for problem in (*seen.problems, *seen.warnings):
            problem.message = f"Phase {number}: {problem.message}"
        if number > 1:
            seen.command += f" --init-from RUN_OF_PHASE_{number - 1}/{END}"
        found.append(seen)
    return found


def launch_phases(lab: Lab, recipes: Sequence[Recipe], *, store: Store | None = None) -> list[tuple[RunDir, int]]:
    """Make a run of each recipe and start all their workers: each waits until the one before has finished.

    Either all run directories are made or none. The workers are of their own sessions and outlive this process.

    Raises:
        NotFoundError: no such dataset or run to start from.
        UsageError, RefusedError: a recipe does not fit the dataset or the adapter it names.
        LabError: the lab cannot be written, or the training extra is not installed.
    """
    require_trainer()
    made: list[RunDir] = []
    with opened_store(lab, store) as opened:
        try:
            with opened.db.atomic():
                for recipe in recipes:
                    going_on = {"init_from": f"{made[-1].id}/{END}"} if made else {}
                    run, record = make_run(lab, recipe.model_copy(update=going_on), opened)
                    made.append(run)
                    runs.add(opened.db, record)
        except BaseException:
            for run in made:
                shutil.rmtree(run.path, ignore_errors=True)
            raise
    return [(run, start_worker(run)) for run in made]
