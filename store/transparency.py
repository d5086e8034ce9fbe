"""Answers of persons to the items of a transparency framework, and the scores that the lab gave itself.

Both are append-only: the latest answer of a scorer to an item counts, the earlier ones are its history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from store.records import now
from store.rows import insert, read_all, values
from store.sqlite import Database

AnswerWord = Literal["yes", "no", "not_used"]
ANSWERS: tuple[AnswerWord, ...] = get_args(AnswerWord)
WITHDRAWN = "withdrawn"


class Answer(NamedTuple):
    """The answer of a scorer to one item of a work; ``answer`` is one of ``ANSWERS``, or ``WITHDRAWN``."""

    work: str
    item: str
    answer: str
    evidence: str
    note: str
    scorer: str
    created_at: str


class SelfScore(NamedTuple):
    """A score that the lab gave itself for one training run; ``items`` are the findings as JSON."""

    run_id: str
    total: int
    items: Sequence[Mapping[str, Any]]
    created_at: str


def add(
    db: Database, framework: str, work: str, item: str, answer: str, *, scorer: str, evidence: str = "", note: str = ""
) -> Answer:
    """Record an answer; it is durable when this returns."""
    made = Answer(work, item, answer, evidence, note, scorer, now())
    with db.atomic():
        insert(db, "transparency_answers", [{"framework": framework, **values(made)}])
    return made


def history(db: Database, framework: str, work: str | None = None) -> list[Answer]:
    """Return every answer, of one work or of all, the earliest first."""
    wanted = "framework = :framework AND (:work IS NULL OR work = :work)"
    parameters = {"framework": framework, "work": work}
    return read_all(db, Answer, f"FROM transparency_answers WHERE {wanted} ORDER BY id", parameters)


def current(db: Database, framework: str, work: str | None = None) -> list[Answer]:
    """Return the latest answer of each scorer to each item, without the withdrawn ones."""
    latest = {(one.work, one.item, one.scorer): one for one in history(db, framework, work)}
    return [one for one in latest.values() if one.answer != WITHDRAWN]


def add_self_score(db: Database, framework: str, score: SelfScore) -> None:
    """Record a score of the lab."""
    with db.atomic():
        insert(db, "transparency_scores", [{"framework": framework, **values(score)}])


def self_scores(db: Database, framework: str, run_id: str | None = None, *, limit: int = -1) -> list[SelfScore]:
    """Return the scores of the lab, the latest first."""
    wanted = "framework = :framework AND (:run IS NULL OR run_id = :run)"
    parameters = {"framework": framework, "run": run_id, "limit": limit}
    return read_all(db, SelfScore, f"FROM transparency_scores WHERE {wanted} ORDER BY id DESC LIMIT :limit", parameters)
