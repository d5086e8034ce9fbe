"""Build the trainer of a recipe from rows, for preflight and for training. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig
from transformers import TrainerCallback

from o1lab.train.recipes.recipe import Recipe
from o1lab.train.rows import TrainingRow
from o1lab.train.trainer import head, preference
from o1lab.train.trainer.sft import Trainer, trainer_config
from o1lab.train.trainer.tensors import Lengths, apply_length_policy, as_dataset, split

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def build_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    recipe: Recipe,
    rows: Sequence[TrainingRow],
    output: Path,
    *,
    cpu: bool,
    bf16: bool = False,
    adapter: LoraConfig | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    tracked: tuple[str, str] | None = None,
    on_row: Callable[[], None] = lambda: None,
) -> tuple[Any, Lengths]:
    """Build the trainer with its tokenised datasets.

    Args:
        model: the base, or :func:`o1lab.train.trainer.tensors.stand_in` for preflight.
        tokenizer: the base's tokenizer.
        recipe: the recipe.
        rows: all rows of the dataset.
        output: the folder where the trainer saves checkpoints.
        cpu: whether to train on the CPU.
        bf16: whether the weights are bfloat16.
        adapter: the adapter to add; None for preflight, for all weights, and if ``model`` has one already.
        callbacks: callbacks of the trainer.
        tracked: the project and the name of the run for the recipe's trackers; None for preflight, which has none.
        on_row: called after each row that is tokenised.

    Returns:
        The trainer, and the row lengths with the effect of the length policy. A pair has two lengths:
        those of its answers with the prompt.

    Raises:
        RefusedError: no training row would remain, the chat template refuses a row, or the model cannot keep packed
            rows apart.
    """
    parts = split(rows, recipe)
    found, exact = Lengths(), _adapter_values(model)
    kind, config = Trainer, trainer_config(recipe, output, cpu=cpu, bf16=bf16, tracked=tracked)
    supervised = recipe.objective == "sft"
    if supervised:
        train, held_out = (as_dataset(part, recipe, tokenizer, on_row) for part in parts)
    else:
        train, held_out = preference.datasets(parts, recipe, tokenizer, found, on_row)
        kind, config = preference.trainer_class(recipe), preference.preference_config(recipe, config)
        if adapter is None and not hasattr(model, "peft_config"):  # preflight: a reference needs an adapter
            adapter = LoraConfig(task_type="CAUSAL_LM", r=1, target_modules="all-linear")
    trainer = kind(
        model=model,
        args=config,
        train_dataset=train,
        eval_dataset=held_out if len(held_out) else None,
        processing_class=tokenizer,
        peft_config=adapter,
        callbacks=list(callbacks),
    )
    trainer.recipe = recipe
    _in_float32(trainer.model, exact)
    if hasattr(trainer.model, "peft_config"):  # the weights of an embedding with an adapter are those of the base
        selected = {} if supervised else {"selected_adapters": ["default"]}
        trainer.model.save_pretrained = partial(trainer.model.save_pretrained, save_embedding_layers=False, **selected)
    if supervised:
        head.attach(trainer.model)
        trainer.use_rows(apply_length_policy(trainer.train_dataset, recipe, found), recipe)
        if trainer.eval_dataset is not None:
            trainer.eval_dataset = apply_length_policy(trainer.eval_dataset, recipe, found)
    return trainer, found


def _adapter_values(model: Any) -> dict[str, torch.Tensor]:
    """Return the values of the adapter that a quantised base has already."""
    if not (hasattr(model, "peft_config") and getattr(model, "is_loaded_in_4bit", False)):
        return {}
    return {name: one.detach().clone() for name, one in model.named_parameters() if one.requires_grad}


def _in_float32(model: Any, exact: dict[str, torch.Tensor]) -> None:
    """Undo that TRL rounds the adapter of a quantised base to bfloat16, which loses small steps of AdamW."""
    if not getattr(model, "is_loaded_in_4bit", False):
        return
    for name, one in model.named_parameters():
        if one.requires_grad:
            one.data = exact.get(name, one.data).to(one.device, torch.float32)
