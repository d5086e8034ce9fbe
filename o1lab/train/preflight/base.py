"""Checks of the base and its adapter: a run that would fail is refused before it starts. Imports torch."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from o1lab.errors import O1LabError
from o1lab.format import byte_size, first_of
from o1lab.models.adapters import adapted, bare_model, saved_adapter, target_names, trainable_parameters
from o1lab.models.library_errors import explain, first_line
from o1lab.serve.engine.weights import unservable_layers
from o1lab.train.parent_run import awaited
from o1lab.train.preflight import packing
from o1lab.train.preflight.memory import HEADROOM, Estimate, available_bytes, held_parameters
from o1lab.train.preflight.plans import needed, plans
from o1lab.train.preflight.report import Memory, Preflight, Target
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.trainer.compute import adapter_mismatch, choose_dtype, init_checkpoint
from o1lab.train.trainer.loading import refuse_unavailable, uses_flash
from o1lab.train.trainer.sft import not_apart
from o1lab.train.trainer.targets import left_out, lora_config

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_POSITIONS = re.compile(r"(?:^|[._])(?:wpe|pos|position)[^.]*$", re.IGNORECASE)
_NAMED = 5
_HIGH_RATE = 1e-4
"""Above this learning rate, a run that trains all weights gets a warning."""


def check_base(
    found: Preflight, base: Path, recipe: Recipe, *, tokenizer: PreTrainedTokenizerBase, rows: list[Any], runs: Path
) -> None:
    """Check the base's architecture against the tokenised rows and the recipe.

    Args:
        found: gets the problems, the warnings, the adapter and the memory.
        base: the folder of the base.
        recipe: the recipe.
        tokenizer: the base's tokenizer.
        rows: token ids of each row, training and held-out rows.
        runs: the folder of the runs that ``init_from`` may name.
    """
    model = bare_model(base)
    longest = max(map(len, rows))
    _check_quantisation(found, model.config)
    _check_vocabulary(found, model, tokenizer, rows)
    _check_positions(found, model, longest)
    if kinds := unservable_layers(model.config):
        found.warning(
            "not_served",
            f"The embedded server cannot serve a student of this base ({', '.join(kinds)} layers).",
            "It trains; serve it with vLLM: o1lab serve --engine vllm.",
        )
    gpu = found.device != "cpu"
    _check_options(found, recipe, model, gpu=gpu)
    chosen = choose_dtype(recipe.dtype, gpu=gpu, model_config=model.config)
    found.dtype = chosen.name
    found.base_parameters = sum(parameter.numel() for parameter in model.parameters())
    size = 2 if chosen.name == "bf16" else 4
    if recipe.adapter == "full":
        _check_full(found, base, model, recipe, runs)
        trained: PreTrainedModel | PeftModel | None = model
    else:
        trained = _check_adapter(found, base, model, recipe, runs)
    if trained is None:
        return
    bare = bare_model(base)  # the adapter has changed the other one
    guess = needed(base, bare, trained, recipe, longest=longest, dtype_bytes=size, gpu=gpu)
    available = available_bytes(gpu=gpu)
    _check_memory(found, guess, available)
    other = found.plan_bytes > 0
    size = 4 if recipe.dtype == "fp32" else 2 if other else size
    found.plan_bytes = found.plan_bytes or available
    found.plans = plans(
        base, bare, trained, recipe, longest=longest, available=found.plan_bytes, dtype_bytes=size, gpu=gpu or other
    )


def _check_adapter(
    found: Preflight, base: Path, model: PreTrainedModel, recipe: Recipe, runs: Path
) -> PeftModel | None:
    """Check the run's adapter; returns the base with it, or None if there is a problem with it."""
    wrapped = _with_adapter(found, base, model, recipe, runs)
    if wrapped is None:
        return None
    saved = trainable_parameters(wrapped)
    found.trainable_parameters = saved - held_parameters(wrapped, recipe)
    _check_disk(found, recipe, saved, runs)
    found.targets = [Target(name=name, layers=count) for name, count in target_names(wrapped).items()]
    if names := left_out(recipe, wrapped):
        found.warning(
            "left_out",
            f"PEFT gives no adapter to these linear layers of this base: {', '.join(names)}.",
            "It takes them for parts of the experts; all other linear layers have one.",
        )
    _check_tied(found, wrapped)
    return wrapped


def _check_full(found: Preflight, base: Path, model: PreTrainedModel, recipe: Recipe, runs: Path) -> None:
    """Check a run that trains all weights."""
    found.trainable_parameters = trainable_parameters(model)
    if getattr(model.config, "quantization_config", None) is not None:
        found.problem(
            "quantised",
            "All weights of a quantised base cannot be trained.",
            "Set adapter to lora, or use the base without quantisation.",
        )
    if recipe.learning_rate > _HIGH_RATE:
        found.warning(
            "learning_rate",
            f"The learning rate {recipe.learning_rate:g} is one for adapters: with all weights it unteaches the base.",
            "All weights take 5e-6 to 5e-5: set learning_rate.",
        )
    _check_disk(found, recipe, found.trainable_parameters, runs)
    try:
        if recipe.init_from and awaited(recipe) is None and (mismatch := adapter_mismatch(base, recipe, runs)):
            found.problem("adapter_of_other_base", mismatch, "Start from a run of the same base.")
    except O1LabError as error:
        found.refused(error)


def _check_disk(found: Preflight, recipe: Recipe, saved: int, runs: Path) -> None:
    """Warn if the checkpoints are larger than the free space: weights and AdamW's two moments, in float32."""
    count = -(-found.total_steps // recipe.save_steps) if recipe.save_steps else 1
    if recipe.keep_checkpoints:
        count = min(count, recipe.keep_checkpoints + 1)  # an old one is deleted after the new one is complete
    size, free = 12 * saved, shutil.disk_usage(runs).free
    if size * count > free:
        found.warning(
            "disk",
            f"The run writes {count} checkpoints of about {byte_size(size)}, but only {byte_size(free)} are free.",
            "Set keep_checkpoints to keep the newest ones only, or raise save_steps.",
        )


def _check_options(found: Preflight, recipe: Recipe, model: PreTrainedModel, *, gpu: bool) -> None:
    """Refuse what this machine or base cannot do, and packing where rows would see each other."""
    try:
        refuse_unavailable(recipe, model, gpu=gpu)
    except O1LabError as error:
        found.refused(error)
        return
    if not recipe.packing or uses_flash(recipe, gpu=gpu):
        return
    apart = packing.measured(model.config)
    if apart is False:
        found.refused(not_apart("This base"))
    elif apart is None:
        found.warning(
            "packing",
            "Whether this base keeps packed rows apart is measured when the run starts.",
            "It refuses if not.",
        )
    if recipe.batch_size > 1:
        found.warning(
            "packing_batch",
            f"The {recipe.batch_size} packed rows of a batch are one sequence for attention, whose cost grows with its"
            " square.",
            f"Set batch_size to 1 and grad_accumulation to {recipe.batch_size * recipe.grad_accumulation}: the same"
            " step in less memory.",
        )


def _with_adapter(found: Preflight, base: Path, model: PreTrainedModel, recipe: Recipe, runs: Path) -> PeftModel | None:
    """Return the base with the run's adapter, None if there is a problem with it."""
    try:
        # A run that has not finished has no adapter yet.
        if recipe.init_from and awaited(recipe) is None:
            if mismatch := adapter_mismatch(base, recipe, runs):
                found.problem(
                    "adapter_of_other_base", mismatch, "Start from a run of the same base, or choose that run's base."
                )
                return None
            config = saved_adapter(init_checkpoint(recipe, runs))
            config.inference_mode = False
        else:
            config = lora_config(recipe, model)
        return adapted(model, config)
    except O1LabError as error:
        found.refused(error)
        return None


def _check_quantisation(found: Preflight, config: Any) -> None:
    """Refuse a quantised base whose library is missing, or whose method cannot be trained."""
    settings = getattr(config, "quantization_config", None)
    if settings is None:
        return
    from transformers.quantizers import AutoHfQuantizer

    values = settings if isinstance(settings, dict) else settings.to_dict()
    method = str(values.get("quant_method", "an unknown method")).rpartition(".")[2].lower()
    another = "use the base without quantisation"
    try:
        quantizer = AutoHfQuantizer.from_config(settings, pre_quantized=True)
        quantizer.validate_environment(device_map=None)
    except (ImportError, RuntimeError, ValueError, TypeError) as error:
        known = explain(f"{type(error).__name__}: {error}")
        message = f"The base is quantised with {method}, which does not work here: {first_line(error)}."
        missing = isinstance(error, ImportError)
        if missing:
            package = re.search(r"pip install (?:-\S+ )*[\"'`]?([\w.-]+)", str(error))
            name = package.group(1) if package else method
            message = f"The base is quantised with {method}, and the library {name} is not installed."
            found.problem("quantised_library", message, f"Install it (pip install {name}), or {another}.")
        else:
            found.problem("quantised", message, known.hint if known else another.capitalize() + ".")
        return
    if not quantizer.is_trainable:
        found.problem(
            "quantised",
            f"A base that is quantised with {method} cannot be trained, not even with an adapter.",
            another.capitalize() + ".",
        )


def _check_vocabulary(
    found: Preflight, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Iterable[list[int]]
) -> None:
    size = int(model.get_input_embeddings().num_embeddings)
    if len(tokenizer) <= size:
        return
    used = sorted({token for ids in rows for token in ids if token >= size})
    resize = (
        f"Resize the base once: model.resize_token_embeddings({len(tokenizer)}), then save_pretrained; "
        "or remove the tokens from its tokenizer.json."
    )
    beyond = f"The tokenizer has {len(tokenizer):,} tokens, but the base has embeddings for {size:,}"
    if used:
        names = first_of([str(one) for one in tokenizer.convert_ids_to_tokens(used)], _NAMED)
        found.problem("vocabulary", f"{beyond}; the rows use {names}.", resize)
    else:
        found.warning("vocabulary", f"{beyond}; no row uses the others.", resize)


def _check_positions(found: Preflight, model: PreTrainedModel, longest: int) -> None:
    """Refuse rows beyond learned positions; with rotary positions, warn of rows that are longer than usual."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if not isinstance(limit, int) or longest <= limit:
        return
    words = f"The longest row has {longest:,} tokens, but the base"
    shorter = f"Set max_length={limit} with over_length=drop or truncate"
    inputs = model.get_input_embeddings()
    if any(
        isinstance(module, torch.nn.Embedding) and module is not inputs and _POSITIONS.search(name)
        for name, module in model.named_modules()
    ):
        found.problem("positions", f"{words} has {limit:,} positions.", f"{shorter}, or use another base.")
    else:
        found.warning(
            "positions",
            f"{words} was made for {limit:,} (max_position_embeddings).",
            f"{shorter}; the student's server refuses longer conversations.",
        )


def _check_tied(found: Preflight, wrapped: PeftModel) -> None:
    """Say that an adapter or a copy unties embeddings and head, which are one matrix in the base."""
    base = wrapped.get_base_model()
    if not getattr(base.config.get_text_config(), "tie_word_embeddings", False):
        return
    plain = (torch.nn.Embedding, torch.nn.Linear)
    ends = (base.get_input_embeddings(), base.get_output_embeddings())
    if all(type(end) in plain for end in ends):
        return
    found.warning(
        "tied_embeddings",
        "The base uses one matrix for its embeddings and its output head; the run changes one of the two alone.",
        "It trains and is served as it is; an adapter merged into the base needs two matrices.",
    )


def _check_memory(found: Preflight, guess: Estimate, available: int) -> None:
    found.memory = Memory(**{name: getattr(guess, name) for name in Memory.PARTS}, available=available)
    found.memory_bytes = guess.total
    if guess.total > available * HEADROOM:
        found.problem(
            "not_enough_memory",
            f"The run needs about {byte_size(guess.total)}, but only {byte_size(available)} are free.",
            "Lower batch_size (raise grad_accumulation), turn on gradient_checkpointing, or lower max_length.",
        )
