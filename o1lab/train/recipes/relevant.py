"""Whether fields of a recipe matter, given the others as values or as the texts of a form."""

from __future__ import annotations

from collections.abc import Mapping


def replays(values: Mapping[str, object]) -> bool:
    """Whether they ask for replay."""
    try:
        return float(str(values.get("replay") or 0)) > 0
    except ValueError:
        return True


def tracks(values: Mapping[str, object]) -> bool:
    """Whether they name a tracker with projects."""
    named = str(values.get("report_to") or "")
    return "wandb" in named or "trackio" in named
