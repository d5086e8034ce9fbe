"""Persons: by itself this scorer says nothing; what annotators say in the rating screen counts."""

from __future__ import annotations

from o1lab.evaluate.scorers.base import Options, PlainScorer
from o1lab.evaluate.scorers.protocol import Attempt, Score


class HumanOptions(Options):
    """A person has none."""


class HumanScorer(PlainScorer[HumanOptions]):
    """Everything is unscored until it is rated."""

    name = "human"
    version = 1

    def look(self, attempt: Attempt) -> Score:
        return Score("unscored", reason="waits for a person's rating: `o1lab eval rate`")
