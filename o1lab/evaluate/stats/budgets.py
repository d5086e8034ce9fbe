"""Accuracy under a budget of output tokens, in two ways that are never mixed.

``cut``: what one evaluation would have come to, had every response been cut off at the budget; a sample counts only if
all of it fits. A model that knows its budget might hurry; this one did not know.

``forced``: evaluations that really ran under the limit and asked what was cut off for its final answer
(``force_answer``), a point each; as budget forcing in Muennighoff et al. (2025), "s1: Simple test-time scaling".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from o1lab.evaluate.stats.metrics import Rate, accuracy, rounded
from store import evaluations
from store.evaluations import Evaluation, Result
from store.sqlite import Database

Way = Literal["cut", "forced"]


@dataclass(frozen=True, slots=True)
class BudgetPoint:
    """Accuracy over all samples at one budget. ``spent`` is the average of what responses then cost, in tokens."""

    way: Way
    budget: int
    rate: Rate
    spent: float | None
    over: int  # samples with more output tokens than that
    evaluation: str | None = None

    def as_json(self) -> dict[str, Any]:
        whose = {} if self.evaluation is None else {"evaluation": self.evaluation}
        return {
            "way": self.way,
            "budget": self.budget,
            **self.rate.as_json(),
            "avg_output_tokens": rounded(self.spent),
            "over": self.over,
            **whose,
        }


def log_spaced(results: Iterable[Result], most: int = 12) -> list[int]:
    """Powers of two around the lengths of these responses: at the first none need fit, at the last all do."""
    lengths = [one.output_tokens for one in results if one.outcome != "failed" and one.output_tokens > 0]
    if not lengths:
        return []
    first, last = min(lengths).bit_length() - 1, (max(lengths) - 1).bit_length()
    return [2**power for power in range(max(first, last - most + 1), last + 1)]


def under_budget(results: Sequence[Result], budgets: Iterable[int] | None = None) -> tuple[BudgetPoint, ...]:
    """Accuracy with every response cut off at each budget: correct and ``output_tokens <= budget``, over all samples.

    Args:
        budgets: in output tokens, thought and answer together; without them :func:`log_spaced`.
    """
    there = [one.output_tokens for one in results if one.outcome != "failed"]
    return tuple(
        BudgetPoint(
            way="cut",
            budget=budget,
            rate=accuracy(results, right=partial(_fits, budget)),
            spent=sum(min(tokens, budget) for tokens in there) / len(there) if there else None,
            over=sum(tokens > budget for tokens in there),
        )
        for budget in (log_spaced(results) if budgets is None else sorted(set(budgets)))
    )


def forced(db: Database, evaluation: Evaluation, scorer: str) -> tuple[BudgetPoint, ...]:
    """Accuracy at each limit of tokens that this model ran under with forced answers, on the same items.

    Of the evaluations with the same suite version, items, model, revision and sampling but for ``max_tokens``, and
    with ``force_answer`` among their settings, each is a point at its ``max_tokens``; the newest where two are alike.
    Only finished ones that this scorer has looked at. ``spent`` holds the tokens of forced answers too.
    """
    points: dict[int, BudgetPoint] = {}
    for one in evaluations.all_evaluations(db, suite=evaluation.suite):
        limit = one.settings.get("max_tokens")
        if not (one.settings.get("force_answer") and isinstance(limit, int)) or limit in points:
            continue
        if _put(one) != _put(evaluation) or scorer not in evaluations.scorers(db, one.id):
            continue
        results = list(evaluations.results(db, one.id, scorer))
        if len(results) < one.items * one.samples:
            continue
        there = [result.output_tokens for result in results if result.outcome != "failed"]
        points[limit] = BudgetPoint(
            way="forced",
            budget=limit,
            rate=accuracy(results),
            spent=sum(there) / len(there) if there else None,
            over=sum(tokens > limit for tokens in there),
            evaluation=one.id,
        )
    return tuple(points[limit] for limit in sorted(points))


def _fits(budget: int, one: Result) -> bool:
    return one.correct and one.output_tokens <= budget


def _put(one: Evaluation) -> tuple[object, ...]:
    """What has to be the same for two evaluations to be points of one curve."""
    sampling = {name: value for name, value in one.sampling.items() if name not in {"max_tokens", "force_answer"}}
    return one.suite, one.suite_version, one.items_hash, one.model, one.revision, sampling
