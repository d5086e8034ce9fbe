"""Scores of the tokens of traces by models, kept so that no chain is scored twice."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from store.errors import NotFoundError
from store.records import now
from store.rows import insert
from store.sqlite import Database
from store.suitability import mean_loss, rank_surprisal_ratio


@dataclass(frozen=True, slots=True)
class TokenScores:
    """How likely a model finds the tokens of a trace.

    Attributes:
        trace_id: The trace.
        model: What identifies the model: the hash of its weights and of its template.
        name: Its name in the lab when it scored the trace.
        losses: Number of tokens and mean negative log-probability in nats, by part of the response.
        tokens: A list for each figure, with an entry for each token: part, start, end, text, logprob, rank, entropy,
            top.
        created_at: When they were stored.
    """

    trace_id: str
    model: str
    name: str
    losses: dict[str, tuple[int, float]]
    tokens: dict[str, list[Any]]
    created_at: str = ""


def missing(db: Database, trace_ids: Sequence[str], model: str) -> list[str]:
    """Return those of some traces that a model has not scored, in the same order."""
    found = db.column(
        "SELECT t.id FROM token_scores s JOIN traces t ON t.seq = s.seq "
        "WHERE s.model = ? AND t.id IN (SELECT value FROM json_each(?))",
        [model, json.dumps(list(trace_ids))],
    )
    scored = set(found)
    return [one for one in trace_ids if one not in scored]


def add(db: Database, scores: Iterable[TokenScores]) -> None:
    """Store scores in one transaction; they replace earlier ones of the same trace and model.

    Raises:
        NotFoundError: A trace does not exist.
    """
    with db.atomic():
        for one in scores:
            seq = db.value("SELECT seq FROM traces WHERE id = ?", [one.trace_id])
            if seq is None:
                raise NotFoundError(f"There is no trace '{one.trace_id}'.", "`o1lab traces ls` lists them.")
            row = {
                "seq": seq, "model": one.model, "name": one.name, "losses": one.losses,
                "tokens": zlib.compress(json.dumps(one.tokens).encode()), "created_at": now(),
                "nll": mean_loss(one.losses), "rsr": rank_surprisal_ratio(one.tokens),
            }  # fmt: skip
            insert(db, "token_scores", [row], on_conflict="UPDATE")


def of_trace(db: Database, trace_id: str, models: Sequence[str] = ()) -> list[TokenScores]:
    """Return the scores of a trace, the earliest first; of ``models`` alone if there are some."""
    rows = db.execute(
        "SELECT t.id, s.model, s.name, s.losses, s.tokens, s.created_at FROM token_scores s "
        "JOIN traces t ON t.seq = s.seq WHERE t.id = ? ORDER BY s.id",
        [trace_id],
    )
    return [
        TokenScores(row[0], row[1], row[2], _losses(row[3]), json.loads(zlib.decompress(row[4])), row[5])
        for row in rows
        if not models or row[1] in models
    ]


def _losses(text: str) -> dict[str, tuple[int, float]]:
    return {part: (number, loss) for part, (number, loss) in json.loads(text).items()}
