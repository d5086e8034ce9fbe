"""Recipe files with several phases: each phase is a separate run that starts from the adapter of the previous one.

``phases`` is a list. Values next to it apply to all phases, values in a phase to that phase alone. Base and adapter are
those of the first phase, because an adapter cannot change either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from o1lab.errors import UsageError
from o1lab.paths import Lab
from o1lab.train.groups import has_lists
from o1lab.train.launch import launch_together
from o1lab.train.parent_run import END, SHAPE
from o1lab.train.preflight.report import Preflight, run_preflight
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import override, resolve
from o1lab.train.runs.directory import RunDir

PHASES = "phases"
_OF_THE_FIRST = ("base", "init_from", *SHAPE)


def has_phases(values: Mapping[str, Any]) -> bool:
    """Whether the values of a recipe file have several phases."""
    return PHASES in values


def require_one(values: Mapping[str, Any]) -> None:
    """Check that the values are a single recipe.

    Raises:
        UsageError: they have several phases, or several values of a field.
    """
    if has_phases(values):
        raise UsageError(
            "This recipe has several phases, which are separate runs.", "Start them with: o1lab train --recipe FILE"
        )
    if has_lists(values):
        raise UsageError(
            "This recipe has several values of a field: it is a group of runs.",
            "Start them with: o1lab train --recipe FILE",
        )


def split(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the values of each phase, in order.

    Raises:
        UsageError: ``phases`` is not a list of phases, or a later phase sets a value that only the first may set.
    """
    phases = values[PHASES]
    if not isinstance(phases, list) or not phases or not all(isinstance(phase, dict) for phase in phases):
        raise UsageError(
            "`phases` in the recipe must be a list, each with its dataset.", "See assets/recipes/two-phases.yaml."
        )
    shared = {name: value for name, value in values.items() if name != PHASES}
    kept = {name: phases[0][name] for name in _OF_THE_FIRST if name in phases[0] and name != "init_from"}
    found = [{**shared, **phases[0]}]
    for number, phase in enumerate(phases[1:], 2):
        if given := [name for name in _OF_THE_FIRST if name in phase]:
            raise UsageError(
                f"The recipe's phase {number} sets {given[0]}, but it continues the adapter of the previous phase.",
                f"Set {given[0]} next to `phases`, or in the first phase.",
            )
        found.append({**shared, **kept, **phase})
        found[-1].pop("init_from", None)
    return found


def laid_over(
    phases: Sequence[Mapping[str, Any]], options: Mapping[str, Any], settings: list[str]
) -> list[dict[str, Any]]:
    """Override values in all phases; ``init_from`` applies to the first phase only.

    Args:
        phases: the values of each phase.
        options: new values by field; None is no change.
        settings: new values as ``key=value``.

    Raises:
        UsageError: a setting is not ``key=value``, or cannot be the same for several phases.
    """
    given = {name: value for name, value in options.items() if value is not None}
    found = []
    for number, phase in enumerate(phases):
        values = override({**phase, **given}, settings)
        if any(values.get(name) != phase.get(name) for name in ("dataset", "dataset_hash", "phase")):
            raise UsageError("Each phase of this recipe has its own dataset.", "Change it in the recipe file.")
        if number:
            values.pop("init_from", None)
        found.append(values)
    return found


def resolve_phases(phases: Sequence[Mapping[str, Any]]) -> list[Recipe]:
    """Return the recipes of several phases.

    Raises:
        UsageError: a value is out of bounds or unknown, or a phase has no dataset.
    """
    recipes = []
    for number, values in enumerate(phases, 1):
        if not values.get("dataset"):
            raise UsageError(f"The recipe's phase {number} has no dataset.", "Give each phase its `dataset`.")
        try:
            recipes.append(resolve(values))
        except UsageError as error:
            raise UsageError(f"Phase {number}: {error.message}", error.hint, code=error.code) from error
    return recipes


def preflight_phases(lab: Lab, recipes: Sequence[Recipe]) -> list[Preflight]:
    """Run :func:`~o1lab.train.preflight.report.run_preflight` on each phase; each problem names its phase.

    Later phases have no adapter yet to start from, so preflight uses a new one of the same shape.
    """
    found = []
    for number, recipe in enumerate(recipes, 1):
        seen = run_preflight(lab, recipe.model_copy(update={"init_from": recipes[0].init_from}))
        for problem in (*seen.problems, *seen.warnings):
            problem.message = f"Phase {number}: {problem.message}"
        if number > 1:
            seen.command += f" --init-from RUN_OF_PHASE_{number - 1}/{END}"
        found.append(seen)
    return found


def launch_phases(lab: Lab, recipes: Sequence[Recipe]) -> list[tuple[RunDir, int | None]]:
    """Create a run for each recipe and start all workers; each waits until the previous run has finished.

    Either all run directories are created or none. The workers are detached and outlive this process.

    It returns and raises what :func:`o1lab.train.launch.launch_together` does.
    """
    return launch_together(
        lab, recipes, changes=lambda created: {"init_from": f"{created[-1].id}/{END}"} if created else {}
    )
