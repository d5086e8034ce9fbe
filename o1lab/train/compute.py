"""Number formats, loading the base with its adapter, and what a machine can do. Imports torch."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from o1lab.errors import LabError
from o1lab.train.recipe import Recipe, load

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_MEASURE_ROWS = 512
_MEASURE_TIMES = 5
# CPUs that have bf16 instructions are about twice as fast with them; less is noise, and fp32 is more precise.
_CLEARLY = 0.8


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
        has = torch.cuda.is_bf16_supported()
        return Dtype("bf16" if has else "fp32", "the GPU has it" if has else "the GPU has no bf16")
    config = model_config.get_text_config()
    inputs = max(int(config.hidden_size), _MEASURE_ROWS)  # smaller ones are measured by their noise
    outputs = int(getattr(config, "intermediate_size", None) or 4 * inputs)
    bf16, fp32 = float("inf"), float("inf")
    for _ in range(_MEASURE_TIMES):  # in turns, so that another program's burst hits both
        bf16 = min(bf16, _time_linear(torch.bfloat16, inputs, outputs))
        fp32 = min(fp32, _time_linear(torch.float32, inputs, outputs))
    faster = "bf16" if bf16 < _CLEARLY * fp32 else "fp32"
    return Dtype(faster, "measured on this CPU", bf16_s=bf16, fp32_s=fp32)


def _time_linear(kind: torch.dtype, inputs: int, outputs: int) -> float:
    """Seconds for one linear layer forward and back: most of a step is spent in such."""
    x = torch.ones(_MEASURE_ROWS, inputs, dtype=kind, requires_grad=True)
    weight = torch.ones(outputs, inputs, dtype=kind)
    start = time.perf_counter()
    torch.nn.functional.linear(x, weight).sum().backward()
    return time.perf_counter() - start


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


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty when the file is not there."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
