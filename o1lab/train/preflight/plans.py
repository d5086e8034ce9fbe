"""Which settings fit a device, for the lengths of the run's rows. Imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from o1lab.train.preflight.fitting import Plan
from o1lab.train.preflight.memory import HEADROOM, Estimate, estimate
from o1lab.train.preflight.preferred import memory_recipe
from o1lab.train.preflight.processes import on_one_machine
from o1lab.train.recipes.objective import smallest_batch
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.trainer.loading import quantised_layers

_NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes of a number in nf4 with double quantisation: 4 bits, a byte for 64 of them, 4 bytes for 256 of those."""
_LONGEST = 1 << 17


def weight_bytes(model: Any, recipe: Recipe, *, dtype_bytes: int) -> int:
    """Return the bytes of the base's weights, of a model without weights and adapter."""
    total = int(sum(one.numel() for one in model.parameters()))
    if recipe.quantization == "none":
        return total * dtype_bytes
    layers: list[int] = [layer.weight.numel() for layer in quantised_layers(model)]
    # A layer is computed with its weights in the format of the computation, one at a time.
    return int(_NF4 * sum(layers)) + (total - sum(layers) + max(layers, default=0)) * dtype_bytes


def converted_bytes(base: Path, recipe: Recipe, *, dtype_bytes: int) -> int:
    """Return the bytes of the base's files if a run holds the weights in another format, else 0."""
    files = sorted(base.glob("*.safetensors"))
    if not files:
        return 0
    try:
        with safe_open(files[0], framework="pt") as file:
            kinds = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError):  # the run says what is wrong with them
        return 0
    if recipe.quantization == "none" and kinds <= ({"F32"} if dtype_bytes == 4 else {"BF16"}):
        return 0
    return sum(file.stat().st_size for file in files)


def needed(
    base: Path, bare: Any, student: Any, recipe: Recipe, *, longest: int, dtype_bytes: int, gpu: bool
) -> Estimate:
    """Return what the run of a recipe needs of one device.

    Args:
        base: the folder of the base.
        bare: the base without weights and adapter.
        student: the base without weights, with the adapter of the recipe.
        recipe: the recipe.
        longest: tokens of the longest row.
        dtype_bytes: bytes of a number in the format of the computation.
        gpu: whether the device is a GPU.
    """
    weights, converted = weight_bytes(bare, recipe, dtype_bytes=dtype_bytes), 0
    if getattr(bare.config, "quantization_config", None) is not None:
        weights = sum(file.stat().st_size for file in base.glob("*.safetensors"))
    else:
        converted = converted_bytes(base, recipe, dtype_bytes=dtype_bytes)
    guess = estimate(
        student, memory_recipe(recipe), longest=longest, dtype_bytes=dtype_bytes, gpu=gpu, weights=weights,
        converted=converted,
    )  # fmt: skip
    layers = int(bare.config.get_text_config().num_hidden_layers)
    return on_one_machine(guess, recipe, layers=layers, gpu=gpu)


def plans(
    base: Path, bare: Any, student: Any, recipe: Recipe, *, longest: int, available: int, dtype_bytes: int, gpu: bool
) -> list[Plan]:
    """Return settings from the recipe's own to the most frugal, with what each needs.

    Args:
        base: the folder of the base.
        bare: the base without weights and adapter.
        student: the base without weights, with the adapter of the recipe.
        recipe: the recipe.
        longest: tokens of the longest row.
        available: bytes of the device.
        dtype_bytes: bytes of a number in the format of the computation.
        gpu: whether the device is a GPU.
    """

    def guess(changes: dict[str, Any], tokens: int) -> Estimate:
        chosen = recipe.model_copy(update=changes)
        return needed(base, bare, student, chosen, longest=tokens, dtype_bytes=dtype_bytes, gpu=gpu)

    def plan(changes: dict[str, Any], tokens: int) -> Plan:
        total = guess(changes, tokens).total
        name = described(recipe.model_copy(update=changes), tokens)
        return Plan(name=name, settings=changes, tokens=tokens, memory_bytes=total, fits=total <= available * HEADROOM)

    saving: dict[str, Any] = {"gradient_checkpointing": True}
    fewest = smallest_batch(recipe.objective)
    one = {"batch_size": fewest, "grad_accumulation": max(recipe.batch_size * recipe.grad_accumulation // fewest, 1)}
    quantised = {"quantization": "nf4"}
    steps: list[dict[str, Any]] = [{}, saving, saving | one]
    if getattr(bare.config, "quantization_config", None) is None and recipe.adapter != "full":
        steps += [quantised, quantised | saving, quantised | saving | one]
    found = [plan(changes, longest) for changes in steps]
    if recipe.objective == "sft":
        found.append(plan(steps[-1] | {"packing": True, "max_length": _power(longest)}, _power(longest)))
    tokens, frugal = _power(longest), steps[-1]
    while tokens < _LONGEST and guess(frugal, 2 * tokens).total <= available * HEADROOM:
        tokens *= 2
    found.append(plan(frugal | {"max_length": tokens}, tokens))
    unique = {(one.name, one.memory_bytes): one for one in found}
    return list(unique.values())


def described(recipe: Recipe, tokens: int) -> str:
    """Return the settings in a few words, such as ``QLoRA r16, packing, batch 1, 16k``."""
    words = [f"{'QLoRA' if recipe.quantization == 'nf4' else 'LoRA'} r{recipe.lora_r}"]
    words = ["all weights"] if recipe.adapter == "full" else words
    words += ["checkpointing"] if recipe.gradient_checkpointing else []
    words += ["packing"] if recipe.packing else []
    length = f"{tokens // 1024}k" if tokens >= 1024 and tokens % 1024 == 0 else f"{tokens:,} tokens"
    return ", ".join([*words, f"batch {recipe.batch_size}", length])


def _power(tokens: int) -> int:
    """Return the power of two that holds rows of ``tokens``, at least 1,024."""
    return max(1 << (tokens - 1).bit_length(), 1024)
