"""Estimate the memory of a run from the model's shape, without loading it.

The estimate, in bytes, with ``d`` the size of the compute format (2 for bf16, 4 for fp32):

- weights: ``d`` for each parameter of the base, on a GPU the same; of a quantised base the size of its files.
- adapter: 16 for each trainable parameter: float32 value, gradient, and AdamW's two moments. (On saving, a
  copy of the values.)
- activations: for each token of the largest batch (``batch_size`` x longest row), what the backward pass needs.
  A linear layer keeps its input (``in x d``), and the next layer keeps its output (``out x d``); an adapter keeps
  the input once more in float32 (``in x 4``; with dropout, the dropped copy and its mask as well: ``in x 5``) and
  its inner value (``r x 4``). Two norms keep ``2 x hidden x (d + 4)``, the gated activation
  ``2 x intermediate x d``. This counts saved tensors as in Korthikanti et al. 2022 (arXiv 2205.05198, section 4.1),
  for gated layers, attention that does not keep its matrix, and LoRA. With gradient checkpointing: ``hidden x d`` per
  layer, and one layer in full. PEFT adapts fused experts by adding the adapter to a copy of all their weights, which
  the backward pass keeps: ``d`` for each of these weights, and once more for the largest gradient.
- overhead: the tiled output head (256 rows of logits, three copies in float32), the runtime itself (0.9 GB on a
  CPU, 1.2 GB on a GPU), and a fifth of all that for losses of the allocators: a measured peak (SmolLM2-135M in
  float32, 4 rows of 247 tokens) was 4.76 GB, the sum of the parts 4.12 GB.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from peft.tuners.lora import Embedding, LoraLayer
from peft.tuners.lora.layer import ParamWrapper
from transformers.pytorch_utils import Conv1D

from o1lab.models.adapters import added_by_peft, trainable_parameters
from o1lab.train.recipe import Recipe

if TYPE_CHECKING:
    from peft import PeftModel

RUNTIME_CPU = 900_000_000
RUNTIME_GPU = 1_200_000_000
_HEAD_ROWS = 256
_LOST = 0.2  # share of the sum of the parts


@dataclass(frozen=True)
class Estimate:
    """Bytes by part, and the number of trainable parameters."""

    weights: int
    adapter: int
    activations: int
    overhead: int
    trainable: int

    @property
    def total(self) -> int:
        return self.weights + self.adapter + self.activations + self.overhead


def estimate(model: PeftModel, recipe: Recipe, *, longest: int, dtype_bytes: int, gpu: bool, weights: int) -> Estimate:
    """Estimate the memory of a run.

    Args:
        model: the base without weights, with the adapter.
        recipe: the recipe.
        longest: tokens of the longest row.
        dtype_bytes: bytes of a number in the compute format.
        gpu: whether it runs on a GPU.
        weights: bytes of the base's weights.
    """
    d = dtype_bytes
    config = model.config.get_text_config()
    hidden = int(config.hidden_size)
    intermediate = int(getattr(config, "intermediate_size", None) or 4 * hidden)
    layers = int(config.num_hidden_layers)
    trainable = trainable_parameters(model)
    base = model.get_base_model()
    head, vocabulary = base.get_output_embeddings(), int(config.vocab_size)
    linear, lora, experts = 0, 0, []
    for name, module in base.named_modules():
        if isinstance(module, ParamWrapper):
            experts.append(module.get_param().numel() * d)
        elif isinstance(module, LoraLayer):
            copies = 9 if recipe.lora_dropout else 4
            lora += module.in_features * copies + recipe.lora_r * 4 if not isinstance(module, Embedding) else 0
        elif isinstance(module, torch.nn.Linear | Conv1D):
            # TRL computes the head in tiles.
            if module is not head and not added_by_peft(name):
                linear += sum(module.weight.shape) * d
        else:
            used = int(getattr(config, "num_experts_per_tok", None) or 1)
            own = module.named_parameters(recurse=False)
            linear += sum(used * sum(part.shape[1:]) * d for _, part in own if part.dim() == 3)
    per_token = linear + lora + layers * (2 * hidden * (d + 4) + 2 * intermediate * d)
    changed = sum(experts)
    if recipe.gradient_checkpointing:
        per_token = layers * hidden * d + per_token // max(layers, 1)
        changed //= max(layers, 1)
    adapter = 16 * trainable
    activations = recipe.batch_size * longest * per_token + changed + max(experts, default=0)
    overhead = (RUNTIME_GPU if gpu else RUNTIME_CPU) + 3 * _HEAD_ROWS * vocabulary * 4
    lost = int(_LOST * (weights + adapter + activations + overhead))
    return Estimate(weights, adapter, activations, overhead + lost, trainable)


def available_bytes(*, gpu: bool) -> int:
    """Memory that a run could take now: on the GPU what is free, else the machine's or the container's."""
    if gpu:
        return int(torch.cuda.mem_get_info()[0])
    import psutil

    available = int(psutil.virtual_memory().available)
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            free = int(Path(limit).read_text()) - int(Path(used).read_text()) + _reclaimable()
        except (OSError, ValueError):
            continue
        available = min(available, max(free, 0))
    return available


def _reclaimable() -> int:
    """Return the bytes of file cache that the container's limit counts as used although they can be reclaimed."""
    try:
        for line in Path("/sys/fs/cgroup/memory.stat").read_text().splitlines():
            if line.startswith("inactive_file "):
                return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return 0
