"""Number formats, loading the base with its adapter, and what a machine can do. Imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from o1lab.errors import LabError
from o1lab.serve.dtype import faster_on_cpu
from o1lab.train.recipe import Recipe, load

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# A step is many rows at once, forward and back: single rows, as in decoding, are no part of it.
_MEASURE_ROWS = (512,)


@dataclass(frozen=True)
class Dtype:
    """The chosen number format and why; seconds where it was measured."""

    name: str
    reason: str
    bf16_s: float | None = None
    fp32_s: float | None = None

    @property
    def torch(self) -> Any:
        return torch.bfloat16 if self.name == "bf16" else torch.float32


def choose_dtype(wanted: str, *, gpu: bool, model_config: Any) -> Dtype:
    """bf16 or fp32: as wanted, bf16 on a GPU that has it, on a CPU whichever a short measurement finds faster."""
    if wanted != "auto":
        return Dtype(wanted, "the recipe says so")
    if gpu:
        has = torch.cuda.is_bf16_supported(including_emulation=False)
        return Dtype("bf16" if has else "fp32", "the GPU has it" if has else "the GPU has no bf16")
    faster, seconds = faster_on_cpu(model_config, _MEASURE_ROWS, backward=True)
    name = "bf16" if faster is torch.bfloat16 else "fp32"
    return Dtype(name, "measured on this CPU", bf16_s=seconds[torch.bfloat16], fp32_s=seconds[torch.float32])


def load_base(folder: Path, dtype: Dtype) -> PreTrainedModel:
    """The base's weights, from safetensors only.

    Raises:
        LabError: they cannot be loaded.
    """
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype.torch, local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise LabError(f"The base model cannot be loaded: {first.rstrip('.')}.", "Fetch the model again.") from error


def with_adapter(model: PreTrainedModel, checkpoint: Path) -> Any:
    """``model`` carrying a saved adapter, ready to be trained on."""
    from peft import PeftModel

    return PeftModel.from_pretrained(model, checkpoint, is_trainable=True)


def adapter_mismatch(model: PreTrainedModel, recipe: Recipe, runs: Path) -> str:
    """Why the adapter that the recipe starts from does not belong to this base; empty when it does.

    ``model`` may be without weights. The other run's base must be the same, and every layer of the adapter must
    be there with the same shape.
    """
    from safetensors import safe_open

    if not recipe.init_from:
        return ""
    checkpoint = init_checkpoint(recipe, runs)
    origin = load(checkpoint.parent.parent / "recipe.yaml").base
    if origin != recipe.base:
        return f"The run {checkpoint.parent.parent.name} was trained on {origin}, not on {recipe.base}."
    layers = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    with safe_open(checkpoint / "adapter_model.safetensors", framework="pt") as file:
        for key in file.keys():  # noqa: SIM118 (not a mapping)
            name, mark, part = key.removeprefix("base_model.model.").partition(".lora_")
            if not mark:
                continue
            layer = layers.get(name)
            shape = file.get_slice(key).get_shape()
            fits = layer is not None and (
                shape[1] == layer.in_features if part.startswith("A") else shape[0] == layer.out_features
            )
            if not fits:
                return f"The adapter of {checkpoint.parent.parent.name} does not fit {recipe.base}: {name} differs."
    return ""


def init_checkpoint(recipe: Recipe, runs: Path) -> Path:
    """The checkpoint that a resolved ``init_from`` (``RUN/step-N``) means among the runs in ``runs``.

    Raises:
        LabError: it is gone.
    """
    identity, _, name = str(recipe.init_from).partition("/")
    found = runs / identity / "checkpoints" / name
    if not (found / "adapter_config.json").is_file():
        raise LabError(
            f"The checkpoint {recipe.init_from} to start from is gone.",
            "Choose another run in init_from.",
            code="init_missing",
        )
    return found
