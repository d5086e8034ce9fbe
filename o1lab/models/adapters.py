"""Adapters as PEFT makes them: their shape on the bare architecture, and whether a saved one fits a base.

Everything is read from the modules that PEFT creates on the base's real architecture without weights (the meta device).
So fused experts, Conv1D layers, embeddings and modules that are trained in full need no separate rules. Imports torch;
only separate processes import this module.
"""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from peft.tuners.lora import Embedding, Linear, LoraLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from transformers import AutoConfig, AutoModelForCausalLM

from o1lab.errors import RefusedError

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

_ADDED = re.compile(r"\.lora_|(?:^|\.)(?:original_module|modules_to_save)\b")


def bare_model(folder: Path, *, trust_remote_code: bool = False) -> PreTrainedModel:
    """Return the modules of the base in ``folder`` without weights."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=trust_remote_code)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)


def adapted(model: PreTrainedModel, config: LoraConfig) -> PeftModel:
    """Return ``model``, which has no weights, with the adapter of ``config``; ``model`` itself is changed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return get_peft_model(model, config, low_cpu_mem_usage=True)


def saved_adapter(folder: Path) -> LoraConfig:
    """Return the settings of the adapter in ``folder``.

    Raises:
        RefusedError: it is not a LoRA adapter that the embedded server and training can use.
    """
    try:
        values = json.loads((folder / "adapter_config.json").read_text("utf-8"))
        kind = values.get("peft_type")
    except (OSError, ValueError, AttributeError) as error:
        raise RefusedError(f"{folder / 'adapter_config.json'} cannot be read.", "Save the adapter again.") from error
    if kind != "LORA" or values.get("alora_invocation_tokens"):
        raise RefusedError(f"The adapter in {folder} is not a LoRA adapter.", "Use a LoRA adapter.", code="adapter")
    if values.get("bias", "none") != "none":
        raise RefusedError(
            f"The adapter in {folder} changes the biases of its base.", "Train it with bias='none'.", code="adapter"
        )
    return LoraConfig.from_pretrained(str(folder))


def trainable_parameters(model: PeftModel | PreTrainedModel) -> int:
    """Return the number of parameters with a gradient, all of which a checkpoint keeps."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def target_names(model: PeftModel) -> dict[str, int]:
    """Return how many layers have an adapter or are trained in full, by the last parts of their names."""
    names = [name.rpartition(".")[2] for name in model.base_model.targeted_module_names]
    names += [".".join(name.split(".")[-2:]) for name in model.base_model.targeted_parameter_names]
    names += [name.rpartition(".")[2] for name, module in model.named_modules() if _trained_in_full(module)]
    return dict(Counter(names))


def mixes(model: PeftModel) -> bool:
    """Return whether PEFT can apply a different adapter to each row of a batch.

    It can for plain linear layers and embeddings. It refuses fused experts (``ParamWrapper``) and DoRA, and modules
    that are trained in full follow the active adapter.
    """
    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    plain = all(type(layer) in (Linear, Embedding) and not any(layer.use_dora.values()) for layer in layers)
    return plain and not any(map(_trained_in_full, model.modules()))


def misfit(base: Path, adapter: Path, *, trust_remote_code: bool = False) -> str:
    """Compare a saved adapter with the architecture of a base.

    Args:
        base: the folder of the base.
        adapter: the folder of the adapter.
        trust_remote_code: whether the base may run its own code.

    Returns:
        Why the adapter does not fit, as the name of a layer; empty if it fits.

    Raises:
        RefusedError: the adapter cannot be read, or is of a kind that cannot be used.
    """
    from safetensors import SafetensorError, safe_open

    config = saved_adapter(adapter)
    try:
        with safe_open(adapter / "adapter_model.safetensors", framework="pt") as file:
            found = {key: list(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError) as error:
        raise RefusedError(
            f"The weights in {adapter} cannot be read.", "They may be incomplete; try again later."
        ) from error
    model = bare_model(base, trust_remote_code=trust_remote_code)
    try:
        wrapped = adapted(model, config)
    except ValueError:  # no layer has the names of its targets
        return ", ".join(sorted(config.target_modules or ())[:3]) or "its targets"
    wanted = {key: list(tensor.shape) for key, tensor in saved_tensors(wrapped).items()}
    for key, shape in wanted.items():
        if found.pop(key, None) != shape:
            return _layer(key)
    own = {name: list(tensor.shape) for name, tensor in wrapped.state_dict().items()}
    # PEFT saves the base's embeddings too when one of them has an adapter; they change nothing.
    return next((_layer(key) for key, shape in found.items() if own.get(key) != shape), "")


def saved_tensors(model: PeftModel) -> dict[str, Any]:
    """Return the tensors of an adapter's checkpoint by name, without those of the base."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tensors: dict[str, Any] = get_peft_model_state_dict(model, save_embedding_layers=False)
    return tensors


def added_by_peft(name: str) -> bool:
    """Return whether a module of an adapted base, by its name, belongs to PEFT and not to the base."""
    return bool(_ADDED.search(name))


def _trained_in_full(module: Any) -> bool:
    return isinstance(module, AuxiliaryTrainingWrapper)


def _layer(key: str) -> str:
    return key.removeprefix("base_model.model.").partition(".lora_")[0].removesuffix(".weight")
