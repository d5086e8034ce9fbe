"""How the base is loaded for training: quantised, with which attention and which kernels. Imports torch."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from transformers import BitsAndBytesConfig
from transformers.utils import is_flash_attn_2_available, is_liger_kernel_available

from o1lab.errors import RefusedError
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.trainer.sft import not_apart

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_FLASH = "flash_attention_2"
_APART = ("full_attention", "sliding_attention", "chunked_attention")
"""The kinds of layers that keep packed rows apart by their positions."""


def refuse_unavailable(recipe: Recipe, model: PreTrainedModel, *, gpu: bool) -> None:
    """Refuse what the machine or the base cannot do.

    Args:
        recipe: the recipe.
        model: the base, with or without weights.
        gpu: whether the run uses a GPU.

    Raises:
        RefusedError: quantisation, attention, Liger or packing is not possible (the code is the recipe's field).
    """
    _refuse_quantization(recipe, model)
    if recipe.attention == _FLASH and not (gpu and is_flash_attn_2_available()):
        raise RefusedError(
            "flash_attention_2 needs a GPU." if not gpu else "The package flash-attn is not installed.",
            "Choose attention auto" + ("." if not gpu else ", or install it (pip install flash-attn)."),
            code="attention",
        )
    if recipe.liger and not (gpu and is_liger_kernel_available()):
        raise RefusedError(
            "Liger's layers need a GPU." if not gpu else "The package liger-kernel is not installed.",
            "Turn liger off" + ("." if not gpu else ", or install it (pip install liger-kernel)."),
            code="liger",
        )
    kinds = set(getattr(model.config.get_text_config(), "layer_types", None) or ()) - set(_APART)
    if recipe.packing and (kinds or getattr(model, "_is_stateful", False)):
        raise not_apart(f"This base ({', '.join(sorted(kinds)) or 'a state'})")


def _refuse_quantization(recipe: Recipe, model: PreTrainedModel) -> None:
    if recipe.quantization == "none":
        return
    if getattr(model.config, "quantization_config", None) is not None:
        raise RefusedError(
            "The base is quantised already.", "Set quantization to none; it trains as it is.", code="quantization"
        )
    if find_spec("bitsandbytes") is None:
        raise RefusedError(
            "quantization nf4 needs the package bitsandbytes, which is not installed.",
            "Install it (pip install bitsandbytes), or set quantization to none.",
            code="quantization",
        )
    if recipe.strategy == "fsdp2" and recipe.world_size > 1:
        raise RefusedError("fsdp2 does not share a quantised base.", "Choose strategy ddp.", code="quantization")
    quantised = set(quantised_layers(model))
    kept = [name for name in recipe.full_modules if not quantised.isdisjoint(_inside(model, name))]
    if kept:
        raise RefusedError(
            f"{kept[0]} cannot be trained in full (modules_to_save), because nf4 quantises it.",
            "Give it an adapter in lora_targets, or set quantization to none.",
            code="quantization",
        )


def _inside(model: PreTrainedModel, name: str) -> list[Any]:
    """Return the modules of that name, and those in them."""
    named = [module for at, module in model.named_modules() if at == name or at.endswith(f".{name}")]
    return [module for one in named for module in one.modules()]


def quantised_layers(model: PreTrainedModel) -> list[Any]:
    """Return the layers that nf4 quantises: the linear ones without the output head."""
    from torch.nn import Linear

    head = model.get_output_embeddings()
    return [module for module in model.modules() if isinstance(module, Linear) and module is not head]


def uses_flash(recipe: Recipe, *, gpu: bool) -> bool:
    """Return whether a run in bfloat16 takes flash_attention_2."""
    return recipe.attention == _FLASH or (recipe.attention == "auto" and gpu and is_flash_attn_2_available())


def load_options(recipe: Recipe, dtype: Any, *, gpu: bool) -> dict[str, Any]:
    """Return the arguments of ``from_pretrained`` for a recipe; ``dtype`` is the torch format of the computation."""
    options: dict[str, Any] = {"dtype": dtype}
    if uses_flash(recipe, gpu=gpu) and dtype.itemsize == 2:
        options["attn_implementation"] = _FLASH
    elif recipe.attention != "auto":
        options["attn_implementation"] = recipe.attention
    if recipe.quantization == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    return options


def keep_layout(model: PreTrainedModel) -> None:
    """Keep bitsandbytes from repacking the weights on a CPU when probes are asked.

    It does so for inference where the CPU has AVX512-BF16; the base would then pass no gradients on.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
