"""What a run trains: the variants of an adapter, or all weights. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Variant = Literal["lora", "rslora", "dora", "pissa", "olora", "full"]
VARIANTS: dict[Variant, str] = {
    "lora": "A matrix of low rank is added to each linear layer; the base stays as it is.",
    "rslora": "LoRA scaled by the root of its rank, so that ranks of 64 and more learn as well as low ones.",
    "dora": "LoRA that also learns the length of each weight vector: better at low ranks, up to half as slow again.",
    "pissa": "LoRA that starts from the main directions of the base's weights, and learns faster at first.",
    "olora": "LoRA that starts from orthonormal directions of the base's weights, and learns faster at first.",
    "full": "All weights of the base are trained: 16 bytes of memory a weight; each checkpoint is a whole model.",
}
"""What each variant is, in one sentence."""
STARTED: frozenset[str] = frozenset({"pissa", "olora"})
"""Variants that start from directions of the base's weights.

Such an adapter has twice the rank of the recipe. One half is trained. The other keeps the start with the opposite sign,
so that the adapter changes nothing before its first step. The base is not modified, so each checkpoint is an ordinary
LoRA adapter for it, and holds all that a resume needs.
"""


def label(recipe: Mapping[str, Any]) -> str | None:
    """Return what the recipe of a run trains in a word, such as ``dora`` or ``lora+dpo``; None without a recipe."""
    if not recipe:
        return None
    adapter, objective = recipe.get("adapter", "lora"), recipe.get("objective", "sft")  # absent in early recipes
    return str(adapter) if objective == "sft" else f"{adapter}+{objective}"


def adapts(values: Mapping[str, object]) -> bool:
    """Whether settings, as values or texts, train an adapter and not all weights."""
    return values.get("adapter") != "full"


def rank_in_checkpoint(variant: str, rank: int) -> int:
    """Return the rank of the adapter in a checkpoint; ``lora_alpha`` grows with it."""
    return 2 * rank if variant in STARTED else rank


def conflict(recipe: Mapping[str, Any]) -> str:
    """Return why settings of a recipe do not go with each other; empty if they do."""
    variant, objective, quantization, strategy = (
        recipe[name] for name in ("adapter", "objective", "quantization", "strategy")
    )
    if variant == "full" and quantization != "none":
        return "all weights of a quantised base cannot be trained: set quantization or adapter"
    if variant == "full" and objective != "sft":
        return f"{objective} needs an adapter: the base without it is the reference"
    if variant == "full" and recipe["lora_plus_ratio"] != 1:
        return "adapter full has no B matrices: lora_plus_ratio must be 1"
    if variant == "full" and recipe["modules_to_save"]:
        return "adapter full trains and saves all modules: leave modules_to_save empty"
    if recipe["lens_traces"] and not recipe["eval_rows"]:
        return "lens_traces are some of the held-out rows: set eval_rows"
    if variant in STARTED and strategy == "fsdp2":
        return f"strategy fsdp2 cannot train the half of a matrix, as {variant} does; choose ddp"
    return ""
