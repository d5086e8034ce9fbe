"""Preference training with TRL: DPO on pairs, and KTO on their better and worse answers. Imports torch.

The tokens are those of supervised training: the prompt that the student is asked with, and the answer with the end of
its turn. The reference is what the run starts from: the base, by switching the adapter off, or the adapter of
``init_from``, of which TRL keeps a frozen copy. A second model is never loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig

from o1lab.errors import RefusedError
from o1lab.models.prompts import Written, training_tokens
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.rows import TrainingRow
from o1lab.train.trainer.held_out import IGNORED
from o1lab.train.trainer.started import VariantTrainer
from o1lab.train.trainer.tensors import Lengths, asked
from store.batches import batched
from store.records import scrubbed

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

REFERENCE = "ref"
"""The name that TRL gives the frozen copy of an adapter."""
_SHARED = (
    "output_dir", "per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps",
    "learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm", "optim", "seed", "data_seed",
    "logging_strategy", "logging_steps", "logging_nan_inf_filter", "save_strategy", "eval_strategy", "bf16", "use_cpu",
    "dataloader_pin_memory", "report_to", "trackio_space_id", "trackio_static_space_id", "disable_tqdm", "max_length",
    "project", "run_name", "max_steps", "num_train_epochs", "activation_checkpointing", "gradient_checkpointing",
)  # fmt: skip
"""The settings that mean the same as in supervised training."""


class _Tokenised:
    """A trainer whose rows are in tokens already."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset


class PairTrainer(_Tokenised, VariantTrainer, DPOTrainer):  # type: ignore[misc]  # trl is not typed for us
    """DPO on ``prompt_ids``, ``chosen_ids`` and ``rejected_ids``."""


class AnswerTrainer(_Tokenised, VariantTrainer, KTOTrainer):  # type: ignore[misc]  # trl is not typed for us
    """KTO on ``prompt_ids``, ``completion_ids``, ``KL_completion_ids`` and ``label``."""


def trainer_class(recipe: Recipe) -> type[PairTrainer | AnswerTrainer]:
    """Return the trainer of a recipe's objective."""
    return PairTrainer if recipe.objective == "dpo" else AnswerTrainer


def datasets(
    parts: Sequence[Sequence[TrainingRow]],
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerBase,
    found: Lengths,
    on_row: Callable[[], None],
) -> list[Dataset]:
    """Return training and held-out rows in tokens, after the length policy.

    Args:
        parts: the training rows and the held-out rows.
        recipe: the recipe.
        tokenizer: the tokenizer of the base.
        found: gets the lengths of the answers with their prompts, two for each pair, and the counts of the policy.
        on_row: called after each row that is tokenised.

    Raises:
        RefusedError: no training row would remain (code ``empty_dataset``), or the chat template refuses a row.
    """
    pairs = [_fitting(as_pairs(part, recipe, tokenizer, on_row), recipe, found) for part in parts]
    if not pairs[0] and recipe.over_length != "refuse":
        raise RefusedError("No pair is left for training.", "Raise max_length.", code="empty_dataset")
    return [Dataset.from_list(part if recipe.objective == "dpo" else _unpaired(part, recipe)) for part in pairs]


def as_pairs(
    rows: Sequence[TrainingRow],
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerBase,
    on_row: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """Return the pairs in tokens: ``prompt_ids``, ``chosen_ids``, ``rejected_ids`` and the trace of the better answer.

    Raises:
        RefusedError: the chat template refuses a conversation (code ``template``).
    """
    found = []
    for row in rows:
        if row.rejected is None:
            raise RefusedError("A row has no worse answer.", "Train on a dataset of pairs.", code="dataset_kind")
        messages = asked(row, recipe)
        better, worse = (
            training_tokens(
                tokenizer,
                messages,
                recipe.prompt,
                Written(scrubbed(one.thought if recipe.phase == 2 else ""), scrubbed(one.solution), one.cut_off),
            )
            for one in (row, row.rejected)
        )
        found.append(
            {
                "prompt_ids": better.prompt, "chosen_ids": better.completion, "rejected_ids": worse.completion,
                "trace_id": row.trace_id, "rejected_trace_id": row.rejected.trace_id,
            }
        )  # fmt: skip
        on_row()
    return found


def better_answers(pairs: Dataset) -> Dataset:
    """Return the better answers of the trainer's rows as rows of supervised training, for what preflight checks."""
    rows = [
        {
            "input_ids": row["prompt_ids"] + answer,
            "labels": [IGNORED] * len(row["prompt_ids"]) + answer,
            "trace_id": row["trace_id"],
        }
        for row in pairs
        if row.get("label", True)
        for answer in [row.get("chosen_ids") or row["completion_ids"]]
    ]
    return Dataset.from_list(rows)


def answers(rows: Dataset) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the prompt and the answer of each sequence of the trainer's rows, in tokens."""
    for row in rows:
        for name in ("chosen_ids", "rejected_ids", "completion_ids"):
            if name in row:
                yield row["prompt_ids"], row[name]


def pairs_of(pairs: Sequence[TrainingRow], rows: Dataset | None) -> int:
    """Count the pairs of which the trainer's rows have both answers."""
    kept = set(rows["trace_id"]) if rows is not None else set()
    return sum(one.rejected is not None and {one.trace_id, one.rejected.trace_id} <= kept for one in pairs)


def sequences(rows: Dataset) -> list[list[int]]:
    """Return the token ids of each sequence that the trainer of any objective passes to the model."""
    if "input_ids" in rows.column_names:
        return list(rows["input_ids"])
    return [prompt + answer for prompt, answer in answers(rows)]


def _fitting(pairs: list[dict[str, Any]], recipe: Recipe, found: Lengths) -> list[dict[str, Any]]:
    """Drop or truncate the pairs that have an answer over ``max_length``."""
    limit, kept = recipe.max_length, []
    for pair in pairs:
        asked_for = len(pair["prompt_ids"])
        lengths = [asked_for + len(pair[name]) for name in ("chosen_ids", "rejected_ids")]
        over = sum(length > limit for length in lengths)
        found.lengths += lengths
        found.over += over
        if over and recipe.over_length == "drop":
            found.dropped += 1
            continue
        if over and recipe.over_length == "truncate":
            room = max(limit - asked_for, 0)
            pair |= {name: pair[name][:room] for name in ("chosen_ids", "rejected_ids")}
            if not room or pair["chosen_ids"] == pair["rejected_ids"]:
                found.dropped += 1
                continue
            found.truncated += over
        kept.append(pair)
    return kept


def _unpaired(pairs: Sequence[dict[str, Any]], recipe: Recipe) -> list[dict[str, Any]]:
    """Return each better and each worse answer once, for KTO.

    The order is a draw with the recipe's seed, in which both sides are spread evenly: TRL keeps it, and estimates the
    divergence within a batch, from each answer after the prompt of the next row.
    """
    sides: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    known: set[tuple[bool, tuple[int, ...], tuple[int, ...]]] = set()
    for pair in pairs:
        for label, ids, trace in ((True, "chosen_ids", "trace_id"), (False, "rejected_ids", "rejected_trace_id")):
            key = (label, tuple(pair["prompt_ids"]), tuple(pair[ids]))
            if key not in known:
                known.add(key)
                sides[label].append(
                    {
                        "prompt_ids": pair["prompt_ids"], "completion_ids": pair[ids], "label": label,
                        "trace_id": pair[trace],
                    }
                )  # fmt: skip
    placed = []
    for label, rows in sides.items():
        Random(f"{recipe.seed} {label}").shuffle(rows)  # noqa: S311 - an order, no secret
        placed += [((at + 0.5) / len(rows), row) for at, row in enumerate(rows)]
    spread = [row for _, row in sorted(placed, key=lambda one: one[0])]
    for batch in batched(spread, recipe.batch_size):
        for row, before in zip(batch, [batch[-1], *batch[:-1]], strict=True):
            row["KL_completion_ids"] = before["completion_ids"]
    return spread


def preference_config(recipe: Recipe, plain: SFTConfig) -> DPOConfig | KTOConfig:
    """Return the settings of TRL for preference training, which switches dropout off.

    Args:
        recipe: the recipe.
        plain: its settings for supervised training.
    """
    kind = DPOConfig if recipe.objective == "dpo" else KTOConfig
    known = kind.__dataclass_fields__
    values = {name: getattr(plain, name) for name in _SHARED if name in known and hasattr(plain, name)}
    if kind is KTOConfig:
        values |= {"desirable_weight": recipe.desirable_weight, "undesirable_weight": recipe.undesirable_weight}
    return kind(**values, beta=recipe.beta)
