"""From rows to the trainer: the one place where a row becomes tokens, for preflight and for training alike.

Imported by the worker and by preflight only: it brings torch with it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from peft import LoraConfig
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, TrainerCallback
from trl import SFTConfig, SFTTrainer

from o1lab.errors import LabError, RefusedError
from o1lab.train.launch import TrainingRow
from o1lab.train.recipe import Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

IGNORED = -100
# A chat template may close the turn with a line break after the end-of-turn token.
_END_WITHIN = 3


@dataclass
class Lengths:
    """Row lengths in tokens before the length policy, and what the policy did."""

    lengths: list[int] = field(default_factory=list)
    over: int = 0
    dropped: int = 0
    truncated: int = 0


def read_rows(path: Path) -> list[TrainingRow]:
    """The rows of data.jsonl.

    Raises:
        RefusedError: there are none (code ``empty_dataset``).
    """
    with path.open(encoding="utf-8", errors="surrogatepass") as file:
        rows = [TrainingRow(**json.loads(line)) for line in file]
    if not rows:
        raise RefusedError(
            "The dataset has no rows.", "Accept some traces and make a dataset of them.", code="empty_dataset"
        )
    return rows


def split(rows: Sequence[TrainingRow], recipe: Recipe) -> tuple[list[TrainingRow], list[TrainingRow]]:
    """Rows to learn and rows held out, chosen by the recipe's seed.

    Raises:
        RefusedError: nothing would be left to learn (code ``empty_dataset``).
    """
    import random

    if recipe.eval_rows >= len(rows):
        raise RefusedError(
            f"Holding out {recipe.eval_rows} of {len(rows)} rows leaves none to learn.",
            "Lower eval_rows.",
            code="empty_dataset",
        )
    held = set(random.Random(recipe.seed).sample(range(len(rows)), recipe.eval_rows))  # noqa: S311 - a draw, no secret
    return [row for i, row in enumerate(rows) if i not in held], [row for i, row in enumerate(rows) if i in held]


def completion(row: TrainingRow, phase: int) -> str:
    """What the student is taught to write: in phase 2 the thought in its marks and then the solution."""
    if phase == 1 or not row.thought.strip():
        return row.solution
    return f"<think>\n{row.thought.strip()}\n</think>\n\n{row.solution}"


def messages(prompt: str, system_prompt: str | None) -> list[dict[str, str]]:
    """The conversation up to the student's turn."""
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    return [*system, {"role": "user", "content": prompt}]


def as_dataset(rows: Sequence[TrainingRow], recipe: Recipe) -> Dataset:
    """Prompt/completion rows as TRL takes them."""
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
    """The base's tokenizer.

    Raises:
        RefusedError: it has no chat template (code ``no_chat_template``).
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise LabError(
            f"The tokenizer of {folder} cannot be loaded: {_first_line(error)}.", "Fetch the model again."
        ) from error
    if not tokenizer.chat_template:
        raise RefusedError(
            f"{folder.name} has no chat template, and a student is talked to through one.",
            "Take an instruction-tuned base, or put a chat_template.jinja into its folder.",
            code="no_chat_template",
        )
    return tokenizer


def stand_in(tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """A model of a few weights for preflight: preparing the rows asks the tokenizer, never the weights."""
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


def lora_config(recipe: Recipe) -> LoraConfig:
    return LoraConfig(
        r=recipe.lora_r,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=recipe.targets,
        bias="none",
        task_type="CAUSAL_LM",
    )


def trainer_config(recipe: Recipe, output: Path, *, cpu: bool, bf16: bool) -> SFTConfig:
    """The recipe in TRL's words. Saving and evaluating are driven by our callback, not by strategies."""
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
        logging_nan_inf_filter=False,  # a NaN must be seen, not averaged away
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
        max_length=None,  # TRL would cut without a word; lengths are our decision, see `apply_length_policy`
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
    adapt: bool = True,
    callbacks: Sequence[TrainerCallback] = (),
) -> tuple[SFTTrainer, Lengths]:
    """The trainer with its tensors ready, and what was found and done about row lengths.

    ``adapt``: put a fresh adapter on ``model``; False when it carries one already.

    Raises:
        RefusedError: the length policy refuses, or nothing is left to learn.
    """
    learn, held = split(rows, recipe)
    trainer = SFTTrainer(
        model=model,
        args=trainer_config(recipe, output, cpu=cpu, bf16=bf16),
        train_dataset=as_dataset(learn, recipe),
        eval_dataset=as_dataset(held, recipe) if held else None,
        processing_class=tokenizer,
        peft_config=lora_config(recipe) if adapt else None,
        callbacks=list(callbacks),
    )
    found = Lengths()
    trainer.train_dataset = apply_length_policy(trainer.train_dataset, recipe, found)
    if trainer.eval_dataset is not None:
        trainer.eval_dataset = apply_length_policy(trainer.eval_dataset, recipe, found)
    return trainer, found


def apply_length_policy(dataset: Dataset, recipe: Recipe, found: Lengths) -> Dataset:
    """``dataset`` without rows over the recipe's ``max_length``, or with them cut; counts go to ``found``.

    Under ``refuse`` the rows stay: whoever trains must call :func:`refuse_over_length`.
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
    """Raises:
    RefusedError: rows are too long and the recipe says to refuse.
    """
    if found.over and recipe.over_length == "refuse":
        raise RefusedError(
            f"{found.over} of {len(found.lengths)} rows are longer than max_length {recipe.max_length}"
            f" (the longest has {max(found.lengths)} tokens).",
            "Raise max_length, or choose over_length drop or truncate.",
            code="over_length",
        )


def end_of_turn_ids(model_config: Any, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The tokens that end a turn: the tokenizer's, and those the model's generation stops at."""
    found: set[int] = set()
    for source in (tokenizer, model_config):
        value = getattr(source, "eos_token_id", None)
        found |= set(value if isinstance(value, list | tuple) else [] if value is None else [value])
    return found


def trains_end_of_turn(input_ids: Sequence[int], labels: Sequence[int], ends: set[int]) -> bool:
    """Whether a row's loss covers the end of the turn: without it a student never learns to stop."""
    tail = list(zip(input_ids, labels, strict=True))[-_END_WITHIN:]
    return any(token in ends and label != IGNORED for token, label in tail)


def thought_survives(row: TrainingRow, recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the chat template keeps the thought (those of some reasoning models strip it)."""
    start = messages(_sound(row.prompt), recipe.system_prompt)
    answer = {"role": "assistant", "content": _sound(completion(row, recipe.phase))}
    rendered = str(tokenizer.apply_chat_template([*start, answer], tokenize=False))
    return _sound(row.thought).strip() in rendered


def _sound(text: str) -> str:
    """Lone surrogates cannot be tokenised."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
