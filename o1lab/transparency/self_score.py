"""The score that a lab gives itself, and what changed since the last one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from o1lab.errors import O1LabError
from o1lab.paths import Lab
from o1lab.transparency import scores
from o1lab.transparency.checks import CHECKS, Finding
from o1lab.transparency.framework import Framework, Item
from o1lab.transparency.lab_facts import LabFacts, collect
from store import Store
from store import transparency as log
from store.records import now
from store.sqlite import Database


@dataclass(frozen=True, slots=True)
class JudgedItem:
    """An item with what the check found; a person's answer replaces it where a person must judge."""

    item: Item
    finding: Finding

    @property
    def points(self) -> int:
        return self.item.points if self.finding.answer in scores.EARNS else 0

    def as_json(self, dimension: str) -> dict[str, Any]:
        about = {"id": self.item.id, "dimension": dimension, "points": self.item.points}
        return about | self.finding.as_json()


@dataclass(frozen=True, slots=True)
class LabScore:
    """The lab's score for one run.

    Attributes:
        framework: the index.
        run_id: the training run.
        items: all items in the order of the framework.
        changes: (item, answer before, answer now) since the last score of the same run.
        last: when that score was recorded; None if there is none.
    """

    framework: Framework
    run_id: str
    items: tuple[JudgedItem, ...]
    changes: tuple[tuple[str, str, str], ...] = ()
    last: str | None = None

    @property
    def total(self) -> int:
        return sum(one.points for one in self.items)

    def of(self, dimension: str) -> int:
        """Return the points of a dimension."""
        ids = {item.id for one in self.framework.dimensions if one.id == dimension for item in one.items}
        return sum(one.points for one in self.items if one.item.id in ids)

    def items_json(self) -> list[dict[str, Any]]:
        dimension = {item.id: one.id for one in self.framework.dimensions for item in one.items}
        return [one.as_json(dimension[one.item.id]) for one in self.items]

    def as_json(self) -> dict[str, Any]:
        return {
            "framework": self.framework.name,
            "run": self.run_id,
            "total": self.total,
            "of": self.framework.total,
            "dimensions": {one.id: self.of(one.id) for one in self.framework.dimensions},
            "items": self.items_json(),
            "changes": [{"id": item, "before": before, "now": after} for item, before, after in self.changes],
            "last_scored_at": self.last,
        }


def score_lab(lab: Lab, store: Store, framework: Framework, run: str | None = None) -> LabScore:
    """Score a lab by what it has recorded, and record the score.

    Args:
        lab: the lab.
        store: its database.
        framework: the index.
        run: id or name of a training run; the latest finished one if None.

    Returns:
        The score, with the changes since the last one of the same run.

    Raises:
        NotFoundError: there is no such run, or none has finished.
    """
    facts = collect(lab, store, run)
    answers = log.current(store.db, framework.name, scores.SELF)
    judged = scores.score(framework, scores.SELF, answers)
    items = tuple(JudgedItem(one.item, _judge(facts, one)) for one in judged.items)
    before = next(iter(log.self_scores(store.db, framework.name, facts.run.id, limit=1)), None)
    found = LabScore(framework, facts.run.id, items, _changes(before, items), before.created_at if before else None)
    log.add_self_score(store.db, framework.name, log.SelfScore(found.run_id, found.total, found.items_json(), now()))
    return found


def last_score(db: Database, framework: Framework) -> LabScore | None:
    """Return the score that the lab gave itself last, as it was recorded; None if there is none."""
    recorded = log.self_scores(db, framework.name, limit=2)
    if not recorded:
        return None
    found, earlier = recorded[0], [one for one in recorded[1:] if one.run_id == recorded[0].run_id]
    findings = {str(one["id"]): one for one in found.items}
    items = tuple(
        JudgedItem(item, Finding(kept["answer"], tuple(kept["evidence"]), kept["missing"], kept["fix"]))
        for item in framework.items
        if (kept := findings.get(item.id)) is not None
    )
    before = earlier[0] if earlier else None
    return LabScore(framework, found.run_id, items, _changes(before, items), before.created_at if before else None)


def _judge(facts: LabFacts, scored: scores.ScoredItem) -> Finding:
    """Return the finding on an item; where a person must judge, the answer of the people who did."""
    identity = scored.item.id
    try:
        finding = CHECKS[identity](facts) if identity in CHECKS else _for_person(identity)
    except (O1LabError, OSError, ValueError, TypeError, AttributeError) as error:
        return Finding("no", (), f"The records cannot be read: {error}", "o1lab doctor")
    if finding.answer != "person" or scored.answer is None:
        return finding
    evidence = tuple(f"{one.evidence} ({one.scorer})" if one.evidence else one.scorer for one in scored.answers)
    missing = "A person answered no." if scored.answer == "no" else ""
    return Finding(scored.answer, evidence, missing, finding.fix)


def _for_person(item: str) -> Finding:
    fix = f"o1lab tti --self --item {item} --answer yes --evidence TEXT"
    return Finding("person", (), "The lab has no check of this item.", fix)


def _changes(before: log.SelfScore | None, items: Sequence[JudgedItem]) -> tuple[tuple[str, str, str], ...]:
    if before is None:
        return ()
    known = {str(one["id"]): str(one["answer"]) for one in before.items}
    return tuple(
        (one.item.id, known.get(one.item.id, "-"), one.finding.answer)
        for one in items
        if known.get(one.item.id) != one.finding.answer
    )
