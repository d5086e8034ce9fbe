"""Build the trainer from rows: tokenisation and length policy, shared by preflight and training.

Only the worker and preflight import this module, because it imports torch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from peft import LoraConfig
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, TrainerCallback
from trl import SFTConfig, SFTTrainer

from o1lab.errors import RefusedError
from o1lab.models.library_errors import explained
from o1lab.train.launch import TrainingRow
from o1lab.train.recipe import Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

IGNORED = -100
# A chat template may close the turn with a line break after the end-of-turn token.
_END_WITHIN = 3


@dataclass
class Lengths:
    """Row lengths in tokens before the length policy, and the numbers of over-long, dropped and truncated rows."""

    lengths: list[int] = field(default_factory=list)
    over: int = 0
    dropped: int = 0
    truncated: int = 0


def read_rows(path: Path) -> list[TrainingRow]:
    """Read the rows of data.jsonl.

    Raises:
        RefusedError: there are none (code ``empty_dataset``).
    """
    with path.open(encoding="utf-8", errors="surrogatepass") as file:
        rows = [TrainingRow(**json.loads(line)) for line in file]
    if not rows:
        raise RefusedError(
            "The dataset has no rows.", "Accept some traces and create a dataset from them.", code="empty_dataset"
        )
    return rows


def split(rows: Sequence[TrainingRow], recipe: Recipe) -> tuple[list[TrainingRow], list[TrainingRow]]:
    """Split the rows into training rows and held-out rows, at random with the recipe's seed.

    Raises:
        RefusedError: no training row would remain (code ``empty_dataset``).
    """
    import random

    if recipe.eval_rows >= len(rows):
        raise RefusedError(
            f"Holding out {recipe.eval_rows} of {len(rows)} rows leaves none for training.",
            "Lower eval_rows.",
            code="empty_dataset",
        )
    draw = random.Random(recipe.seed)  # noqa: S311 - not used for secrets
    held_out = set(draw.sample(range(len(rows)), recipe.eval_rows))
    train = [row for i, row in enumerate(rows) if i not in held_out]
    return train, [row for i, row in enumerate(rows) if i in held_out]


def completion(row: TrainingRow, phase: int) -> str:
    """Return the text that the student learns to write: the solution, in phase 2 after the thought in think tags."""
    if phase == 1 or not row.thought.strip():
        return row.solution
    return f"<think>\n{row.thought.strip()}\n</think>\n\n{row.solution}"


def messages(prompt: str, system_prompt: str | None) -> list[dict[str, str]]:
    """Return the conversation up to the student's turn."""
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    return [*system, {"role": "user", "content": prompt}]


def as_dataset(rows: Sequence[TrainingRow], recipe: Recipe) -> Dataset:
    """Return a prompt/completion dataset in the format of TRL."""
    return Dataset.from_list(
        [
            {
                "prompt": messages(_sound(row.prompt), recipe.system_prompt),
                "completion": [{"role": "assistant", "content": _sound(completion(row, recipe.phase))}],
                "trace_id": row.trace_id,
            }
            for row in rows
        ]
    )


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load the base's tokenizer.

    Raises:
        LabError: it cannot be loaded.
        RefusedError: it has no chat template (code ``no_chat_template``).
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        raise explained(error, f"The tokenizer of {folder} cannot be loaded", "Fetch the model again.") from error
    if not tokenizer.chat_template:
        raise RefusedError(
            f"{folder.name} has no chat template, which training needs.",
            "Use an instruction-tuned base, or put a chat_template.jinja into its folder.",
            code="no_chat_template",
        )
    return tokenizer


def stand_in(tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """Return a tiny model for preflight, because preparing the rows needs the tokenizer but not the weights."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config)


def trainer_config(recipe: Recipe, output: Path, *, cpu: bool, bf16: bool) -> SFTConfig:
    """Return the recipe in the format of TRL. Our callback triggers saving and evaluation, not TRL's strategies."""
    length = {"max_steps": recipe.steps} if recipe.steps is not None else {"num_train_epochs": recipe.epochs}
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
        gradient_checkpointing=recipe.gradient_checkpointing,
        bf16=bf16 and not cpu,  # on a CPU the weights themselves are bfloat16
        use_cpu=cpu,
        dataloader_pin_memory=not cpu,
        report_to=[],
        disable_tqdm=True,
        packing=False,
        completion_only_loss=True,
        max_length=None,  # TRL would truncate silently; see `apply_length_policy`
        **length,
    )


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
) -> tuple[SFTTrainer, Lengths]:
    """Build the trainer with its tokenised datasets.

    Args:
        model: the base, or :func:`stand_in` for preflight.
        tokenizer: the base's tokenizer.
        recipe: the recipe.
        rows: all rows of the dataset.
        output: the folder where the trainer saves checkpoints.
        cpu: whether to train on the CPU.
        bf16: whether the weights are bfloat16.
        adapter: the adapter to add; None for preflight, and if ``model`` has one already.
        callbacks: callbacks of the trainer.

    Returns:
        The trainer, and the row lengths with the effect of the length policy.

    Raises:
        RefusedError: no training row would remain.
    """
    train, held_out = split(rows, recipe)
    trainer = SFTTrainer(
        model=model,
        args=trainer_config(recipe, output, cpu=cpu, bf16=bf16),
        train_dataset=as_dataset(train, recipe),
        eval_dataset=as_dataset(held_out, recipe) if held_out else None,
        processing_class=tokenizer,
        peft_config=adapter,
        callbacks=list(callbacks),
    )
    if hasattr(trainer.model, "peft_config"):  # the weights of an embedding with an adapter are those of the base
        trainer.model.save_pretrained = partial(trainer.model.save_pretrained, save_embedding_layers=False)
    found = Lengths()
    trainer.train_dataset = apply_length_policy(trainer.train_dataset, recipe, found)
    if trainer.eval_dataset is not None:
        trainer.eval_dataset = apply_length_policy(trainer.eval_dataset, recipe, found)
    return trainer, found


def apply_length_policy(dataset: Dataset, recipe: Recipe, found: Lengths) -> Dataset:
    """Drop or truncate the rows over the recipe's ``max_length``.

    With ``refuse`` the rows stay, and the caller must call :func:`refuse_over_length` before training.

    Args:
        dataset: tokenised rows.
        recipe: has the policy in ``over_length``.
        found: gets the lengths and counts.
    """
    limit = recipe.max_length
    lengths = [len(ids) for ids in dataset["input_ids"]]
    found.lengths += lengths
    over = sum(length > limit for length in lengths)
    found.over += over
    if not over or recipe.over_length == "refuse":
        return dataset
    if recipe.over_length == "truncate":
        dataset = dataset.map(lambda row: {"input_ids": row["input_ids"][:limit], "labels": row["labels"][:limit]})
        kept = dataset.filter(lambda row: any(label != IGNORED for label in row["labels"]))
        found.dropped += len(dataset) - len(kept)
        found.truncated += over - (len(dataset) - len(kept))
        return kept
    found.dropped += over
    return dataset.filter(lambda row: len(row["input_ids"]) <= limit)


def refuse_over_length(found: Lengths, recipe: Recipe) -> None:
    """Refuse to train if rows are too long and the recipe's policy is ``refuse``.

    Raises:
        RefusedError: they are (code ``over_length``).
    """
    if found.over and recipe.over_length == "refuse":
        raise RefusedError(
            f"{found.over} of {len(found.lengths)} rows are longer than max_length {recipe.max_length}"
            f" (the longest has {max(found.lengths)} tokens).",
            "Raise max_length, or choose over_length drop or truncate.",
            code="over_length",
        )


def end_of_turn_ids(model_config: Any, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Return the token ids that end a turn: those of the tokenizer and of the model's generation settings."""
    found: set[int] = set()
    for source in (tokenizer, model_config):
        value = getattr(source, "eos_token_id", None)
        found |= set(value if isinstance(value, list | tuple) else [] if value is None else [value])
    return found


def trains_end_of_turn(input_ids: Sequence[int], labels: Sequence[int], ends: set[int]) -> bool:
    """Whether the loss of a row includes the end of the turn, without which a student never learns to stop."""
    tail = list(zip(input_ids, labels, strict=True))[-_END_WITHIN:]
    return any(token in ends and label != IGNORED for token, label in tail)


def thought_survives(row: TrainingRow, recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the chat template keeps the thought; the templates of some reasoning models remove it."""
    start = messages(_sound(row.prompt), recipe.system_prompt)
    answer = {"role": "assistant", "content": _sound(completion(row, recipe.phase))}
    rendered = str(tokenizer.apply_chat_template([*start, answer], tokenize=False))
    return _sound(row.thought).strip() in rendered


def _sound(text: str) -> str:
    """Replace lone surrogates, which cannot be tokenised."""
    return text.encode("utf-8", "replace").decode("utf-8")
