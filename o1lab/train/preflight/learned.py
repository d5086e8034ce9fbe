"""Checks of what a run learns, in tokens: ends of turns, thoughts, and the prompt before the first trained token.

Only the preflight process imports this module, because it imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from o1lab.models import prompts
from o1lab.train.preflight.report import Preflight
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.rows import TrainingRow
from o1lab.train.trainer.held_out import IGNORED
from o1lab.train.trainer.tensors import asked, thought_survives, trains_end_of_turn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_THINKING_OPTIONS = ("enable_thinking", "thinking", "enable_reasoning", "reasoning")
"""Names that families of models use for the option which turns thoughts on."""


def check(
    found: Preflight,
    train: Any,
    rows: Sequence[TrainingRow],
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerBase,
    *,
    ends: set[int],
) -> None:
    """Check what the trainer's rows teach.

    Args:
        found: gets figures, problems and warnings.
        train: the trainer's rows in tokens: ``input_ids`` and ``labels``.
        rows: the same rows as text.
        recipe: the recipe.
        tokenizer: the tokenizer of the trainer.
        ends: the ids of the tokens that end a turn.
    """
    _check_ends(found, train, rows, ends, tokenizer)
    _check_truncated(found, recipe)
    _check_thoughts(found, train, rows, recipe, tokenizer)
    _check_prompts(found, train, rows, recipe, tokenizer)


def _check_ends(
    found: Preflight, train: Any, rows: Sequence[TrainingRow], ends: set[int], tokenizer: PreTrainedTokenizerBase
) -> None:
    """Check that whole rows train the end of the turn, and report the rows that were cut off."""
    found.end_of_turn = ", ".join(str(tokenizer.convert_ids_to_tokens(token)) for token in sorted(ends))
    whole = [not row.cut_off for row in rows]
    without = sum(
        is_whole and not trains_end_of_turn(ids, labels, ends)
        for is_whole, ids, labels in zip(whole, train["input_ids"], train["labels"], strict=True)
    )
    # Truncated rows have no end on purpose; over-long rows with `refuse` are complete.
    without -= min(found.truncated_rows, without)
    found.end_of_turn_trained = without == 0 and any(whole)
    if without:
        at = next(i for i, row in enumerate(rows) if not row.cut_off)
        written = _ending(train["labels"][at], tokenizer)
        found.problem(
            "no_end_of_turn",
            f"{without} of {len(train)} rows do not train the end of the turn ({found.end_of_turn or 'none known'}), so"
            " the student does not learn to stop.",
            f"The chat template ends the turn with {written}: set eos_token to it, `--set 'eos_token={written}'`."
            if written
            else "Name a chat template in chat_template that ends the assistant's turn with the end-of-turn token.",
        )
    if len(rows) > sum(whole):
        found.problem(
            "cut_off",
            f"{len(rows) - sum(whole)} of {len(rows)} rows were cut off before their end.",
            "Leave them out: create the dataset with `complete:yes` in its filter. `--accept cut_off` trains them as"
            " they are, without an end that nobody wrote.",
        )


def _ending(labels: list[int], tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the last special token that a row trains near its end; empty if there is none."""
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    last = next((token for token in reversed(labels[-3:]) if token in special), None)
    return "" if last is None else str(tokenizer.convert_ids_to_tokens(last))


def _check_truncated(found: Preflight, recipe: Recipe) -> None:
    if found.truncated_rows:
        found.warning(
            "truncated",
            f"{found.truncated_rows} rows are truncated at {recipe.max_length} tokens and do not teach how to end.",
            "Raise max_length to keep them complete.",
        )


def _check_thoughts(
    found: Preflight, train: Any, rows: Sequence[TrainingRow], recipe: Recipe, tokenizer: PreTrainedTokenizerBase
) -> None:
    thinking = [i for i, row in enumerate(rows) if _teaches_thought(row, recipe)]
    if not thinking or found.truncated_rows:
        return
    trained, read = train["labels"], train["input_ids"]
    partly = {i for i in thinking if recipe.teacher_only_loss and rows[i].given}  # their labels lack what is given
    changed = sum(not thought_survives(rows[i], (read if i in partly else trained)[i], tokenizer) for i in thinking)
    found.thought_survives = changed == 0
    if changed:
        found.problem(
            "thought_stripped",
            f"The base's tokenizer changes the text of {changed} of {len(thinking)} thoughts.",
            "Use a base whose tokenizer restores every text.",
        )


def _check_prompts(
    found: Preflight, train: Any, rows: Sequence[TrainingRow], recipe: Recipe, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Compare the tokens before the first trained one with those that the student is asked with."""
    options = recipe.prompt
    found.system_prompt = options.system_prompt
    found.template_system = "" if options.system_prompt else prompts.template_system(tokenizer, options)
    differ = closed = 0
    for row, ids, labels in zip(rows, train["input_ids"], train["labels"], strict=True):
        prompt = prompts.render(tokenizer, asked(row, recipe), options)
        before = prompts.encode(tokenizer, prompt)
        first = next((i for i, label in enumerate(labels) if label != IGNORED), len(labels))
        if recipe.assistant_only_loss:  # earlier turns are trained as well
            first = max(first, len(before))
        elif recipe.teacher_only_loss and row.given:  # the beginning of the response is not trained
            first = min(first, len(before))
        differ += ids[:first] != before
        closed += _teaches_thought(row, recipe) and prompts.closes_thought(prompt)
    if differ:
        found.problem(
            "prompt_differs",
            f"{differ} of {len(rows)} rows are trained after other tokens than the student is asked with.",
            "Name another template in chat_template.",
        )
    if closed:
        found.problem(
            "closed_thought",
            f"The chat template closes an empty thought before the answer, but {closed} of {len(rows)} rows have a"
            " thought: the student would think after </think>.",
            _opening_option(rows, recipe, tokenizer),
        )
    for name in options.chat_template_kwargs:
        if name not in str(tokenizer.get_chat_template()):
            found.warning(
                "unknown_template_option",
                f"The chat template does not use {name}, which chat_template_kwargs sets.",
                "Check its spelling.",
            )
    _check_date(found, rows, recipe, tokenizer)


def _check_date(
    found: Preflight, rows: Sequence[TrainingRow], recipe: Recipe, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Report a date that the template calls today's. Templates may write it only without a system message."""
    shapes = {tuple(turn["role"] for turn in turns): turns for row in rows for turns in [asked(row, recipe)]}
    dates = {prompts.template_date(tokenizer, turns, recipe.prompt) for turns in shapes.values()} - {""}
    fixed = "`--set 'chat_template_kwargs={date_string: 26 Jul 2024}'`"
    if prompts.NOW in dates:
        found.warning(
            "dated_prompt",
            "The chat template writes today's date into the prompt, which differs on other days.",
            f"Fix it where the template allows: {fixed}.",
        )
    elif dates:
        found.warning(
            "dated_prompt",
            f"The chat template says that today is {min(dates)}; some servers write the current date there.",
            f"Choose the date yourself where the template allows, and the student is asked with the same: {fixed}.",
        )


def _teaches_thought(row: TrainingRow, recipe: Recipe) -> bool:
    return bool(row.thought.strip()) and (recipe.phase == 2 or bool(row.replay))


def _opening_option(rows: Sequence[TrainingRow], recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the hint that names the template option which leaves the thought to the student."""
    for name in _THINKING_OPTIONS:
        options = {**recipe.chat_template_kwargs, name: True}
        changed = recipe.model_copy(update={"chat_template_kwargs": options})
        if not prompts.closes_thought(prompts.render(tokenizer, asked(rows[0], changed), changed.prompt)):
            return f"Set the template's option: `--set 'chat_template_kwargs={name}=true'`."
    return "Name another template in chat_template, or train phase 1; `--accept closed_thought` trains it as it is."
