"""Fine-tuning as TRL does it, in the batches of the recipe: grouped by length or packed. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.data_loader import BatchSamplerShard
from datasets import Dataset
from torch.utils.data import Sampler
from trl import SFTConfig, SFTTrainer
from trl.data_utils import pack_dataset

from o1lab.errors import RefusedError
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.trainer.batching import grouped, padding
from o1lab.train.trainer.held_out import IGNORED, over_processes
from o1lab.train.trainer.started import VariantTrainer

_ROW = 6
"""Tokens of each row in the check whether packed rows are apart."""
_APART = 0.03
"""The largest difference of a logit, as a share of the largest: bfloat16 alone makes up to 0.01."""


def trainer_config(
    recipe: Recipe, output: Path, *, cpu: bool, bf16: bool, tracked: tuple[str, str] | None = None
) -> SFTConfig:
    """Return the recipe in the format of TRL. Our callback triggers saving and evaluation, not TRL's strategies."""
    length = {"max_steps": recipe.steps} if recipe.steps is not None else {"num_train_epochs": recipe.epochs}
    names = SFTConfig.__dataclass_fields__  # transformers renamed the option
    checkpointing = "activation_checkpointing" if "activation_checkpointing" in names else "gradient_checkpointing"
    return SFTConfig(
        output_dir=str(output),
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=recipe.batch_size,
        gradient_accumulation_steps=recipe.grad_accumulation,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=recipe.warmup,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        optim="adamw_torch",
        seed=recipe.seed,
        data_seed=recipe.seed,
        logging_strategy="steps",
        logging_steps=recipe.logging_steps,
        logging_nan_inf_filter=False,  # a NaN must be reported, not filtered
        save_strategy="no",
        eval_strategy="no",
        bf16=bf16 and (not cpu or recipe.adapter == "full"),  # a base with an adapter is itself bfloat16 on a CPU
        neftune_noise_alpha=recipe.neftune_alpha or None,
        use_cpu=cpu,
        dataloader_pin_memory=not cpu,
        report_to=[],  # the worker adds the callbacks of trackers: an error of one must not end the training
        trackio_space_id=None,  # trackio stays on this machine
        trackio_static_space_id=False,
        disable_tqdm=True,
        packing=False,  # rows are packed after the length policy; see `Trainer.use_rows`
        padding_free=recipe.packing,
        use_liger_kernel=recipe.liger and not cpu,
        max_length=None,  # TRL would truncate silently; see `apply_length_policy`
        **({"project": tracked[0], "run_name": tracked[1]} if tracked else {}),
        **length,
        **({checkpointing: recipe.gradient_checkpointing} | sharding(recipe, cpu=cpu)),
    )


def sharding(recipe: Recipe, *, cpu: bool) -> dict[str, Any]:
    """Return the options of transformers that decide what several processes share; none before they have met."""
    if not torch.distributed.is_initialized():
        return {}
    if cpu:
        return {"ddp_backend": "gloo"}
    if recipe.strategy == "ddp":
        return {}
    checkpointing = {"activation_checkpointing": True} if recipe.gradient_checkpointing else {}
    names = SFTConfig.__dataclass_fields__
    option = "activation_checkpointing" if "activation_checkpointing" in names else "gradient_checkpointing"
    # A whole state dict, so that a checkpoint is an adapter like those of other runs.
    config = {"version": 2, "reshard_after_forward": True, "state_dict_type": "FULL_STATE_DICT", **checkpointing}
    return {"fsdp": True, "fsdp_config": config, option: False}


class LengthSampler(Sampler):  # type: ignore[misc]  # torch is not typed for us
    """The order of :func:`o1lab.train.trainer.batching.grouped`, which differs from epoch to epoch."""

    def __init__(self, lengths: Sequence[int], batch: int, seed: int) -> None:
        self._lengths, self._batch, self._seed = lengths, batch, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        return iter(grouped(self._lengths, self._batch, seed=self._seed, epoch=self._epoch))


class Trainer(VariantTrainer, SFTTrainer):  # type: ignore[misc]  # trl is not typed for us
    """TRL's trainer with our batches, and with figures of held-out rows that do not depend on the batch size.

    TRL and transformers average the means of batches: a batch of few tokens counts as much as one of many. Here the
    mean of each batch counts by its trained tokens.

    Attributes:
        rows: the training rows before they are packed.
        grouped: whether batches have rows of similar length.
    """

    rows: Dataset
    grouped = False
    _evaluated: tuple[list[float], list[int]] = ([], [])
    _lengths: Sequence[int] = ()

    def use_rows(self, rows: Dataset, recipe: Recipe) -> None:
        """Train on these rows, packed or grouped by length as the recipe says.

        Raises:
            RefusedError: packed rows would attend to each other in this model (code ``packing``).
        """
        self.rows = self.train_dataset = rows
        if not len(rows):
            return
        self._lengths = [len(ids) for ids in rows["input_ids"]]
        if recipe.packing:
            if not packs_apart(self.model, self.data_collator):
                raise not_apart("This base")
            rows = rows.select_columns(["input_ids", "labels"])
            self.train_dataset = pack_dataset(rows, max(recipe.max_length, *self._lengths), "bfd")
        elif recipe.length_grouping and recipe.batch_size > 1:
            self.grouped = padding(self._lengths, recipe.batch_size, seed=recipe.seed).is_worth_it

    def get_train_dataloader(self) -> Any:
        """Return the loader of batches; its sampler gets the epoch also after a resume within an epoch.

        Neither accelerate nor transformers reaches the sampler of several processes once batches are skipped.
        """
        loader = super().get_train_dataloader()
        if isinstance(shard := getattr(loader, "batch_sampler", None), BatchSamplerShard):
            shard.sampler = shard.batch_sampler.sampler
        return loader

    def _get_train_sampler(self, *args: Any) -> Any:
        if not self.grouped:
            return super()._get_train_sampler(*args)
        return LengthSampler(self._lengths, self.args.train_batch_size * self.args.world_size, self.args.seed)

    def evaluate(self, *args: Any, **options: Any) -> Any:
        self._evaluated = ([], [])
        return super().evaluate(*args, **options)

    def prediction_step(self, model: Any, inputs: Any, *args: Any, **options: Any) -> Any:
        loss, logits, labels = super().prediction_step(model, inputs, *args, **options)
        losses, weights = self._evaluated
        losses.append(float(loss))
        weights.append(int((inputs["labels"][:, 1:] != IGNORED).sum()))
        return loss, logits, labels

    def log(self, logs: dict[str, float], *args: Any, **options: Any) -> None:
        losses, weights = self._evaluated
        if "eval_loss" in logs:
            losses, weights = over_processes(self.accelerator, losses, weights)
        if "eval_loss" in logs and any(weights):
            logs["eval_loss"] = _weighted(losses, weights)
            for name, values in self._metrics["eval"].items():  # TRL's own means, one for each batch
                if len(values) == len(weights) and name != "num_tokens":
                    self._metrics["eval"][name] = [_weighted(values, weights)]
        super().log(logs, *args, **options)


def _weighted(values: Sequence[float], weights: Sequence[int]) -> float:
    """Return the mean of ``values`` by ``weights``."""
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)


def packs_apart(model: Any, collator: Any) -> bool:
    """Return whether the model computes a packed row as it computes the row alone.

    Args:
        model: the model as it is trained.
        collator: the collator of packed rows.
    """
    size = int(model.get_input_embeddings().num_embeddings)
    rows = [[(start + at) % size for at in range(_ROW)] for start in (size // 3, size // 2)]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            together = _logits(model, collator, rows)
            alone = torch.cat([_logits(model, collator, [row]) for row in rows])
    finally:
        model.train(was_training)
    return bool((together - alone).abs().max() <= _APART * alone.abs().max())


def not_apart(model: str) -> RefusedError:
    """The error of a model whose attention cannot keep packed rows apart."""
    return RefusedError(
        f"{model} cannot keep packed rows apart: each would see the rows before it.",
        "Turn packing off; length_grouping saves padding as well.",
        code="packing",
    )


def _logits(model: Any, collator: Any, rows: list[list[int]]) -> torch.Tensor:
    batch = collator([{"input_ids": row, "labels": row} for row in rows])
    inputs = {name: value.to(model.device) if torch.is_tensor(value) else value for name, value in batch.items()}
    inputs.pop("labels")
    return model(**inputs, use_cache=False).logits[0].float()
