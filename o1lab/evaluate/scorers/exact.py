"""Exact match: the answer is, letter for letter, one of the gold answers."""

from __future__ import annotations

from o1lab.evaluate.scorers.base import Options, Part, PlainScorer, kept, no_gold, part_of
from o1lab.evaluate.scorers.protocol import Attempt, Score


class ExactOptions(Options):
    """``part``: what is compared: the whole answer, its first or last line, or what it boxes or calls its answer."""

    part: Part = "whole"


class ExactScorer(PlainScorer[ExactOptions]):
    """Space at the ends does not count; everything else does."""

    name = "exact"
    version = 1

    def look(self, attempt: Attempt) -> Score:
        if (score := no_gold(attempt)) is not None:
            return score
        given = part_of(attempt, self._options.part)
        if not given:
            return Score("unextracted", reason="no answer was found")
        right = given in {gold.strip() for gold in attempt.item.gold}
        reason = "the same text" if right else "another text"
        return Score("correct" if right else "incorrect", answer=kept(given), reason=reason)
