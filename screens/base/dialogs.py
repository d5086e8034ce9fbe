"""Dialogs that several screens open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from o1lab.text import one_line
from o1lab.widgets.dialogs import Choice, PickDialog, among

if TYPE_CHECKING:
    from o1lab.chat.nearest import Near

NEAREST = 12
"""How many training chains are offered."""


def nearest_chains_dialog(run: str, chains: Sequence[Near]) -> PickDialog:
    """A dialog that returns the trace id of one of the training chains most similar to an answer.

    Args:
        run: The training run whose chains these are.
        chains: The chains, the most similar first.
    """
    choices = [
        Choice(one.trace_id, f"{one.score:5.1f}  {one_line(one.prompt, 60)}", one_line(one.thought, 200))
        for one in chains
    ]
    return PickDialog(
        f"Chains that taught {run}, the nearest first",
        among(choices),
        empty="None of its chains is like this.",
        hint="Score: how much of the words agree, 100 is all. Alike is not caused by: it says where to look.",
    )
