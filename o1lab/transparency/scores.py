"""Scores of works from the answers of one or several people, their agreement, and the leaderboard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from o1lab.errors import UsageError
from o1lab.evaluate.stats.agreement import Agreement, krippendorff_alpha
from o1lab.text import one_line
from o1lab.transparency.framework import Framework, Item
from store.transparency import ANSWERS, Answer, AnswerWord, SelfScore

EARNS = ("yes", "not_used")
"""The answers that earn all points of an item."""
SELF = "this lab"
"""The work under which people answer the items that a lab cannot judge itself."""
_CODES: dict[str, float] = {answer: float(code) for code, answer in enumerate(ANSWERS)}


@dataclass(frozen=True, slots=True)
class ScoredItem:
    """An item of a work with the answers of its scorers.

    Attributes:
        item: the item.
        answers: the current answer of each scorer.
        answer: the answer of most scorers; of several with equally many, the one that earns nothing. None without one.
    """

    item: Item
    answers: tuple[Answer, ...] = ()

    @property
    def answer(self) -> AnswerWord | None:
        counted = Counter(one.answer for one in self.answers)
        most = max(counted.values(), default=0)
        leading = [answer for answer in ANSWERS if counted[answer] == most and most]
        return "no" if len(leading) > 1 else leading[0] if leading else None

    @property
    def points(self) -> int:
        return self.item.points if self.answer in EARNS else 0

    @property
    def is_disputed(self) -> bool:
        """Whether scorers gave different answers."""
        return len({one.answer for one in self.answers}) > 1


@dataclass(frozen=True, slots=True)
class ScoredWork:
    """A work with its points in each dimension; ``items`` is empty for published scores."""

    name: str
    scores: Mapping[str, int]
    published: bool = False
    items: tuple[ScoredItem, ...] = ()

    @property
    def total(self) -> int:
        return sum(self.scores.values())

    @property
    def open_items(self) -> int:
        """The number of items without an answer."""
        return sum(one.answer is None for one in self.items)

    @property
    def scorers(self) -> list[str]:
        return sorted({answer.scorer for one in self.items for answer in one.answers})

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, **self.scores, "total": self.total, "published": self.published}


def score(framework: Framework, name: str, answers: Sequence[Answer]) -> ScoredWork:
    """Return the score of a work from the current answers to its items."""
    items = {
        item.id: ScoredItem(item, tuple(one for one in answers if one.work == name and one.item == item.id))
        for item in framework.items
    }
    points = {
        dimension.id: sum(items[item.id].points for item in dimension.items) for dimension in framework.dimensions
    }
    return ScoredWork(name, points, items=tuple(items.values()))


def all_works(framework: Framework, answers: Sequence[Answer], own: Sequence[SelfScore] = ()) -> list[ScoredWork]:
    """Return all works, the highest total first.

    Args:
        framework: the index, with the published works.
        answers: the current answers of people; those about the lab itself are part of its own scores.
        own: the scores that the lab gave itself, the latest first; the latest of each run counts.
    """
    found = [ScoredWork(work.name, work.scores, published=True) for work in framework.published]
    found += [score(framework, name, answers) for name in dict.fromkeys(one.work for one in answers) if name != SELF]
    for one in {one.run_id: one for one in reversed(own)}.values():
        earned = {item["id"]: item["points"] for item in one.items if item["answer"] in EARNS}
        points = {part.id: sum(earned.get(item.id, 0) for item in part.items) for part in framework.dimensions}
        found.append(ScoredWork(f"{SELF}, run {one.run_id}", points))
    return sorted(found, key=lambda work: (-work.total, work.name))


def agreement(work: ScoredWork) -> Agreement | None:
    """Return Krippendorff's alpha of the scorers of a work (nominal answers); None with fewer than two scorers."""
    if len(work.scorers) < 2:
        return None
    ratings: dict[str, dict[str, float]] = {}
    for one in work.items:
        for answer in one.answers:
            ratings.setdefault(answer.scorer, {})[one.item.id] = _CODES[answer.answer]
    return krippendorff_alpha(ratings, level="nominal")


def check_answer(item: Item, answer: str, evidence: str) -> None:
    """Check an answer before it is recorded.

    Raises:
        UsageError: it is not an answer to this item, or its evidence is missing or points nowhere.
    """
    check_allowed(item, answer)
    if answer in EARNS and not evidence.strip():
        raise UsageError(
            f"The answer '{answer}' to {item.id} needs evidence.",
            "Give a link, a file or a quotation: --evidence TEXT.",
        )
    if evidence.strip() and (fault := evidence_fault(evidence.strip())):
        raise UsageError(fault, "Give a link with a host, an existing file, or a quotation.")


def check_allowed(item: Item, answer: str) -> None:
    """Check that an item can have an answer.

    Raises:
        UsageError: it cannot.
    """
    allowed = [one for one in ANSWERS if one != "not_used" or item.may_be_unused]
    if answer not in allowed:
        why = " It does not ask about a technique that can be left out." if answer == "not_used" else ""
        raise UsageError(f"'{one_line(answer, 40)}' is not an answer to {item.id}.{why}", f"Use {', '.join(allowed)}.")


def evidence_fault(evidence: str) -> str:
    """Return why evidence points nowhere; empty for a link, an existing file or a quotation."""
    if evidence.lower().startswith(("http://", "https://")):
        try:
            host = urlsplit(evidence).hostname or ""
        except ValueError:
            host = ""
        return "" if "." in host or host == "localhost" else f"The link '{one_line(evidence, 80)}' has no host."
    if " " not in evidence and evidence.startswith(("/", "./", "../", "~")):
        try:
            exists = Path(evidence).expanduser().exists()
        except (OSError, RuntimeError, ValueError):
            exists = False
        return "" if exists else f"There is no file '{one_line(evidence, 80)}'."
    return ""
