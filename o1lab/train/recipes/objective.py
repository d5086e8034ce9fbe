"""The objectives of training: what a run learns from, and the metrics that preference training adds. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from store.records import DatasetKind

Objective = Literal["sft", "dpo", "kto"]
PREFERENCE_RATE = 2e-5
"""A usual learning rate of an adapter in preference training."""

METRICS = {
    "rewards/margins": "reward_margin",
    "rewards/accuracies": "reward_accuracy",
    "rewards/chosen": "reward_chosen",
    "rewards/rejected": "reward_rejected",
    "logps/chosen": "logps_chosen",
    "logps/rejected": "logps_rejected",
    "kl": "kl",
}
"""The metrics of preference training, by their names in TRL."""


def kind_of(objective: str) -> DatasetKind:
    """Return the kind of dataset that an objective needs."""
    return "sft" if objective == "sft" else "pairs"


def prefers(values: Mapping[str, object]) -> bool:
    """Whether the values of a form ask for preference training."""
    return values.get("objective") in ("dpo", "kto")


def weighs(values: Mapping[str, object]) -> bool:
    """Whether the values of a form ask for KTO, which weighs the two kinds of answers."""
    return values.get("objective") == "kto"


def smallest_batch(objective: str) -> int:
    """Return the fewest rows that a batch of an objective can have; KTO compares the answers of a batch."""
    return 2 if objective == "kto" else 1


def measured(logs: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """Return the metrics of preference training in a log line of TRL; empty for another objective."""
    return {f"{prefix}{name}": logs[prefix + key] for key, name in METRICS.items() if prefix + key in logs}


def unfit(recipe: Mapping[str, Any]) -> str:
    """Return why a recipe cannot be used for preference training; empty if it can."""
    objective = recipe["objective"]
    if recipe["replay"]:
        return f"{objective} cannot replay: the base's own answers have no worse ones"
    if recipe["modules_to_save"]:
        return f"{objective} trains an adapter alone: leave modules_to_save empty"
    if recipe["neftune_alpha"]:
        return f"{objective} takes no neftune_alpha: the noise would differ between student and reference"
    if recipe["liger"]:
        return f"{objective} does not use the fused layers of liger: set liger to false"
    if recipe["processes"] > 1 or recipe["nodes"] > 1:
        return f"{objective} trains in one process: set processes and nodes to 1"
    if recipe["batch_size"] < smallest_batch(objective):
        return f"{objective} compares the answers of a batch: batch_size must be {smallest_batch(objective)} or more"
    if not any((recipe["desirable_weight"], recipe["undesirable_weight"])):
        return "desirable_weight and undesirable_weight cannot both be 0"
    return ""
