"""What models wrote from a place of a thought on: answers to cut thoughts, and rollouts. No model is asked twice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from store.records import now
from store.rows import insert, read_all
from store.sqlite import Database


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
        created_at: When it was made.
    """

    chain: str
    model: str
    how: str
    position: int
    name: str
    tokens: int | None
    reply: str
    answer: str | None
    created_at: str = field(default_factory=now)


@dataclass(frozen=True, slots=True)
class Rollout:
    """An ending of a thought that a model wrote; most attributes are as in :class:`ForcedAnswer`.

    Attributes:
        how: JSON of the sampling.
        position: Where the model continued, in code points of the thought.
        sample: The number of the sample at that place, from 0.
    """

    chain: str
    model: str
    how: str
    position: int
    sample: int
    name: str
    reply: str
    answer: str | None
    created_at: str = field(default_factory=now)


def add_answers(db: Database, answers: Iterable[ForcedAnswer]) -> None:
    """Store answers in one transaction; they replace earlier ones at the same places."""
    with db.atomic():
        insert(db, "forced_answers", answers, on_conflict="REPLACE")


def answers_of(db: Database, chains: Sequence[str]) -> dict[str, list[ForcedAnswer]]:
    """Return the answers to each of some chains, by model and prompt, each in the order of the thought."""
    found: dict[str, list[ForcedAnswer]] = {one: [] for one in chains}
    wanted = "chain IN (SELECT value FROM json_each(?)) ORDER BY chain, model, how, position"
    for one in read_all(db, ForcedAnswer, f"FROM forced_answers WHERE {wanted}", [json.dumps(list(found))]):
        found[one.chain].append(one)
    return found


def add_evaluation(db: Database, evaluation_id: str, model: str) -> None:
    """Record that a model answered to cut samples of an evaluation."""
    with db.atomic():
        row = {"evaluation_id": evaluation_id, "model": model, "created_at": now()}
        insert(db, "forced_evaluations", [row], on_conflict="REPLACE")


def models_of(db: Database, evaluation_id: str) -> list[str]:
    """Return the hashes of the models that answered to cut samples of an evaluation, the latest first."""
    return db.column(
        "SELECT model FROM forced_evaluations WHERE evaluation_id = ? ORDER BY created_at DESC", [evaluation_id]
    )


def add_rollouts(db: Database, rollouts: Iterable[Rollout]) -> None:
    """Store rollouts in one transaction; they replace earlier ones of the same number at the same place."""
    with db.atomic():
        insert(db, "rollouts", rollouts, on_conflict="REPLACE")


def rollouts_of(db: Database, chain: str, model: str, how: str) -> list[Rollout]:
    """Return the rollouts of a model with one sampling, in the order of the thought."""
    wanted = "chain = ? AND model = ? AND how = ? ORDER BY position, sample"
    return read_all(db, Rollout, f"FROM rollouts WHERE {wanted}", [chain, model, how])


def latest_rollouts(db: Database, chain: str) -> list[Rollout]:
    """Return the rollouts of the model and sampling that were drawn last; empty if there are none."""
    row = db.execute(
        "SELECT model, how FROM rollouts WHERE chain = ? ORDER BY created_at DESC LIMIT 1", [chain]
    ).fetchone()
    return [] if row is None else rollouts_of(db, chain, *row)
