"""What became of each model in the votes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from store.conversations import Vote


@dataclass(frozen=True)
class Standing:
    """How often a model was shown and what became of it; ``none`` counts ballots that found no answer good."""

    model: str
    shown: int
    wins: int
    losses: int
    ties: int
    none: int


def tally(votes: Iterable[Vote]) -> list[Standing]:
    """The standing of every model in ``votes``, most wins first."""
    counts: dict[str, dict[str, int]] = {}
    for ballot in votes:
        for model in set(ballot.candidates):
            count = counts.setdefault(model, dict.fromkeys(("shown", "wins", "losses", "ties", "none"), 0))
            count["shown"] += 1
            outcome = {"tie": "ties", "none": "none", model: "wins"}.get(ballot.winner, "losses")
            count[outcome] += 1
    standings = [Standing(model, **count) for model, count in counts.items()]
    return sorted(standings, key=lambda s: (-s.wins, s.losses, s.model))
