"""Rows in tokens: tokenisation and length policy, shared by preflight and training.

Only the worker and preflight import this module, because it imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from o1lab.errors import RefusedError
from o1lab.models.library_errors import explained
from o1lab.models.prompts import TrainingTokens, Written, assistant_mask, placed_tokens, training_tokens
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.rows import TrainingRow
from o1lab.train.trainer.held_out import IGNORED
from store.records import scrubbed

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# A chat template may close the turn with a line break after the end-of-turn token.
_END_WITHIN = 3


@dataclass
class Lengths:
    """Row lengths in tokens before the length policy, and the numbers of over-long, dropped and truncated rows."""

    lengths: list[int] = field(default_factory=list)
    over: int = 0
    dropped: int = 0
    truncated: int = 0


def split(rows: Sequence[TrainingRow], recipe: Recipe) -> tuple[list[TrainingRow], list[TrainingRow]]:
    """Split the rows into training rows and held-out rows, at random with the recipe's seed.

    All rows of a problem are on the same side. At most ``eval_rows`` rows are held out, more only where every problem
    has more. Replay rows are never held out, so that ``eval_loss`` means the same with and without them.

    Raises:
        RefusedError: no training row would remain (code ``empty_dataset``).
    """
    import random

    replayed = [row for row in rows if row.replay]
    rows = [row for row in rows if not row.replay]
    problems: dict[str, list[TrainingRow]] = {}
    for row in rows:
        problems.setdefault(row.prompt, []).append(row)
    if recipe.eval_rows >= len(rows) or (recipe.eval_rows and len(problems) == 1):
        raise RefusedError(
            f"Holding out {recipe.eval_rows} of {len(rows)} rows leaves none for training."
            if recipe.eval_rows >= len(rows)
            else f"All {len(rows)} rows are about one problem, so none of them can be held out.",
            "Lower eval_rows.",
            code="empty_dataset",
        )
    draw = random.Random(recipe.seed)  # noqa: S311 - not used for secrets
    names = list(problems)
    held_out: set[str] = set()
    number = 0
    for at in draw.sample(range(len(names)), min(recipe.eval_rows, len(names))):
        if number + len(problems[names[at]]) <= recipe.eval_rows:
            held_out.add(names[at])
            number += len(problems[names[at]])
    if recipe.eval_rows and not held_out:
        held_out.add(min(names, key=lambda name: len(problems[name])))
    train = [row for row in rows if row.prompt not in held_out]
    return [*train, *replayed], [row for row in rows if row.prompt in held_out]


def as_dataset(
    rows: Sequence[TrainingRow],
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerBase,
    on_row: Callable[[], None] = lambda: None,
) -> Dataset:
    """Return the rows in tokens: ``input_ids`` and ``labels``, which have only the student's turns.

    That is its last turn; with ``assistant_only_loss`` also the earlier turns of the assistant; with
    ``teacher_only_loss`` without what other models wrote before the teacher. ``on_row`` is called after each row.

    Raises:
        RefusedError: the chat template refuses a conversation (code ``template``), or does not mark the turns of the
            assistant (code ``generation_marks``).
    """
    found = []
    for row in rows:
        thought = row.thought if row.replay or recipe.phase == 2 else ""  # the base's answers are kept as they are
        response = Written(scrubbed(thought), scrubbed(row.solution), row.cut_off)
        tokens, written = _tokens(tokenizer, row, recipe, response)
        learned = [False] * len(tokens.prompt)
        if recipe.assistant_only_loss:
            learned = assistant_mask(tokenizer, asked(row, recipe), recipe.prompt, tokens.prompt)
        before = [token if is_learned else IGNORED for token, is_learned in zip(tokens.prompt, learned, strict=True)]
        labels = before + written
        found.append({"input_ids": tokens.prompt + tokens.completion, "labels": labels, "trace_id": row.trace_id})
        on_row()
    return Dataset.from_list(found)


def _tokens(
    tokenizer: PreTrainedTokenizerBase, row: TrainingRow, recipe: Recipe, response: Written
) -> tuple[TrainingTokens, list[int]]:
    """Return the tokens of a row, and the labels of its completion."""
    if not (recipe.teacher_only_loss and row.given):
        tokens = training_tokens(tokenizer, asked(row, recipe), recipe.prompt, response)
        return tokens, tokens.completion
    tokens, places = placed_tokens(tokenizer, asked(row, recipe), recipe.prompt, response)
    labels = [
        IGNORED if any(part == place.part and start <= place.start < end for part, start, end in row.given) else token
        for token, place in zip(tokens.completion, places, strict=True)
    ]
    return tokens, labels


def asked(row: TrainingRow, recipe: Recipe) -> list[dict[str, str]]:
    """Return the conversation of a row up to the student's turn, without lone surrogates."""
    return [{"role": turn["role"], "content": scrubbed(turn["content"])} for turn in row.asked(recipe)]


def load_tokenizer(folder: Path, recipe: Recipe) -> PreTrainedTokenizerBase:
    """Load the base's tokenizer, with the chat template and the end-of-turn token of the recipe.

    Raises:
        LabError: it cannot be loaded.
        RefusedError: it has no chat template (code ``no_chat_template``) or lacks the recipe's end-of-turn token (code
            ``eos_token``).
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        raise explained(error, f"The tokenizer of {folder} cannot be loaded", "Fetch the model again.") from error
    if recipe.chat_template:
        tokenizer.chat_template = recipe.chat_template  # saved with the checkpoints
    if not tokenizer.chat_template:
        raise RefusedError(
            f"{folder.name} has no chat template, which training needs.",
            "Use an instruction-tuned base, or name a template file in chat_template.",
            code="no_chat_template",
        )
    if recipe.eos_token:
        if recipe.eos_token not in tokenizer.get_vocab():
            raise RefusedError(
                f"The tokenizer of {folder.name} has no token {recipe.eos_token}.",
                "Choose a token of its vocabulary in eos_token.",
                code="eos_token",
            )
        tokenizer.eos_token = recipe.eos_token
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


def thought_survives(row: TrainingRow, labels: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the trained tokens contain the thought; a tokenizer may change its text."""
    trained = [label for label in labels if label != IGNORED]
    text = tokenizer.decode(trained, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return scrubbed(row.thought).strip() in text
