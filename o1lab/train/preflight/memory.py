"""Estimate the memory of a run from the model's shape, without loading it.

The estimate, in bytes, with ``d`` the size of the compute format (2 for bf16, 4 for fp32):

- weights: ``d`` for each parameter of the base, on a GPU the same; of a quantised base the size of its files. With nf4
  0.52 for each parameter of the linear layers, and ``d`` for those of the largest, which is computed in full.
- adapter: 16 for each trainable parameter: float32 value, gradient, and AdamW's two moments. (On saving, a
  copy of the values.)
- activations: for each token of the largest batch (``batch_size`` x longest row; a packed row has ``max_length``), what
  the backward pass needs, counted in :mod:`~o1lab.train.preflight.activations`. The mask of packed rows takes ``1 + d``
  for each pair of tokens of a batch, without flash attention.
  For bases that cannot run without weights it is a formula. A linear layer keeps its input (``in x d``), and the next
  layer keeps its output (``out x d``); an adapter keeps the input once more in float32 (``in x 4``; with dropout, the
  dropped copy and its mask as well: ``in x 5``) and its inner value (``r x 4``); on a GPU both in the compute format,
  because autocast converts them (``in x d``, ``r x d``). Two norms keep
  ``2 x hidden x (d + 4)``, the gated activation ``2 x intermediate x d``. This counts saved tensors as in Korthikanti
  et al. 2022 (arXiv 2205.05198, section 4.1), for gated layers, attention that does not keep its matrix, and LoRA.
  Eager attention keeps it: ``4 + 2 x d`` for each head and pair of tokens.
  With gradient checkpointing: ``hidden x d`` per layer, and one layer in full. PEFT adapts fused experts by adding the
  adapter to a copy of all their weights, which
  the backward pass keeps: ``d`` for each of these weights, and once more for the largest gradient.
- DoRA keeps the outputs of the layer and of the adapter to learn the lengths: ``out x (d + 4)`` more. PiSSA and OLoRA
  have twice the rank.
- all weights (adapter full): as trainable parameters, 4 bytes in weights and 12 in adapter; in bfloat16, the copy that
  autocast computes with is 2 more in weights.
- overhead: the tiled output head (256 rows of logits, three copies in float32), the runtime itself (0.65 GB on a
  CPU, 0.8 GB on a GPU), and what allocators lose, a tenth of all that on a CPU and an eighth on a GPU. On a CPU also
  what the allocator keeps of the tensors that a step has freed, as much as five layers save. Where the weights are held
  in another format than in the files of the base, they are made from the mapped files, which count as memory of the
  process: with nf4 the files are added, with bf16 from float32 the peak is at least files, weights and runtime.
  ``bench/memory.py`` compares estimates with peaks, on a CPU and on an H200.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from peft.tuners.lora import Embedding, LoraLayer
from peft.tuners.lora.layer import ParamWrapper
from transformers.pytorch_utils import Conv1D

from o1lab.models.adapters import added_by_peft, trainable_parameters
from o1lab.train.preflight.activations import saved_bytes
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.variants import STARTED, rank_in_checkpoint
from o1lab.train.trainer.head import TILE
from o1lab.train.trainer.loading import uses_flash

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

RUNTIME_CPU = 650_000_000
RUNTIME_GPU = 800_000_000
LOST = {"cpu": 0.1, "gpu": 0.125}
"""The share of the sum of the parts that allocators lose."""
HEADROOM = 0.95
"""The share of the free memory that a run may need, because the estimate is not exact."""
_KEPT_LAYERS = 5
"""On a CPU, a step needs additional memory: what this many layers save, even with checkpointing (measured)."""
_TRACED = 256
"""Tokens of the row whose saved tensors are counted; fused attention saves as much for each token of a longer one."""
_COUNTS: WeakKeyDictionary[PeftModel, dict[tuple[Any, ...], tuple[int | None, int | None]]] = WeakKeyDictionary()
"""The bytes that one row and two rows save, by model and what they depend on: most plans of a run differ in neither."""


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


def held_parameters(model: PeftModel, recipe: Recipe) -> int:
    """Return how many parameters of an adapter are saved but not trained: the start of PiSSA and OLoRA."""
    if recipe.adapter not in STARTED:
        return 0
    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    pairs = [one for layer in layers for part in (layer.lora_A, layer.lora_B) for one in part.values()]
    return sum(int(pair.weight.numel()) for pair in pairs) // 2


def estimate(
    model: PeftModel | PreTrainedModel,
    recipe: Recipe,
    *,
    longest: int,
    dtype_bytes: int,
    gpu: bool,
    weights: int,
    converted: int = 0,
) -> Estimate:
    """Estimate the memory of a run.

    Args:
        model: the base without weights, with the adapter if there is one.
        recipe: the recipe.
        longest: tokens of the longest row.
        dtype_bytes: bytes of a number in the compute format.
        gpu: whether it runs on a GPU.
        weights: bytes of the base's weights.
        converted: bytes of the base's files if the weights are held in another format, else 0.
    """
    d = dtype_bytes
    config = model.config.get_text_config()
    hidden = int(config.hidden_size)
    intermediate = int(getattr(config, "intermediate_size", None) or 4 * hidden)
    layers = int(config.num_hidden_layers)
    trainable, full = trainable_parameters(model), recipe.adapter == "full"
    base = model if full else model.get_base_model()
    head, vocabulary = base.get_output_embeddings(), int(config.vocab_size)
    linear, lora, experts = _layer_bytes(base, head, recipe, d, gpu=gpu)
    per_token = linear + lora + layers * (2 * hidden * (d + 4) + 2 * intermediate * d)
    longest = max(longest, recipe.max_length) if recipe.packing else longest
    tokens = recipe.batch_size * longest
    seen = tokens if recipe.packing else longest  # the packed rows of a batch are one sequence
    per_token += layers * config.num_attention_heads * seen * (4 + 2 * d) if recipe.attention == "eager" else 0
    layer = per_token // max(layers, 1)
    changed = sum(experts)
    if recipe.gradient_checkpointing:
        per_token = layers * hidden * d + layer
        changed //= max(layers, 1)
    adapter = 16 * trainable
    if full:
        weights, adapter = (4 if d == 4 else 6) * trainable, 12 * trainable
    if not full and (counted := _counted(model, recipe, seen, d, gpu=gpu)) is not None:
        (per_token, changed), experts = counted, []
        layer = per_token // max(layers, 1)
        if recipe.gradient_checkpointing:
            per_token = layers * hidden * d + layer
            changed //= max(layers, 1)
    activations = tokens * per_token + changed + max(experts, default=0)
    if recipe.packing and not uses_flash(recipe, gpu=gpu):
        activations += tokens * tokens * (1 + d)  # the mask that keeps packed rows apart, as truth values and numbers
    part = (RUNTIME_GPU if gpu else RUNTIME_CPU) + 3 * TILE * vocabulary * 4
    if not gpu:
        part += min(layers, _KEPT_LAYERS) * tokens * layer + (converted if recipe.quantization == "nf4" else 0)
    lost = int(LOST["gpu" if gpu else "cpu"] * (weights + adapter + activations + part))
    # Before the first step, the files and the weights that are made of them are in memory at once.
    loading = 0 if gpu else RUNTIME_CPU + converted - adapter - activations
    return Estimate(weights, adapter, activations, max(part + lost, loading), trainable)


def _layer_bytes(base: Any, head: Any, recipe: Recipe, d: int, *, gpu: bool) -> tuple[int, int, list[int]]:
    """Return what linear layers and adapters keep for each token, and the bytes of fused experts, by the formula."""
    config = base.config.get_text_config()
    rank = rank_in_checkpoint(recipe.adapter, recipe.lora_r)
    own = d if gpu else 4
    linear, lora, experts = 0, 0, []
    for name, module in base.named_modules():
        if isinstance(module, ParamWrapper):
            experts.append(module.get_param().numel() * d)
        elif isinstance(module, LoraLayer):
            copies = own + (5 if recipe.lora_dropout else 0)
            lora += module.in_features * copies + rank * own if not isinstance(module, Embedding) else 0
            lora += module.out_features * (d + 4) if recipe.adapter == "dora" else 0
        elif isinstance(module, torch.nn.Linear | Conv1D):
            # The head is computed in tiles (o1lab.train.trainer.head).
            if module is not head and not added_by_peft(name):
                linear += sum(module.weight.shape) * d
        else:
            used = int(getattr(config, "num_experts_per_tok", None) or 1)
            parts = module.named_parameters(recurse=False)
            linear += sum(used * sum(part.shape[1:]) * d for _, part in parts if part.dim() == 3)
    return linear, lora, experts


def _counted(model: PeftModel, recipe: Recipe, longest: int, dtype_bytes: int, *, gpu: bool) -> tuple[int, int] | None:
    """Return the bytes that are saved for each token of a row, and those of any batch, without checkpointing.

    The latter are weights of the adapter that autocast has converted. None if the bytes cannot be counted.
    """
    for parameter in model.parameters():
        if not parameter.is_meta:
            return None
        kind = torch.float32 if parameter.requires_grad or dtype_bytes == 4 else torch.bfloat16
        parameter.data = parameter.data.to(kind)
    eager = recipe.attention == "eager"  # it keeps its matrix, which grows with the square of the row
    if eager:
        model.get_base_model().set_attn_implementation("eager")
    tokens = longest if eager else min(longest, _TRACED)
    autocast = torch.bfloat16 if gpu and dtype_bytes == 2 else None
    counts = _COUNTS.setdefault(model, {})
    key = (tokens, dtype_bytes, autocast, eager)
    if key not in counts:
        one, two = (saved_bytes(model, rows=rows, tokens=tokens, autocast=autocast) for rows in (1, 2))
        counts[key] = one, two
    once, twice = counts[key]
    if once is None or twice is None:
        return None
    per_row = twice - once
    return per_row // tokens, once - per_row


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
