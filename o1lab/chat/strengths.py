"""Bradley-Terry strengths of contestants, with bootstrap intervals, from votes.

Bradley and Terry (1952), Biometrika 39: the chance that i is preferred to j is 1 / (1 + exp(s_j - s_i)). A vote among
several answers is a win over each of the others, as is usual; a tie is half a win for each side of each pair. Every
pair that has met is given one more tie, so that strengths are finite where one side won always (Caron and Doucet, 2012,
JCGS 21, discuss such priors). Strengths are comparable only among contestants that are connected by meetings (Ford,
1957): each group of these is fitted by itself, with mean 0.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from o1lab.chat.contestants import Contestant, contestants_of, names
from o1lab.text import json_of
from store.conversations import Vote

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESAMPLES, SEED, LEVEL = 2000, 42, 0.95
PRIOR = 0.5
"""Wins that each side of a pair that has met is given."""
_STEPS, _TOLERANCE, _LONGEST_STEP = 200, 1e-9, 2.0
_CHUNK = 250


@dataclass(frozen=True)
class Standing:
    """One contestant in the votes.

    Attributes:
        name: the model, with the settings in which contestants of that model differ.
        shown: the number of votes that it was a candidate of.
        wins, losses, ties: votes; a vote for another one is a loss.
        none: votes that found no answer good. They say nothing about who is stronger.
        group: which contestants it can be compared with: those of the same number; None if it has met no other.
        strength: natural log-odds against the mean of its group: a difference of 1.1 wins three times out of four.
        low, high: the ends of the 95 % interval, None with fewer than two questions.
    """

    contestant: Contestant
    name: str
    shown: int
    wins: int
    losses: int
    ties: int
    none: int
    group: int | None = None
    strength: float | None = None
    low: float | None = None
    high: float | None = None

    def as_json(self) -> dict[str, Any]:
        found = {"name": self.name, "model": self.contestant.model, "settings": self.contestant.settings()}
        votes = json_of(self, "shown", "wins", "losses", "ties", "none", "group")
        return found | votes | json_of(self, "strength", "low", "high", digits=4)


@dataclass(frozen=True)
class Ranking:
    """The contestants of some votes: group by group, the strongest first.

    Attributes:
        votes, blind, ties, none: numbers of votes: all, those given blind, ties, and those that found no answer good.
        questions: the number of questions voted on; the bootstrap draws these.
        groups: the number of groups that have not met each other.
    """

    standings: tuple[Standing, ...]
    votes: int
    blind: int
    ties: int
    none: int
    questions: int
    groups: int

    def as_json(self) -> dict[str, Any]:
        return json_of(self, "votes", "blind", "ties", "none", "questions", "groups", "standings")


def winner_of(ballot: Vote) -> int | None:
    """Return the place of the winner among the candidates; None if nobody won, or it is not clear who did."""
    if ballot.winner_pane is not None:
        panes = [one.get("pane") for one in ballot.contestants]
        return panes.index(ballot.winner_pane) if ballot.winner_pane in panes else None
    places = [place for place, model in enumerate(ballot.candidates) if model == ballot.winner]
    return places[0] if len(places) == 1 else None


def rank(votes: Sequence[Vote], *, resamples: int = RESAMPLES, seed: int = SEED) -> Ranking:
    """Rank the contestants of votes.

    Args:
        votes: the votes, with their contestants (:func:`~o1lab.chat.contestants.completed`).
        resamples: the number of bootstrap resamples; whole questions are drawn, with all their votes. 0: no intervals.
        seed: the seed of the random generator.
    """
    counts: dict[Contestant, dict[str, int]] = {}
    pairs: dict[Hashable, dict[tuple[Contestant, Contestant], float]] = {}
    for ballot in votes:
        candidates = contestants_of(ballot)
        place = winner_of(ballot)
        winner = None if place is None else candidates[place]
        for one in dict.fromkeys(candidates):
            count = counts.setdefault(one, dict.fromkeys(("shown", "wins", "losses", "ties", "none"), 0))
            count["shown"] += 1
            outcome = {"tie": "ties", "none": "none"}.get(ballot.winner, "wins" if one == winner else "losses")
            count[outcome] += 1
        won = pairs.setdefault((ballot.conversation_id, ballot.turn), {})
        for (one, other), share in _won(candidates, winner, tie=ballot.winner == "tie").items():
            won[one, other] = won.get((one, other), 0.0) + share
    named = names(counts)
    found = []
    groups = _groups(pairs)
    for number, members in enumerate(groups, 1):
        for one, strength, interval in _fitted(members, pairs, resamples, seed):
            low, high = interval or (None, None)
            found.append(Standing(one, named[one], **counts[one], group=number, strength=strength, low=low, high=high))
    found.sort(key=lambda one: (one.group or 0, -(one.strength or 0.0), one.name))
    met = {one.contestant for one in found}
    found += [
        Standing(one, named[one], **counts[one]) for one in sorted(counts, key=named.__getitem__) if one not in met
    ]
    return Ranking(
        tuple(found),
        len(votes),
        sum(one.blind for one in votes),
        sum(one.winner == "tie" for one in votes),
        sum(one.winner == "none" for one in votes),
        len(pairs),
        len(groups),
    )


def _won(
    candidates: Sequence[Contestant], winner: Contestant | None, *, tie: bool
) -> dict[tuple[Contestant, Contestant], float]:
    """Return the wins of a vote by (winner, loser)."""
    different = list(dict.fromkeys(candidates))
    if tie:
        return {(one, other): 0.5 for one in different for other in different if one != other}
    return {(winner, other): 1.0 for other in different if other != winner} if winner is not None else {}


def _groups(pairs: Mapping[Hashable, Mapping[tuple[Contestant, Contestant], float]]) -> list[list[Contestant]]:
    """Return the contestants that have met, directly or by others; the largest group first."""
    group: dict[Contestant, set[Contestant]] = {}
    for won in pairs.values():
        for one, other in won:
            joined = group.get(one, {one}) | group.get(other, {other})
            for member in joined:
                group[member] = joined
    found = list({id(members): sorted(members, key=repr) for members in group.values()}.values())
    return sorted(found, key=lambda members: (-len(members), repr(members)))


def _fitted(
    members: Sequence[Contestant],
    pairs: Mapping[Hashable, Mapping[tuple[Contestant, Contestant], float]],
    resamples: int,
    seed: int,
) -> list[tuple[Contestant, float, tuple[float, float] | None]]:
    """Return each contestant of a group with its strength and its interval."""
    import numpy as np

    place = {one: at for at, one in enumerate(members)}
    number = len(members)
    questions = [won for won in pairs.values() if any(one in place for one, _ in won)]
    wins = np.zeros((len(questions), number, number))
    for at, won in enumerate(questions):
        for (one, other), share in won.items():
            wins[at, place[one], place[other]] += share
    total = wins.sum(axis=0)
    prior = PRIOR * ((total + total.T) > 0)
    strengths = fit((total + prior)[None])[0]
    if resamples == 0 or len(questions) < 2:
        return [(one, float(strengths[at]), None) for one, at in place.items()]
    rng, drawn = np.random.default_rng(seed), []
    flat = wins.reshape(len(questions), -1)
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        often = rng.multinomial(len(questions), np.full(len(questions), 1 / len(questions)), size=size)
        drawn.append(fit((often @ flat).reshape(size, number, number) + prior))
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.quantile(np.concatenate(drawn), tails, axis=0)
    return [(one, float(strengths[at]), (float(low[at]), float(high[at]))) for one, at in place.items()]


def fit(wins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the maximum-likelihood strengths of the Bradley-Terry model, by Newton's method.

    Args:
        wins: [resample, winner, loser]; each pair that is connected at all must be so in both directions.

    Returns:
        [resample, contestant] natural log-odds, with mean 0.
    """
    import numpy as np

    games, won = wins + wins.transpose(0, 2, 1), wins.sum(axis=2)
    number = wins.shape[1]
    strengths = np.zeros(wins.shape[:2])
    diagonal = np.arange(number)
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(strengths[:, None, :] - strengths[:, :, None]))
        gradient = won - (games * chance).sum(axis=2)
        if np.abs(gradient).max() < _TOLERANCE * max(1.0, float(games.max())):
            break
        curvature = -games * chance * (1 - chance)
        curvature[:, diagonal, diagonal] = 0
        curvature[:, diagonal, diagonal] = -curvature.sum(axis=2)
        # Only differences matter; the ones make the matrix regular and keep the mean at 0.
        step = np.linalg.solve(curvature + 1 / number, gradient[..., None])[..., 0]
        longest = np.abs(step).max(axis=1, keepdims=True)
        strengths += step * np.minimum(1.0, _LONGEST_STEP / np.maximum(longest, 1e-300))
    centred: NDArray[np.float64] = strengths - strengths.mean(axis=1, keepdims=True)
    return centred
