"""Persons: by itself this scorer says nothing; what annotators say in the rating screen counts."""

from __future__ import annotations

from o1lab.evaluate.scorers.base import Attempt, Options, PlainScorer, Score, scorer


class HumanOptions(Options):
    """A person has none."""


@scorer("human", version=1, options=HumanOptions, order=70)
class HumanScorer(PlainScorer[HumanOptions]):
    """Everything is unscored until it is rated."""

    def look(self, attempt: Attempt) -> Score:
        return Score("unscored", reason="waits for a person's rating: `o1lab eval rate`")
