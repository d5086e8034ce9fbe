"""Groups of runs: a recipe with lists is one run for each combination of their values.

A group is stored in its runs. Each is an ordinary run with a resolved recipe and a ``group.json``, which has the name
of the group and the values of the fields that vary. Sweeps, seeds, controls and curves are all groups.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from o1lab.errors import UsageError
from o1lab.files import write_json, writing
from o1lab.paths import Lab
from o1lab.small_files import UnreadableError
from o1lab.train.launch import launch_together
from o1lab.train.preflight.report import Preflight, launching_command, run_preflight
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import resolve
from o1lab.train.runs.directory import GroupTag, RunDir, list_run_dirs
from store.connection import Store
from store.records import LONGEST_NAME, require_name

LARGE = 24
"""Groups of more runs start only after a confirmation."""
SEED = "seed"
_LISTS = frozenset({"probes", "accept", "report_to"})
"""Fields whose value is a list in a single run."""
_UNCHECKED = frozenset({
    "seed", "learning_rate", "schedule", "warmup", "weight_decay", "max_grad_norm", "logging_steps", "eval_steps",
    "save_steps", "keep_checkpoints", "stop_hopeless", "probes", "probe_tokens",
})  # fmt: skip
"""Fields that do not change what preflight measures."""


@dataclass(frozen=True)
class RunGroup:
    """The runs of a group, in the order of their creation, and the fields in which they may differ."""

    name: str
    runs: tuple[RunDir, ...]
    fields: tuple[str, ...]


def has_lists(values: Mapping[str, Any]) -> bool:
    """Whether the values of a recipe are those of a group: a field with a single value has a list of them."""
    return any(isinstance(value, list) and name not in _LISTS for name, value in values.items())


@dataclass(frozen=True)
class Sample:
    """A random choice of the combinations of a group: ``size`` of them, each at most once, drawn with ``seed``."""

    size: int
    seed: int = 0


def expand(values: Mapping[str, Any], sample: Sample | None = None) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Return the values of each run of a group, and the fields that vary.

    The last field with a list varies fastest, and seeds faster than all others. A sample keeps this order.

    Raises:
        UsageError: a field cannot vary, a list is empty, or there are fewer combinations than the size of the sample.
    """
    fields = [name for name, value in values.items() if isinstance(value, list) and name not in _LISTS]
    fields.sort(key=lambda name: name == SEED)  # stable: only the seed moves
    for name in fields:
        if name in Recipe.FIXED:
            raise UsageError(
                f"{name} cannot vary within a group of runs.", "Give it one value, or start the runs one by one."
            )
        if not values[name]:
            raise UsageError(f"The recipe's {name} is an empty list.", "Give at least one value.")
    grid = [values[name] for name in fields]
    places: Sequence[int] = range(number := combinations(values))
    if sample is not None:
        if sample.size > number:
            raise UsageError(
                f"The recipe has {number:,} combinations, fewer than the {sample.size:,} to draw.",
                "Lower --sample, or omit it to train all of them.",
            )
        places = sorted(random.Random(sample.seed).sample(places, sample.size))  # noqa: S311 - no secret
    return [{**values, **dict(zip(fields, _combination(grid, at), strict=True))} for at in places], tuple(fields)


def combinations(values: Mapping[str, Any]) -> int:
    """Return the number of runs of a group without a sample."""
    return math.prod(len(value) for name, value in values.items() if isinstance(value, list) and name not in _LISTS)


def _combination(grid: Sequence[Sequence[Any]], place: int) -> list[Any]:
    """Return one combination of a grid, by its place in the order of :func:`expand`."""
    chosen = []
    for options in reversed(grid):
        place, at = divmod(place, len(options))
        chosen.append(options[at])
    return chosen[::-1]


def resolve_group(variants: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> list[Recipe]:
    """Return the recipe of each run of a group.

    Raises:
        UsageError: a value is out of bounds or unknown, or two runs have the same values.
    """
    recipes = [resolve(values) for values in variants]
    seen = set[str]()
    for recipe in recipes:
        setting = _setting(recipe, fields)
        if (key := _key(setting)) in seen:
            words = ", ".join(f"{name} {value}" for name, value in setting.items())
            raise UsageError(f"The group has a run twice: {words}.", "Give each value once.")
        seen.add(key)
    return recipes


def preflight_group(lab: Lab, recipes: Sequence[Recipe], *, store: Store | None = None) -> list[Preflight]:
    """Run preflight once for each setting that changes what it measures; return the report of each recipe."""
    known: dict[str, Preflight] = {}
    reports: list[Preflight] = []
    for recipe in recipes:
        key = _key(recipe.model_dump(exclude=set(_UNCHECKED)))
        if key not in known:
            known[key] = run_preflight(lab, recipe, store=store)
        reports.append(known[key])
    return reports


def launch_group(
    lab: Lab, name: str, recipes: Sequence[Recipe], fields: Sequence[str], *, store: Store | None = None
) -> list[tuple[RunDir, int | None]]:
    """Create a run for each recipe and start all workers, which wait for a free device.

    Either all run directories are created or none.

    Args:
        lab: the lab.
        name: the name of the group; see :func:`free_name`. Runs are added to an existing group.
        recipes: the recipe of each run.
        fields: the fields that vary.
        store: the lab's database, if it is open already.

    Returns:
        Each run and the process id of its worker.

    Raises:
        NotFoundError: a dataset or the run to start from does not exist.
        UsageError, RefusedError: a recipe does not fit its dataset or the adapter that it starts from.
        LabError: the lab cannot be written, or the training extra is not installed.
    """
    return launch_together(
        lab, recipes, store=store,
        created_one=lambda run, recipe: _write_tag(run, GroupTag(name, _setting(recipe, fields))),
    )  # fmt: skip


def group_command(
    lab: Lab,
    recipes: Sequence[Recipe],
    fields: Sequence[str],
    name: str,
    *,
    drawn: tuple[Sample, Mapping[str, Any]] | None = None,
) -> str:
    """Return the command line that starts a group like this one.

    Args:
        lab: the lab.
        recipes: the recipe of each run.
        fields: the fields that vary.
        name: the name of the group.
        drawn: the sample that the runs are, and the values it was drawn from.
    """
    words = [launching_command(lab, recipes[0])]
    for field in fields:
        settings = [_setting(recipe, [field]) for recipe in recipes]
        values = [one[field] for one in {_key(one): one for one in settings}.values()]
        values = values if drawn is None else drawn[1][field]
        words += ["--set", shlex.quote(f"{field}={json.dumps(values, ensure_ascii=False)}")]
    if drawn is not None:
        words += ["--sample", str(drawn[0].size), "--sample-seed", str(drawn[0].seed)]
    return " ".join([*words, "--group", shlex.quote(name)])


def list_groups(lab: Lab) -> dict[str, RunGroup]:
    """Return all groups of the lab by name, the newest first. A run with a damaged group.json is in no group."""
    found: dict[str, list[tuple[RunDir, GroupTag]]] = {}
    for run in list_run_dirs(lab):
        if (tag := tag_of(run)) is not None:
            found.setdefault(tag.name, []).append((run, tag))
    return {name: _group(name, reversed(members)) for name, members in found.items()}


def find_group(lab: Lab, name: str) -> RunGroup | None:
    """Return the group with this name; None if there is none."""
    return list_groups(lab).get(name)


def other_seeds(lab: Lab, run: RunDir) -> list[RunDir]:
    """Return the runs of the same group that differ from ``run`` in nothing but the seed."""
    tag = tag_of(run)
    group = None if tag is None else find_group(lab, tag.name)
    if tag is None or group is None or SEED not in tag.varies:
        return []
    found = []
    for other in group.runs:
        theirs = tag_of(other)
        if other.id != run.id and theirs is not None and theirs.varies | {SEED: 0} == tag.varies | {SEED: 0}:
            found.append(other)
    return found


def tag_of(run: RunDir) -> GroupTag | None:
    """Return the group of a run; None if it has none or its group.json is damaged."""
    try:
        return run.group()
    except UnreadableError:
        return None


def free_name(lab: Lab, wanted: str | None, recipes: Sequence[Recipe], fields: Sequence[str]) -> str:
    """Return the name of a new group: ``wanted``, or one made from the dataset and the fields that vary.

    Raises:
        UsageError: ``wanted`` is not a valid name, or another group or run has it.
    """
    taken = {name for run in list_run_dirs(lab) for name in (run.id, run.info().name)} | list_groups(lab).keys()
    if wanted is not None:
        require_name(wanted)
        if wanted in taken:
            raise UsageError(f"A run or a group of runs already has the name '{wanted}'.", "Choose another name.")
        return wanted
    stem = "-".join([*([] if "dataset" in fields else [recipes[0].dataset]), *fields])[: LONGEST_NAME - 5]
    names = (stem if number == 1 else f"{stem}-{number}" for number in itertools.count(1))
    return next(name for name in names if name not in taken)


def require_small(number: int, *, confirmed: bool) -> None:
    """Check the number of runs to start.

    Raises:
        UsageError: there are more than ``LARGE``, and they were not confirmed.
    """
    if number > LARGE and not confirmed:
        raise UsageError(
            f"These are {number:,} runs; more than {LARGE} need a confirmation.", "See them: --dry-run. Add --yes."
        )


def _group(name: str, members: Iterable[tuple[RunDir, GroupTag]]) -> RunGroup:
    listed = list(members)
    fields = dict.fromkeys(field for _, tag in listed for field in tag.varies)
    return RunGroup(name, tuple(run for run, _ in listed), tuple(fields))


def _setting(recipe: Recipe, fields: Iterable[str]) -> dict[str, Any]:
    values = recipe.model_dump(mode="json")
    return {name: values[name] for name in fields}


def _key(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, default=str)


def _write_tag(run: RunDir, tag: GroupTag) -> None:
    with writing(run.group_file):
        write_json(run.group_file, asdict(tag))
