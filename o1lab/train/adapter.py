"""What a run starts from: a checkpoint of another run, and the shape of its adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from o1lab.errors import LabError, NotFoundError, UsageError
from o1lab.models.checkpoints import kind_of
from o1lab.models.imported import find_imported
from o1lab.paths import Lab
from o1lab.small_files import read_json
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import load_values
from o1lab.train.recipes.variants import STARTED, rank_in_checkpoint
from o1lab.train.runs.directory import find_run

MODELS = "models"
"""The folder of imported adapters, in the place of a run's id in ``init_from``."""


def find_checkpoint(lab: Lab, reference: str) -> Path:
    """Return the checkpoint that a reference names: ``RUN`` (the last one), ``RUN/step-N``, or an imported adapter.

    Raises:
        NotFoundError: there is no such run, or it has no such checkpoint.
        UsageError: it is an imported model without an adapter.
    """
    imported = find_imported(lab, reference.removeprefix(f"{MODELS}/"))
    if imported is not None and imported.kind == "full":
        raise UsageError(
            f"{imported.name} is a whole model, not an adapter.",
            f"Train on it: --base {imported.name}, without init_from.",
        )
    if imported is not None:
        return imported.folder
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


def reference_to(checkpoint: Path) -> str:
    """Return ``init_from`` for a checkpoint: ``RUN/step-N``, or ``models/NAME`` for an imported adapter."""
    owner = MODELS if checkpoint.parent.name == MODELS else checkpoint.parent.parent.name
    return f"{owner}/{checkpoint.name}"


def adapter_shape(recipe: Recipe, checkpoint: Path) -> dict[str, Any]:
    """Return the recipe's values that a checkpoint determines: those of its adapter, or that it is a whole model.

    If the recipe sets one of them, it must be equal to the adapter's value or to that of the recipe which the adapter
    was trained with (``all-linear`` where the adapter lists the layers).

    Args:
        recipe: the recipe of the new run.
        checkpoint: the folder of the adapter.

    Returns:
        adapter, lora_r, lora_alpha, lora_dropout, lora_targets and modules_to_save; of a whole model adapter alone.

    Raises:
        LabError: there is no readable checkpoint.
        UsageError: the recipe asks for another shape.
    """
    run = checkpoint.parent.parent
    try:
        trained_with = load_values(run / "recipe.yaml")
    except UsageError:
        trained_with = {}
    shape = _settings(checkpoint, str(trained_with.get("adapter", "")))
    for name, value in shape.items():
        wanted = getattr(recipe, name)
        if name in ("lora_targets", "modules_to_save") and wanted:
            wanted = _listed(recipe.targets if name == "lora_targets" else recipe.full_modules)
        if name in recipe.model_fields_set and wanted not in (value, trained_with.get(name)):
            owner = checkpoint if checkpoint.parent.name == MODELS else run
            raise shape_mismatch(owner.name, name, value, wanted)
    return shape


def shape_mismatch(run_id: str, name: str, value: Any, wanted: Any) -> UsageError:
    """The error of a recipe that asks for another adapter shape than the run it starts from has."""
    if name == "adapter" and value == "full":
        return UsageError(
            f"The checkpoints of run {run_id} are whole models, but the recipe asks for {wanted}.",
            "Name the folder of its checkpoint as the base, without init_from; or set adapter to full.",
            code="adapter_shape",
        )
    if name == "adapter" and wanted == "full":
        return UsageError(
            f"The run {run_id} has trained an adapter ({value}), but the recipe asks for all weights.",
            f"Merge it (`o1lab models merge {run_id} FOLDER`) and name that folder as the base, without init_from.",
            code="adapter_shape",
        )
    return UsageError(
        f"The adapter of run {run_id} has {name} {value}, but the recipe asks for {wanted}.",
        f"An adapter keeps its shape: omit {name} (--set {name}=none), or start without init_from.",
        code="adapter_shape",
    )


def _settings(checkpoint: Path, variant: str) -> dict[str, Any]:
    """Return the shape in a checkpoint; ``variant`` is the adapter in the recipe of its run."""
    if kind_of(checkpoint) == "full":
        return {"adapter": "full"}
    try:
        found = read_json(checkpoint / "adapter_config.json", dict[str, Any])
        targets = found["target_modules"]
        plain = "dora" if found.get("use_dora") else "rslora" if found.get("use_rslora") else "lora"
        halves = rank_in_checkpoint(variant, 1)
        settings = {"adapter": variant if variant in STARTED else plain, "lora_r": found["r"] // halves}
        settings |= {"lora_alpha": found["lora_alpha"] // halves, "lora_dropout": found["lora_dropout"]}
        if fused := found.get("target_parameters"):
            targets = [*(targets or ()), *fused]
        kept = found.get("modules_to_save")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabError(f"{checkpoint} contains no readable adapter.", "Choose another checkpoint.") from error
    return settings | {"lora_targets": _listed(targets), "modules_to_save": _listed(kept) if kept else None}


def _listed(targets: str | list[str]) -> str:
    return targets if isinstance(targets, str) else ",".join(sorted(targets))
