"""Load a base model once for itself and all its adapters: weights, dtype, adapters at run time."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from o1lab.errors import LabError, NotFoundError, RefusedError
from o1lab.models.adapters import misfit, mixes
from o1lab.models.library_errors import explained
from o1lab.serve.dtype import faster_on_cpu
from o1lab.serve.engine.engine import Engine
from o1lab.serve.engine.prefill import BASE


@dataclass
class Weights:
    """A loaded base model.

    Attributes:
        context: longest prompt plus answer, in tokens.
        end_tokens: ids that end a turn.
        slots: adapter names inside the engine, by public adapter name.
        sources: adapter folders by public adapter name.
        loaded: number of adapters that were loaded so far.
        trust_remote_code: whether the base may run its own code.
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
    trust_remote_code: bool = False

    @property
    def vocabulary(self) -> int:
        """The number of token ids that the model knows."""
        return int(self.model.get_input_embeddings().weight.shape[0])


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
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise explained(error, f"The model in {folder} cannot be loaded", "Check that it is complete.") from error
    if kinds := unservable_layers(config):
        message = f"The embedded server cannot serve {', '.join(kinds)} layers."
        raise LabError(message, "Use --engine vllm.", code="model")
    return Weights(
        folder=folder,
        model=model,
        tokenizer=tokenizer,
        device=device,
        dtype=str(chosen).removeprefix("torch."),
        context=int(getattr(config, "max_position_embeddings", None) or 2048),
        end_tokens=_end_tokens(model, tokenizer),
        trust_remote_code=trust_remote_code,
    )


def unservable_layers(config: Any) -> list[str]:
    """Return the kinds of layers of a base whose rows the engine cannot batch; empty if it can serve the base."""
    kinds = set(getattr(config.get_text_config(), "layer_types", None) or [])
    return sorted(kinds - {"full_attention", "sliding_attention", "chunked_attention"})


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
    if not all((path / file).is_file() for file in ("adapter_config.json", "adapter_model.safetensors")):
        raise NotFoundError(
            f"{path} has no adapter.", "An adapter is adapter_config.json with adapter_model.safetensors."
        )
    if name in weights.slots:
        if weights.sources[name] == path:
            return
        raise RefusedError(f"An adapter called {name} is loaded already.", "Give each checkpoint its own name.")
    if layer := misfit(weights.folder, path, trust_remote_code=weights.trust_remote_code):
        raise RefusedError(
            f"The adapter in {path} does not fit the base {weights.folder.name}: {layer} differs.",
            "It was trained on another base: choose that one.",
            code="adapter_mismatch",
        )

    def load() -> None:
        from peft import PeftModel

        # PEFT makes module names of adapter names, so public names cannot be used.
        weights.loaded += 1
        slot = f"slot{weights.loaded}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if isinstance(weights.model, PeftModel):
                _load_another(weights.model, name, path, slot, weights.device)
            else:
                weights.model = PeftModel.from_pretrained(
                    weights.model, str(path), adapter_name=slot, torch_device=weights.device
                )
        weights.model.eval()
        engine.use_model(weights.model, mixes=mixes(weights.model))
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
        engine.use_model(weights.model, mixes=mixes(weights.model))

    engine.between_steps(unload).result()


def slot_of(weights: Weights, name: str | None) -> str:
    return BASE if name is None else weights.slots[name]


def _load_another(model: Any, name: str, path: Path, slot: str, device: str) -> None:
    """Load an adapter into a model that has others."""
    try:
        model.load_adapter(str(path), adapter_name=slot, torch_device=device)
    except ValueError as error:
        if "must target the same set" not in str(error):
            raise
        raise RefusedError(
            f"{name} adapts other experts than an adapter that is loaded already, and PEFT cannot hold both.",
            "Serve the two adapters one after the other: stop this server first.",
            code="adapter_conflict",
        ) from error
