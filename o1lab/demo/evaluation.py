"""The evaluations of the demo: ordinary evaluations of the suites ``demo-*``, and the tables made from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from o1lab.evaluate.report.cells import Table
from o1lab.evaluate.report.published import published_changes
from o1lab.evaluate.report.selection import choose
from o1lab.evaluate.report.tables import change_table
from o1lab.evaluate.sample_moves import moves_of_evaluation
from o1lab.evaluate.stats.figures import Summary
from o1lab.evaluate.stats.move_rates import ALL, REFLECTION, CountedText, move_rates
from o1lab.labs import opened_lab
from o1lab.paths import Lab
from o1lab.transparency.lab_facts import collect
from o1lab.transparency.replay_price import ReplayPrice, replay_price
from store import evaluations
from store.evaluations import Turn

SUMS = "demo-sums"
ELSEWHERE = ("demo-other-sums", "demo-facts", "demo-sycophancy", "demo-safety", "demo-sources")
"""Small suites of other kinds, which show what the training costs; their scorers need no judge model."""
SHOWN = (("demo-facts", "01"), ("demo-other-sums", "01"), ("demo-safety", "09"))
"""Items whose answers are shown with the figures, as (suite, item)."""


@dataclass(frozen=True)
class Score:
    """The result of one model on the held-out problems."""

    role: str
    summary: Summary

    @property
    def model(self) -> str:
        return self.summary.evaluation.model

    @property
    def correct(self) -> int:
        return self.summary.tally.outcomes["correct"]

    @property
    def n(self) -> int:
        return self.summary.tally.total

    def as_json(self) -> dict[str, Any]:
        """Return the keys of ``o1lab eval --json``, and the role of the model in the demo."""
        found = self.summary.as_json()
        return {**found, "role": self.role, "n": self.n}


def changes(lab: Lab, before: Sequence[Summary], after: Sequence[Summary]) -> Table:
    """Return the paper's second table (changes on other suites) for these evaluations, without published rows."""
    with opened_lab(lab) as store:
        chosen = choose(store.db, [one.evaluation.id for one in (*before, *after)])
        own = published_changes().model_copy(update={"sets": (), "overall": ()})
        return change_table(chosen, before=before[0].evaluation.model, after=[after[0].evaluation.model], published=own)


def price_of_replay(lab: Lab, run: str) -> ReplayPrice | None:
    """Return the suites of the base and of the students without and with replay; None if there is no pair of runs."""
    with opened_lab(lab) as store:
        return replay_price(collect(lab, store, run))


def sample_answers(lab: Lab, *models: Sequence[Summary], limit: int | None = None) -> list[tuple[str, ...]]:
    """Return answers to show with the figures, as (question, the answer of each model).

    Args:
        lab: the lab.
        models: the evaluations of each model.
        limit: number of items of each suite that were evaluated; None for all.
    """
    found: list[tuple[str, ...]] = []
    with opened_lab(lab) as store:

        def answer(of: Sequence[Summary], suite: str, item: str) -> Turn:
            one = next(each.evaluation.id for each in of if each.evaluation.suite == suite)
            return evaluations.sample(store.db, evaluations.find_sample(store.db, one, item))[1].turns[-1]

        for suite, item in SHOWN:
            if limit is not None and int(item) > limit:
                continue
            turns = [answer(of, suite, item) for of in models]
            found.append((turns[0].user, *(turn.answer or turn.thought for turn in turns)))
    return found


def behaviour(lab: Lab, scores: Sequence[Score]) -> dict[str, dict[str, float]]:
    """Return moves per 1,000 tokens of the samples of each score, by its role: all of them, and self-reflection."""
    found = {}
    with opened_lab(lab) as store:
        for one in scores:
            counted = moves_of_evaluation(store.db, one.summary.evaluation.id)
            texts = [CountedText(place, each.tokens or 0.0, each.counts) for place, each in counted.items()]
            if (rates := move_rates(texts)) is not None:
                found[one.role] = {name: rates.rates[name].value for name in (ALL, REFLECTION)}
    return found
