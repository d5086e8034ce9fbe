"""Persons: by itself this scorer says nothing; what annotators say in the rating screen counts."""

from __future__ import annotations

from o1lab.evaluate.scorers.base import Options, PlainScorer, label_of
from o1lab.evaluate.scoring import Attempt, Score


class HumanOptions(Options):
    """A person has none."""


class HumanScorer(PlainScorer):
    """Everything is unscored until it is rated."""

    name = "human"
    version = 1

    def __init__(self, options: HumanOptions) -> None:
        self._options = options

    @property
    def label(self) -> str:
        return label_of(self.name, self.version)

    def look(self, attempt: Attempt) -> Score:
        return Score("unscored", reason="waits for a person's rating: `o1lab eval rate`")
