"""The adapter that a run starts from: which checkpoint it is, and what shape it gives the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from o1lab.errors import LabError, NotFoundError, UsageError
from o1lab.paths import Lab
from o1lab.train.recipe import Recipe, load_values
from o1lab.train.run_directory import find_run


def find_checkpoint(lab: Lab, reference: str) -> Path:
    """The checkpoint that ``RUN`` (its last) or ``RUN/step-N`` means.

    Raises:
        NotFoundError: no such run, or it has no such checkpoint.
    """
    identity, _, name = reference.partition("/")
    run = find_run(lab, identity)
    saved = run.checkpoints()
    chosen = [path for path in saved if path.name == name] if name else saved
    if not chosen:
        what = f"no checkpoint {name}" if name else "no checkpoint yet"
        have = ", ".join(path.name for path in saved[-5:])
        raise NotFoundError(f"The run {run.id} has {what}.", f"It has {have}." if have else "Let it save one first.")
    return chosen[-1]


def adapter_shape(recipe: Recipe, checkpoint: Path) -> dict[str, Any]:
    """The recipe's values that the adapter in ``checkpoint`` decides.

    A recipe that gives one of them itself must agree, in the adapter's words or in those of the recipe it was made by
    (``all-linear`` where the adapter lists the layers).

    Raises:
        LabError: there is no readable adapter.
        UsageError: the recipe asks for another shape.
    """
    shape = _settings(checkpoint)
    try:
        made_by = load_values(checkpoint.parent.parent / "recipe.yaml")
    except UsageError:
        made_by = {}
    for name, value in shape.items():
        asked = getattr(recipe, name)
        if name == "lora_targets":
            asked = _listed(recipe.targets)
        if name in recipe.model_fields_set and asked not in (value, made_by.get(name)):
            run = checkpoint.parent.parent.name
            raise UsageError(
                f"The adapter of run {run} has {name} {value}, and the recipe asks for {asked}.",
                f"An adapter keeps its shape: leave {name} out (--set {name}=none), or start without init_from.",
                code="adapter_shape",
            )
    return shape


def _settings(checkpoint: Path) -> dict[str, Any]:
    try:
        found = json.loads((checkpoint / "adapter_config.json").read_text("utf-8"))
        targets = found["target_modules"]
        settings = {"lora_r": found["r"], "lora_alpha": found["lora_alpha"], "lora_dropout": found["lora_dropout"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabError(f"{checkpoint} holds no readable adapter.", "Choose another checkpoint.") from error
    return settings | {"lora_targets": _listed(targets)}


def _listed(targets: str | list[str]) -> str:
    return targets if isinstance(targets, str) else ",".join(sorted(targets))
