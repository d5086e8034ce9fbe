"""Preflight of preference training: the reference, its memory, and harmful settings. Imports torch."""

from __future__ import annotations

from typing import Any

from o1lab.train.preflight.report import Preflight
from o1lab.train.recipes.objective import PREFERENCE_RATE
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.trainer.preference import answers

_HIGHEST_RATE = 1e-4
_BALANCED = (0.99, 1.34)
"""How much more the better answers may weigh in KTO: 1 to 1.33 (Ethayarajh et al. 2024, arXiv 2402.01306, eq. 8)."""


def check(found: Preflight, trainer: Any, recipe: Recipe) -> None:
    """Report what preference training does beyond the settings of a recipe.

    Args:
        found: gets the reference, the trained tokens and the warnings.
        trainer: the trainer.
        recipe: the recipe.
    """
    found.trained_tokens = sum(len(answer) for _, answer in answers(trainer.train_dataset))
    found.reference = f"the adapter of {recipe.init_from}" if recipe.init_from else f"the base {recipe.base}"
    if not recipe.init_from:
        found.warning(
            "from_the_base",
            "The run starts from the base, and preferences only change how often it writes what it can write already.",
            "Train on chains first, and start from that run: --init-from RUN.",
        )
    if recipe.learning_rate > _HIGHEST_RATE:
        found.warning(
            "learning_rate",
            f"The learning rate {recipe.learning_rate:g} is high for preference training, which may spoil all answers.",
            f"Usual values are 5e-6 to 5e-5: learning_rate {PREFERENCE_RATE:g}.",
        )
    if recipe.lora_dropout:
        found.warning(
            "dropout",
            f"The dropout of the adapter ({recipe.lora_dropout:g}) is off in preference training, as in the reference.",
            "The run trains without it.",
        )
    if recipe.objective == "kto":
        _check_balance(found, trainer.train_dataset["label"], recipe)


def memory_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe for the estimate of memory: a batch of DPO has two sequences for each row.

    The reference adds no model: its pass keeps nothing for a backward pass.
    """
    return recipe.model_copy(update={"batch_size": 2 * recipe.batch_size}) if recipe.objective == "dpo" else recipe


def _check_balance(found: Preflight, labels: list[bool], recipe: Recipe) -> None:
    better = sum(labels)
    worse = len(labels) - better
    weights = better * recipe.desirable_weight, worse * recipe.undesirable_weight
    if _BALANCED[0] * weights[1] <= weights[0] <= _BALANCED[1] * weights[1]:
        return
    found.warning(
        "kto_balance",
        f"The {better:,} better answers weigh {weights[0]:g} in all, the {worse:,} worse ones {weights[1]:g}; they"
        " should weigh the same, or the better ones up to a third more.",
        f"Set desirable_weight to {weights[1] / max(better, 1):.3g}.",
    )
