"""Load a base model once for itself and all its adapters: weights, dtype, adapters at run time."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from o1lab.errors import LabError, NotFoundError, RefusedError
from o1lab.serve.dtype import faster_on_cpu
from o1lab.serve.engine import BASE, Engine


@dataclass
class Weights:
    """A loaded base model.

    Attributes:
        context: longest prompt plus answer, in tokens.
        end_tokens: ids that end a turn.
        slots: adapter names inside the engine, by public adapter name.
        sources: adapter folders by public adapter name.
        loaded: number of adapters that were loaded so far.
    """

    folder: Path
    model: Any
    tokenizer: Any
    device: str
    dtype: str
    context: int
    end_tokens: set[int]
    slots: dict[str, str] = field(default_factory=dict)
    sources: dict[str, Path] = field(default_factory=dict)
    loaded: int = 0


def load_weights(folder: Path, *, dtype: str = "auto", trust_remote_code: bool = False) -> Weights:
    """Load the base in ``folder`` on the GPU if there is one, else on the CPU.

    Raises:
        LabError: transformers cannot load it, or its attention layers cannot be batched row by row.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
        chosen = pick_dtype(device, config) if dtype == "auto" else getattr(torch, dtype)
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=chosen, use_safetensors=True, trust_remote_code=trust_remote_code
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
        model = model.to(device).eval()
    except torch.OutOfMemoryError as error:
        raise LabError(
            f"The GPU has not enough memory for {folder.name}.",
            "Stop other programs that use it, or serve on the CPU: CUDA_VISIBLE_DEVICES=''.",
            code="out_of_memory",
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise LabError(f"The model in {folder} cannot be loaded: {reason}", "Check that it is complete.") from error
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if not kinds <= {"full_attention", "sliding_attention", "chunked_attention"}:
        raise LabError(f"The embedded server cannot serve {sorted(kinds)} layers.", "Use --engine vllm.", code="model")
    return Weights(
        folder=folder,
        model=model,
        tokenizer=tokenizer,
        device=device,
        dtype=str(chosen).removeprefix("torch."),
        context=int(getattr(config, "max_position_embeddings", None) or 2048),
        end_tokens=_end_tokens(model, tokenizer),
    )


def pick_dtype(device: str, config: Any) -> torch.dtype:
    """Return bfloat16 on a GPU that supports it; on a CPU, the faster of bfloat16 and float32 by a short measurement.

    On a CPU without bfloat16 instructions, a single row may still be faster in bfloat16 (half the bytes to read), but
    prefill is many times slower. So decoding (1 and 16 rows) and prefill (256 rows) are measured together.
    """
    if device != "cpu":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return faster_on_cpu(config, (1, 16, 256))[0]


def _end_tokens(model: Any, tokenizer: Any) -> set[int]:
    eos = getattr(model.generation_config, "eos_token_id", None)
    ends = {eos} if isinstance(eos, int) else set(eos or ())
    if tokenizer.eos_token_id is not None:
        ends.add(tokenizer.eos_token_id)
    return ends


def add_adapter(weights: Weights, engine: Engine, name: str, path: Path) -> None:
    """Load the LoRA adapter in ``path`` as ``name`` while other requests run. Blocks until it is loaded.

    Raises:
        NotFoundError: ``path`` has no adapter.
        RefusedError: the name is taken by another adapter, or the adapter does not fit this base.
    """
    path = path.expanduser().absolute()
    _check_adapter(name, path)
    if name in weights.slots:
        if weights.sources[name] == path:
            return
        raise RefusedError(f"An adapter called {name} is loaded already.", "Give each checkpoint its own name.")

    def load() -> None:
        from peft import PeftModel

        # PEFT makes module names of adapter names, so public names cannot be used.
        weights.loaded += 1
        slot = f"slot{weights.loaded}"
        _check_fit(weights, path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if isinstance(weights.model, PeftModel):
                weights.model.load_adapter(str(path), adapter_name=slot, torch_device=weights.device)
            else:
                weights.model = PeftModel.from_pretrained(
                    weights.model, str(path), adapter_name=slot, torch_device=weights.device
                )
                engine.model = weights.model
        weights.model.eval()
        weights.slots[name], weights.sources[name] = slot, path

    engine.between_steps(load).result()


def remove_adapter(weights: Weights, engine: Engine, name: str) -> None:
    """Unload the adapter ``name``.

    Raises:
        NotFoundError: no adapter has this name.
        RefusedError: a request is using it.
    """
    if name not in weights.slots:
        raise NotFoundError(f"No adapter is called {name}.", "GET /v1/models lists them.")

    def unload() -> None:
        if engine.in_use(weights.slots[name]):
            raise RefusedError(f"{name} is in use.", "Stop its requests first.")
        weights.model.delete_adapter(weights.slots.pop(name))
        weights.sources.pop(name)

    engine.between_steps(unload).result()


def slot_of(weights: Weights, name: str | None) -> str:
    return BASE if name is None else weights.slots[name]


def _check_adapter(name: str, path: Path) -> None:
    config_file = path / "adapter_config.json"
    if not config_file.is_file() or not (path / "adapter_model.safetensors").is_file():
        raise NotFoundError(
            f"{path} has no adapter.", "An adapter is adapter_config.json with adapter_model.safetensors."
        )
    try:
        config = json.loads(config_file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RefusedError(f"{config_file} cannot be read.", "Save the adapter again.") from error
    if config.get("peft_type") != "LORA" or config.get("use_dora") or config.get("alora_invocation_tokens"):
        raise RefusedError(f"{name} is not a plain LoRA adapter.", "Only plain LoRA adapters can be served.")
    if config.get("modules_to_save") or config.get("bias", "none") != "none":
        raise RefusedError(f"{name} replaces whole modules or biases of its base.", "Train LoRA weights only.")


def _check_fit(weights: Weights, path: Path) -> None:
    """Compare the shapes of adapter and base before anything is changed."""
    from safetensors import SafetensorError, safe_open

    model = weights.model.get_base_model() if hasattr(weights.model, "get_base_model") else weights.model
    try:
        with safe_open(path / "adapter_model.safetensors", framework="pt") as file:
            fits = all(_fits(model, key, file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118 - no mapping
    except SafetensorError as error:
        raise RefusedError(
            f"The weights in {path} cannot be read.", "They may be incomplete; try again later."
        ) from error
    if not fits:
        raise RefusedError(
            f"The adapter in {path} does not fit the base {weights.folder.name}.",
            "It was trained on another base: choose that one.",
            code="adapter_mismatch",
        )


def _fits(model: Any, key: str, shape: list[int]) -> bool:
    """Return whether the LoRA matrix ``key`` (A: [r, in], B: [out, r]) fits a module of ``model``."""
    name, _, part = key.removeprefix("base_model.model.").rpartition(".lora_")
    try:
        module = model.get_submodule(name)
        out_size, in_size = getattr(module, "base_layer", module).weight.shape
    except (AttributeError, ValueError):
        return False
    return shape[1] == in_size if part == "A.weight" else part == "B.weight" and shape[0] == out_size
