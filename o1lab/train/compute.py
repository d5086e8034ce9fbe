"""Choose the number format, and load the base with its adapter. Imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from o1lab.errors import LabError
from o1lab.models.adapters import misfit
from o1lab.models.library_errors import explained
from o1lab.serve.dtype import faster_on_cpu
from o1lab.train.recipe import Recipe, load
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


def load_base(folder: Path, dtype: Dtype) -> PreTrainedModel:
    """Load the base model, from safetensors only.

    Raises:
        LabError: it cannot be loaded.
    """
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype.torch, local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise explained(error, "The base model cannot be loaded", "Fetch the model again.") from error


def with_adapter(model: PreTrainedModel, checkpoint: Path) -> Any:
    """Add a saved adapter to ``model``, ready for further training."""
    from peft import PeftModel

    return PeftModel.from_pretrained(model, checkpoint, is_trainable=True)


def adapter_mismatch(base: Path, recipe: Recipe, runs: Path) -> str:
    """Check that the adapter which the recipe starts from fits the base.

    The base of the other run must be the same, and every layer of the adapter must exist with the same shape.

    Args:
        base: the folder of the base.
        recipe: the recipe; its ``init_from`` is resolved.
        runs: the folder of the runs.

    Returns:
        Why the adapter does not fit; empty if it does.
    """
    if not recipe.init_from:
        return ""
    checkpoint = init_checkpoint(recipe, runs)
    run = checkpoint.parent.parent
    origin = load(run / "recipe.yaml").base
    if origin != recipe.base:
        return f"The run {run.name} was trained on {origin}, not on {recipe.base}."
    layer = misfit(base, checkpoint)
    return f"The adapter of {run.name} does not fit {recipe.base}: {layer} differs." if layer else ""


def init_checkpoint(recipe: Recipe, runs: Path) -> Path:
    """Return the checkpoint that a resolved ``init_from`` (``RUN/step-N``) names among the runs in ``runs``.

    Raises:
        LabError: it does not exist.
    """
    identity, _, name = str(recipe.init_from).partition("/")
    found = runs / identity / "checkpoints" / name
    if not (is_name(identity) and is_name(name) and (found / "adapter_config.json").is_file()):
        raise LabError(
            f"The checkpoint {recipe.init_from} to start from does not exist.",
            "Choose another run in init_from.",
            code="init_missing",
        )
    return found
