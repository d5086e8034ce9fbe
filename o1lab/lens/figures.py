"""Figures of scored chains: losses of parts and moves, the most surprising tokens, differences between models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from o1lab.chains.segmentation.moves import Move, place_of_token
from store.token_scores import TokenScores

Place = tuple[str, int, int]
"""Part, start and end."""
SURPRISE = 3.0
"""Nats from which a token counts as a surprise: the model gave it less than 5 %."""


@dataclass(frozen=True, slots=True)
class Loss:
    """The mean negative log-probability of some tokens, in nats."""

    tokens: int
    nats: float


@dataclass(frozen=True, slots=True)
class ScoredToken:
    """A token of a thought or a solution.

    Attributes:
        part: ``thought`` or ``solution``.
        start: where it begins, in code points of its part.
        end: where it ends.
        loss: its negative natural log-probability.
        rank: 1 for the most likely token; None if the server does not report it.
        entropy: of the distribution at its place, in nats; None if the server does not report it.
        top: the most likely tokens with their log-probabilities.
    """

    part: str
    start: int
    end: int
    text: str
    loss: float
    rank: int | None
    entropy: float | None
    top: tuple[tuple[str, float], ...]


def scored_tokens(scores: TokenScores) -> list[ScoredToken]:
    """Return the tokens of thought and solution; those of the format's marks are left out."""
    found = scores.tokens
    columns = (found[name] for name in ("part", "start", "end", "text", "logprob", "rank", "entropy", "top"))
    return [
        ScoredToken(part, start, end, text, -logprob, rank, entropy, tuple((one, value) for one, value in top))
        for part, start, end, text, logprob, rank, entropy, top in zip(*columns, strict=True)
        if part != "mark"
    ]


def differences(ours: Sequence[ScoredToken], theirs: Sequence[ScoredToken]) -> list[ScoredToken]:
    """Return the losses of one model minus those of another, by place in the text. Below 0, the first gives a higher
    probability.

    Several tokens at one place, which are the bytes of a character, count together. Models with another tokenizer have
    other places, and those are left out.
    """
    own, other = losses_by_place(ours), losses_by_place(theirs)
    first = {place_of(one): one for one in reversed(ours)}
    return [replace(first[place], loss=loss - other[place]) for place, loss in own.items() if place in other]


def place_of(token: ScoredToken) -> Place:
    return token.part, token.start, token.end


def losses_by_place(tokens: Sequence[ScoredToken]) -> dict[Place, float]:
    """Return the loss of the text at each place, in the order of the text."""
    found: dict[Place, float] = {}
    for token in tokens:
        found[place_of(token)] = found.get(place_of(token), 0.0) + token.loss
    return found


def losses_by_move(tokens: Sequence[ScoredToken], moves: Sequence[Move], part: str = "thought") -> list[Loss]:
    """Return the loss of each move; a token belongs to the move that has its last character."""
    starts = [move.start for move in moves]
    sums: list[list[float]] = [[] for _ in moves]
    for token in tokens:
        if token.part == part and moves:
            sums[place_of_token(starts, token.start, token.end)].append(token.loss)
    return [Loss(len(values), sum(values) / len(values) if values else 0.0) for values in sums]


def losses_by_kind(tokens: Sequence[ScoredToken], moves: Sequence[Move], part: str = "thought") -> dict[str, Loss]:
    """Return the loss of all moves of each kind, by the kind's name."""
    found: dict[str, Loss] = {}
    for move, loss in zip(moves, losses_by_move(tokens, moves, part), strict=True):
        before = found.get(str(move.kind), Loss(0, 0.0))
        number = before.tokens + loss.tokens
        if number:
            mean = (before.tokens * before.nats + loss.tokens * loss.nats) / number
            found[str(move.kind)] = Loss(number, mean)
    return found


def surprises(tokens: Sequence[ScoredToken]) -> list[ScoredToken]:
    """Return the tokens with a loss of ``SURPRISE`` or more, in the order of the text."""
    return [token for token in tokens if token.loss >= SURPRISE]


def rank_text(token: ScoredToken) -> str:
    """Return the rank of a token as a phrase."""
    return "rank not known" if token.rank is None else f"rank {token.rank:,}"


def as_json(token: ScoredToken) -> dict[str, Any]:
    return {
        "part": token.part, "start": token.start, "end": token.end, "text": token.text, "logprob": -token.loss,
        "rank": token.rank, "entropy": token.entropy,
        "top": [{"text": text, "logprob": logprob} for text, logprob in token.top],
    }  # fmt: skip
