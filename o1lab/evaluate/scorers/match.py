"""Normalised match: the answer says one of the gold answers, however it is written."""

from __future__ import annotations

from typing import Literal

from o1lab.evaluate.scorers.base import Options, Part, PlainScorer, kept, no_gold, part_of
from o1lab.evaluate.scorers.normalising import holds, tokens
from o1lab.evaluate.scorers.protocol import Attempt, Score
from o1lab.text import one_line


class MatchOptions(Options):
    """``mode``: whether the answer must equal a gold answer or may only contain it; ``part``: what is compared.

    Containing is by whole tokens (20 is not in 2020), and generous: an answer that names several candidates, or
    denies the right one, contains it. ``longest`` says from how many tokens on an answer is too long to be taken so:
    it is then incorrect.
    """

    mode: Literal["equal", "contains"] = "equal"
    part: Part = "whole"
    longest: int | None = None


class MatchScorer(PlainScorer[MatchOptions]):
    """See :func:`~o1lab.evaluate.scorers.normalising.tokens` for what does not count."""

    name = "match"
    version = 1

    def look(self, attempt: Attempt) -> Score:
        if (score := no_gold(attempt)) is not None:
            return score
        given = part_of(attempt, self._options.part)
        if not given:
            return Score("unextracted", reason="no answer was found")
        said = tokens(given)
        for gold in attempt.item.gold:
            wanted = tokens(gold)
            if said == wanted and (wanted or given == gold.strip()):
                return Score("correct", answer=kept(given), reason=f"the same as '{one_line(gold, 60)}'")
            if self._options.mode == "contains" and holds(said, wanted):
                if self._options.longest is not None and len(said) > self._options.longest:
                    reason = f"contains '{one_line(gold, 60)}', among {len(said):,} tokens: more than count"
                    return Score("incorrect", answer=kept(given), reason=reason)
                return Score("correct", answer=kept(given), reason=f"contains '{one_line(gold, 60)}'")
        golds = len(attempt.item.gold)
        none = "not the gold answer" if golds == 1 else f"none of the {golds} gold answers"
        return Score("incorrect", answer=kept(given), reason=none)
