"""Answers of models to thoughts that were cut, kept so that no model is asked twice at the same place."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from store.records import now, scrubbed
from store.sqlite import Database

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class ForcedAnswer:
    """The answer of a model to the beginning of a thought.

    Attributes:
        chain: The hash of what was asked and of the whole thought.
        model: What identifies the model: the hash of its weights, template and system prompt.
        how: JSON of the text after the cut thought and of the limit of tokens.
        position: Where the thought was cut, in code points.
        name: The name of the model in the lab when it answered.
        tokens: Tokens of the prompt up to the answer, as the server counts them; None if it does not.
        reply: What the model wrote.
        answer: The answer in it; None if there is none.
        created_at: When it was stored.
    """

    chain: str
    model: str
    how: str
    position: int
    name: str
    tokens: int | None
    reply: str
    answer: str | None
    created_at: str = ""


def add(db: Database, answers: Iterable[ForcedAnswer]) -> None:
    """Store answers in one transaction; they replace earlier ones at the same places."""
    with db.atomic():
        db.conn.executemany(
            "INSERT OR REPLACE INTO forced_answers (chain, model, how, position, name, tokens, reply, answer, "
            "created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    one.chain, one.model, one.how, one.position, scrubbed(one.name), one.tokens, scrubbed(one.reply),
                    None if one.answer is None else scrubbed(one.answer), now(),
                )
                for one in answers
            ],
        )  # fmt: skip


def of_chains(db: Database, chains: Sequence[str]) -> dict[str, list[ForcedAnswer]]:
    """Return the answers to each of some chains, by model and manner, each in the order of the thought."""
    found: dict[str, list[ForcedAnswer]] = {one: [] for one in chains}
    wanted = list(found)
    for start in range(0, len(wanted), _AT_ONCE):
        rows = db.execute(
            "SELECT chain, model, how, position, name, tokens, reply, answer, created_at FROM forced_answers "
            "WHERE chain IN (SELECT value FROM json_each(?)) ORDER BY chain, model, how, position",
            [json.dumps(wanted[start : start + _AT_ONCE])],
        )
        for row in rows:
            found[row[0]].append(ForcedAnswer(*row))
    return found


def add_evaluation(db: Database, evaluation_id: str, model: str) -> None:
    """Record that a model answered to cut samples of an evaluation."""
    with db.atomic():
        db.conn.execute(
            "INSERT OR REPLACE INTO forced_evaluations (evaluation_id, model, created_at) VALUES (?, ?, ?)",
            (evaluation_id, model, now()),
        )


def models_of(db: Database, evaluation_id: str) -> list[str]:
    """Return the hashes of the models that answered to cut samples of an evaluation, the latest first."""
    rows = db.execute(
        "SELECT model FROM forced_evaluations WHERE evaluation_id = ? ORDER BY created_at DESC", [evaluation_id]
    )
    return [row[0] for row in rows]
