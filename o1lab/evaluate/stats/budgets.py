"""Accuracy under a budget of output tokens, computed in two ways that are never mixed.

``cut``: the accuracy of one evaluation if every response were cut off at the budget; a sample counts only if all of it
fits. The model did not know the budget; one that does might write less.

``forced``: evaluations that ran under the limit and asked for the final answer of a response that was cut off
(``force_answer``), one point each; as budget forcing in Muennighoff et al. (2025), "s1: Simple test-time scaling".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from o1lab.evaluate.stats.metrics import Rate, accuracy
from o1lab.text import json_of
from store import evaluations
from store.evaluations import Evaluation, Result
from store.sqlite import Database

Way = Literal["cut", "forced"]
_MOST_POINTS = 12


@dataclass(frozen=True, slots=True)
class BudgetPoint:
    """Accuracy over all samples at one budget. ``spent`` is the average output tokens of a response at that budget."""

    way: Way
    budget: int
    rate: Rate
    spent: float | None
    over: int  # samples with more output tokens than the budget
    evaluation: str | None = None

    def as_json(self) -> dict[str, Any]:
        source = {} if self.evaluation is None else {"evaluation": self.evaluation}
        spent = json_of(self, "avg_output_tokens=spent", "over", digits=6)
        return json_of(self, "way", "budget") | self.rate.as_json() | spent | source


def log_spaced(results: Iterable[Result]) -> list[int]:
    """Return powers of two that cover the lengths of these responses, ascending; of more than 12, the largest 12."""
    lengths = [one.output_tokens for one in results if one.outcome != "failed" and one.output_tokens > 0]
    if not lengths:
        return []
    first, last = min(lengths).bit_length() - 1, (max(lengths) - 1).bit_length()
    return [2**power for power in range(max(first, last - _MOST_POINTS + 1), last + 1)]


def under_budget(results: Sequence[Result], budgets: Iterable[int] | None = None) -> tuple[BudgetPoint, ...]:
    """Return the share of samples that are correct with ``output_tokens <= budget``, for each budget.

    Args:
        results: all samples of an evaluation.
        budgets: in output tokens, thought and answer together; by default :func:`log_spaced`.
    """
    lengths = [one.output_tokens for one in results if one.outcome != "failed"]
    return tuple(
        BudgetPoint(
            way="cut",
            budget=budget,
            rate=accuracy(results, right=partial(_fits, budget)),
            spent=sum(min(tokens, budget) for tokens in lengths) / len(lengths) if lengths else None,
            over=sum(tokens > budget for tokens in lengths),
        )
        for budget in (log_spaced(results) if budgets is None else sorted(set(budgets)))
    )


def forced(db: Database, evaluation: Evaluation, scorer: str) -> tuple[BudgetPoint, ...]:
    """Return the accuracy at each token limit under which this model ran with forced answers on the same items.

    The points are the finished evaluations with ``force_answer`` and scores of this scorer that agree in suite version,
    items, model, revision and sampling except for ``max_tokens``; of several with the same limit, the newest. ``spent``
    includes the tokens of forced answers.

    Args:
        db: the lab's database.
        evaluation: the evaluation whose model and items are looked up.
        scorer: the label of the scores.
    """
    points: dict[int, BudgetPoint] = {}
    for one in evaluations.all_evaluations(db, suite=evaluation.suite):
        limit = one.settings.get("max_tokens")
        if not (one.settings.get("force_answer") and isinstance(limit, int)) or limit in points:
            continue
        if _curve_key(one) != _curve_key(evaluation) or scorer not in evaluations.scorers(db, one.id):
            continue
        results = list(evaluations.results(db, one.id, scorer))
        if len(results) < one.items * one.samples:
            continue
        lengths = [result.output_tokens for result in results if result.outcome != "failed"]
        points[limit] = BudgetPoint(
            way="forced",
            budget=limit,
            rate=accuracy(results),
            spent=sum(lengths) / len(lengths) if lengths else None,
            over=sum(tokens > limit for tokens in lengths),
            evaluation=one.id,
        )
    return tuple(points[limit] for limit in sorted(points))


def _fits(budget: int, one: Result) -> bool:
    return one.correct and one.output_tokens <= budget


def _curve_key(one: Evaluation) -> tuple[object, ...]:
    """Return what two evaluations must share to be points of one curve."""
    sampling = {name: value for name, value in one.sampling.items() if name not in {"max_tokens", "force_answer"}}
    return one.suite, one.suite_version, one.items_hash, one.model, one.revision, sampling
