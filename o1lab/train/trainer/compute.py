"""Choose the number format, and load what a run trains. Imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from o1lab.errors import LabError, RefusedError
from o1lab.models.adapters import bare_model, misfit
from o1lab.models.base import resolve_base
from o1lab.models.imported import Imported, read_imported
from o1lab.models.library_errors import explained
from o1lab.serve.dtype import faster_on_cpu
from o1lab.train.adapter import MODELS
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import load
from o1lab.train.trainer.loading import keep_layout, load_options, refuse_unavailable
from store.records import is_name

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# A training step processes many rows at once, forward and backward; single rows, as in decoding, do not matter.
_MEASURE_ROWS = (512,)


@dataclass(frozen=True)
class Dtype:
    """The chosen number format (``bf16`` or ``fp32``) and the reason; with seconds if it was measured."""

    name: str
    reason: str
    bf16_s: float | None = None
    fp32_s: float | None = None

    @property
    def torch(self) -> Any:
        return torch.bfloat16 if self.name == "bf16" else torch.float32


def choose_dtype(wanted: str, *, gpu: bool, model_config: Any) -> Dtype:
    """Choose bf16 or fp32.

    Args:
        wanted: the recipe's ``dtype``. ``auto`` means bf16 on a GPU that supports it, and on a CPU the faster one in a
            short measurement.
        gpu: whether the run uses a GPU.
        model_config: the configuration of the base, for the measurement.
    """
    if wanted != "auto":
        return Dtype(wanted, "set in the recipe")
    if gpu:
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
        return Dtype("bf16" if supported else "fp32", f"the GPU {'supports' if supported else 'does not support'} bf16")
    faster, seconds = faster_on_cpu(model_config, _MEASURE_ROWS, backward=True)
    name = "bf16" if faster is torch.bfloat16 else "fp32"
    return Dtype(name, "measured on this CPU", bf16_s=seconds[torch.bfloat16], fp32_s=seconds[torch.float32])


def load_base(folder: Path, dtype: Dtype, recipe: Recipe, *, gpu: bool) -> PreTrainedModel:
    """Load the base model as the recipe says, from safetensors only.

    Raises:
        LabError: it cannot be loaded.
        RefusedError: as :func:`o1lab.train.trainer.loading.refuse_unavailable`.
    """
    from transformers import AutoModelForCausalLM

    try:
        refuse_unavailable(recipe, bare_model(folder), gpu=gpu)
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            **load_options(recipe, dtype.torch, gpu=gpu),
        )
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise explained(error, "The base model cannot be loaded", "Fetch the model again.") from error
    keep_layout(model)
    return model


def load_student(base: Path, recipe: Recipe, dtype: Dtype, *, gpu: bool, runs: Path, resumed: Path | None) -> Any:
    """Load what a run trains: a whole model, or the base with the adapter of the run that it starts from.

    Without ``init_from`` the base has no adapter yet. All weights are trained in float32, because the steps of AdamW
    are smaller than bfloat16 can represent.

    Args:
        base: the folder of the base.
        recipe: the recipe.
        dtype: the number format of a base with an adapter.
        gpu: whether the run uses a GPU.
        runs: the folder of the runs.
        resumed: the checkpoint to continue from, if the run is resumed.

    Raises:
        LabError: the base or the checkpoint to start from cannot be loaded.
        RefusedError: that checkpoint is of another base, or does not fit; or as :func:`load_base`.
    """
    if recipe.init_from and (mismatch := adapter_mismatch(base, recipe, runs)):
        raise RefusedError(mismatch, "Start from a run of the same base.", code="adapter_of_other_base")
    origin = init_checkpoint(recipe, runs) if recipe.init_from else None
    if recipe.adapter == "full":
        return load_base(resumed or origin or base, Dtype("fp32", "all weights are trained"), recipe, gpu=gpu)
    model = load_base(base, dtype, recipe, gpu=gpu)
    if origin is None:
        return model
    from peft import PeftModel

    return PeftModel.from_pretrained(model, origin, is_trainable=True)


def adapter_mismatch(base: Path, recipe: Recipe, runs: Path) -> str:
    """Check that the checkpoint which the recipe starts from fits the base.

    The base of the other run must be the same, and every layer of an adapter must exist with the same shape.

    Args:
        base: the folder of the base.
        recipe: the recipe; its ``init_from`` is resolved.
        runs: the folder of the runs.

    Returns:
        Why it does not fit; empty if it does.
    """
    if not recipe.init_from:
        return ""
    checkpoint = init_checkpoint(recipe, runs)
    if checkpoint.parent.name == MODELS:
        return _misfit_of_imported(base, read_imported(checkpoint), recipe)
    run = checkpoint.parent.parent
    origin = load(run / "recipe.yaml").base
    if origin != recipe.base:
        return f"The run {run.name} was trained on {origin}, not on {recipe.base}."
    if recipe.adapter == "full":
        return ""  # a whole model
    layer = misfit(base, checkpoint)
    return f"The adapter of {run.name} does not fit {recipe.base}: {layer} differs." if layer else ""


def _misfit_of_imported(base: Path, one: Imported, recipe: Recipe) -> str:
    """Return why an imported adapter does not fit the base in a folder; empty if it does."""
    if one.base != recipe.base and resolve_base(one.base, fetch=False).resolve() != base.resolve():
        return f"The adapter {one.name} was trained on {one.base}, not on {recipe.base}."
    layer = misfit(base, one.folder)
    return f"The adapter {one.name} does not fit {recipe.base}: {layer} differs." if layer else ""


def init_checkpoint(recipe: Recipe, runs: Path) -> Path:
    """Return the checkpoint that a resolved ``init_from`` names: ``RUN/step-N`` in ``runs``, or an imported model.

    Raises:
        LabError: there is no such adapter, or no such whole model if the recipe trains all weights.
    """
    identity, _, name = str(recipe.init_from).partition("/")
    found = runs.parent / MODELS / name if identity == MODELS else runs / identity / "checkpoints" / name
    file = "config.json" if recipe.adapter == "full" else "adapter_config.json"
    if not (is_name(identity) and is_name(name) and (found / file).is_file()):
        raise LabError(
            f"The checkpoint {recipe.init_from} to start from does not exist.",
            "Choose another run in init_from.",
            code="init_missing",
        )
    return found
