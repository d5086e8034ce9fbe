"""One set of weights for the base and all its adapters: loading, the choice of dtype, adapters at run time."""

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
    """A loaded base: its model, tokenizer, limits, and the engine slots of its adapters by name."""

    folder: Path
    model: Any
    tokenizer: Any
    device: str
    dtype: str
    context: int
    end_tokens: set[int]
    slots: dict[str, str] = field(default_factory=dict)
    sources: dict[str, Path] = field(default_factory=dict)
    made: int = 0


def load_weights(folder: Path, *, dtype: str = "auto", trust_remote_code: bool = False) -> Weights:
    """Load the base in ``folder`` on the GPU if there is one, else on the CPU.

    Raises:
        LabError: transformers cannot load it, or its kind of attention cannot be batched row by row.
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
            f"The GPU has no room for {folder.name}.",
            "Stop what else runs there, or serve on the CPU: CUDA_VISIBLE_DEVICES=''.",
            code="out_of_memory",
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise LabError(f"The model in {folder} cannot be loaded: {reason}", "See that it is whole.") from error
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
    """bfloat16 on a GPU that has it; on a CPU whichever of bfloat16 and float32 answers faster, by a short measurement.

    Without instructions for bfloat16 a single row may still be faster in it (half the bytes to read), while
    prefill is many times slower: decoding (1 and 16 rows) and prefill (256 rows) count together.
    """
    if device != "cpu":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return faster_on_cpu(config, (1, 16, 256))[0]


def _end_tokens(model: Any, tokenizer: Any) -> set[int]:
    told = getattr(model.generation_config, "eos_token_id", None)
    ends = {told} if isinstance(told, int) else set(told or ())
    if tokenizer.eos_token_id is not None:
        ends.add(tokenizer.eos_token_id)
    return ends


def add_adapter(weights: Weights, engine: Engine, name: str, path: Path) -> None:
    """Load the LoRA adapter in ``path`` as ``name``, while other requests run. Blocks until it is there.

    Raises:
        NotFoundError: ``path`` holds no adapter.
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

        # PEFT makes module names of adapter names, so ours must be plain whatever the person's is.
        weights.made += 1
        slot = f"slot{weights.made}"
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
    """Forget the adapter ``name`` and its memory.

    Raises:
        NotFoundError: there is none of that name.
        RefusedError: a request is using it.
    """
    if name not in weights.slots:
        raise NotFoundError(f"No adapter is called {name}.", "GET /v1/models lists them.")

    def unload() -> None:
        if engine.in_use(weights.slots[name]):
            raise RefusedError(f"{name} is answering now.", "Stop its requests first.")
        weights.model.delete_adapter(weights.slots.pop(name))
        weights.sources.pop(name)

    engine.between_steps(unload).result()


def slot_of(weights: Weights, name: str | None) -> str:
    return BASE if name is None else weights.slots[name]


def _check_adapter(name: str, path: Path) -> None:
    config_file = path / "adapter_config.json"
    if not config_file.is_file() or not (path / "adapter_model.safetensors").is_file():
        raise NotFoundError(
            f"{path} holds no adapter.", "An adapter is adapter_config.json with adapter_model.safetensors."
        )
    try:
        config = json.loads(config_file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RefusedError(f"{config_file} cannot be read.", "Save the adapter again.") from error
    if config.get("peft_type") != "LORA" or config.get("use_dora") or config.get("alora_invocation_tokens"):
        raise RefusedError(f"{name} is not a plain LoRA adapter.", "Only LoRA adapters are served together.")
    if config.get("modules_to_save") or config.get("bias", "none") != "none":
        raise RefusedError(f"{name} replaces whole modules or biases of its base.", "Train it with LoRA weights only.")


def _check_fit(weights: Weights, path: Path) -> None:
    """Compare the adapter's shapes with the base's before anything is changed."""
    from safetensors import SafetensorError, safe_open

    model = weights.model.get_base_model() if hasattr(weights.model, "get_base_model") else weights.model
    try:
        with safe_open(path / "adapter_model.safetensors", framework="pt") as file:
            fits = all(_fits(model, key, file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118 - no mapping
    except SafetensorError as error:
        raise RefusedError(
            f"The weights in {path} cannot be read.", "They may still be being written; try again."
        ) from error
    if not fits:
        raise RefusedError(
            f"The adapter in {path} does not fit the base {weights.folder.name}.",
            "It was trained on another base: choose that one.",
            code="adapter_mismatch",
        )


def _fits(model: Any, key: str, shape: list[int]) -> bool:
    """Whether the LoRA matrix ``key`` (A: [r, in], B: [out, r]) has its place in ``model``."""
    name, _, part = key.removeprefix("base_model.model.").rpartition(".lora_")
    try:
        module = model.get_submodule(name)
        out_size, in_size = getattr(module, "base_layer", module).weight.shape
    except (AttributeError, ValueError):
        return False
    return shape[1] == in_size if part == "A.weight" else part == "B.weight" and shape[0] == out_size
