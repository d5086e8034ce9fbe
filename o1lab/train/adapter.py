"""The adapter that a run starts from: its checkpoint and its shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from o1lab.errors import LabError, NotFoundError, UsageError
from o1lab.paths import Lab
from o1lab.small_files import read_json
from o1lab.train.recipe import Recipe, load_values
from o1lab.train.run_directory import find_run


def find_checkpoint(lab: Lab, reference: str) -> Path:
    """Return the checkpoint that a reference names: ``RUN`` (the last one) or ``RUN/step-N``.

    Raises:
        NotFoundError: there is no such run, or it has no such checkpoint.
    """
    identity, _, name = reference.partition("/")
    run = find_run(lab, identity)
    saved = run.checkpoints()
    chosen = [path for path in saved if path.name == name] if name else saved
    if not chosen:
        missing = f"no checkpoint {name}" if name else "no checkpoint yet"
        names = ", ".join(path.name for path in saved[-5:])
        hint = f"It has {names}." if names else "Wait until it has saved one."
        raise NotFoundError(f"The run {run.id} has {missing}.", hint)
    return chosen[-1]


def adapter_shape(recipe: Recipe, checkpoint: Path) -> dict[str, Any]:
    """Return the recipe's values that the adapter in a checkpoint determines.

    If the recipe sets one of them, it must be equal to the adapter's value or to that of the recipe which the adapter
    was trained with (``all-linear`` where the adapter lists the layers).

    Args:
        recipe: the recipe of the new run.
        checkpoint: the folder of the adapter.

    Returns:
        lora_r, lora_alpha, lora_dropout, lora_targets and modules_to_save.

    Raises:
        LabError: there is no readable adapter.
        UsageError: the recipe asks for another shape.
    """
    shape = _settings(checkpoint)
    run = checkpoint.parent.parent
    try:
        trained_with = load_values(run / "recipe.yaml")
    except UsageError:
        trained_with = {}
    for name, value in shape.items():
        wanted = getattr(recipe, name)
        if name in ("lora_targets", "modules_to_save") and wanted:
            wanted = _listed(recipe.targets if name == "lora_targets" else recipe.full_modules)
        if name in recipe.model_fields_set and wanted not in (value, trained_with.get(name)):
            raise shape_mismatch(run.name, name, value, wanted)
    return shape


def shape_mismatch(run_id: str, name: str, value: Any, wanted: Any) -> UsageError:
    """The error of a recipe that asks for another adapter shape than the run it starts from has."""
    return UsageError(
        f"The adapter of run {run_id} has {name} {value}, but the recipe asks for {wanted}.",
        f"An adapter keeps its shape: omit {name} (--set {name}=none), or start without init_from.",
        code="adapter_shape",
    )


def _settings(checkpoint: Path) -> dict[str, Any]:
    try:
        found = read_json(checkpoint / "adapter_config.json", dict[str, Any])
        targets = found["target_modules"]
        settings = {"lora_r": found["r"], "lora_alpha": found["lora_alpha"], "lora_dropout": found["lora_dropout"]}
        if fused := found.get("target_parameters"):
            targets = [*(targets or ()), *fused]
        kept = found.get("modules_to_save")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabError(f"{checkpoint} contains no readable adapter.", "Choose another checkpoint.") from error
    return settings | {"lora_targets": _listed(targets), "modules_to_save": _listed(kept) if kept else None}


def _listed(targets: str | list[str]) -> str:
    return targets if isinstance(targets, str) else ",".join(sorted(targets))
