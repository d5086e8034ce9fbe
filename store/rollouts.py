"""Endings of thoughts that models wrote from a place of a chain on, kept so that none is drawn twice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from store.records import now, scrubbed
from store.sqlite import Database


@dataclass(frozen=True, slots=True)
class Rollout:
    """What a model wrote from a place of a thought on.

    Attributes:
        chain: The hash of what was asked and of the whole thought.
        model: What identifies the model: the hash of its weights, template and system prompt.
        how: JSON of the sampling.
        position: Where the model went on, in code points of the thought.
        sample: The number of the sample at that place, from 0.
        name: The name of the model in the lab when it wrote it.
        reply: What it wrote.
        answer: The answer in it; None if there is none.
        created_at: When it was stored.
    """

    chain: str
    model: str
    how: str
    position: int
    sample: int
    name: str
    reply: str
    answer: str | None
    created_at: str = ""


def add(db: Database, rollouts: Iterable[Rollout]) -> None:
    """Store rollouts in one transaction; they replace earlier ones of the same number at the same place."""
    with db.atomic():
        db.conn.executemany(
            "INSERT OR REPLACE INTO rollouts (chain, model, how, position, sample, name, reply, answer, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    one.chain, one.model, one.how, one.position, one.sample, scrubbed(one.name), scrubbed(one.reply),
                    None if one.answer is None else scrubbed(one.answer), now(),
                )
                for one in rollouts
            ],
        )  # fmt: skip


def of_chain(db: Database, chain: str, model: str, how: str) -> list[Rollout]:
    """Return the rollouts of a model in one manner, in the order of the thought."""
    rows = db.execute(
        "SELECT chain, model, how, position, sample, name, reply, answer, created_at FROM rollouts "
        "WHERE chain = ? AND model = ? AND how = ? ORDER BY position, sample",
        [chain, model, how],
    )
    return [Rollout(*row) for row in rows]


def latest_of_chain(db: Database, chain: str) -> list[Rollout]:
    """Return the rollouts of the model and the manner that were drawn last; empty if there are none."""
    row = db.execute(
        "SELECT model, how FROM rollouts WHERE chain = ? ORDER BY created_at DESC LIMIT 1", [chain]
    ).fetchone()
    return [] if row is None else of_chain(db, chain, *row)
