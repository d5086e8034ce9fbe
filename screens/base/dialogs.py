"""Dialogs of more than one screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from o1lab.text import one_line
from o1lab.widgets.dialogs import Choice, PickDialog, among

if TYPE_CHECKING:
    from o1lab.chat.nearest import Near

NEAREST = 12
"""Number of training chains to list."""


def nearest_chains_dialog(run: str, chains: Sequence[Near]) -> PickDialog:
    """Create a dialog that returns the trace id of one of the training chains most similar to an answer.

    Args:
        run: The training run whose chains these are.
        chains: The chains, the most similar first.
    """
    choices = [
        Choice(one.trace_id, f"{one.score:5.1f}  {one_line(one.prompt, 60)}", one_line(one.thought, 200))
        for one in chains
    ]
    return PickDialog(
        f"Training chains of {run}, most similar first",
        among(choices),
        empty="No training chain is similar.",
        hint="Score: share of words in common, 100 is all. Similarity is not causation: use it to know where to look.",
    )
