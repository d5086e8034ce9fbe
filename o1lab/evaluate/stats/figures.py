"""The figures of one evaluation under one scorer: all of them, and the summary of a list or a status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from o1lab.evaluate.stats import budgets, majority, metrics, variants
from o1lab.evaluate.stats.budgets import BudgetPoint
from o1lab.evaluate.stats.convergence import ConvergenceSummary, of_evaluation
from o1lab.evaluate.stats.majority import MajorityPoint
from o1lab.evaluate.stats.metrics import Mean, Metric, Rate, Tokens, headline, rounded
from o1lab.evaluate.stats.paired import check_scorer
from o1lab.evaluate.stats.variants import Groups, Refusals, Shift, Weighted
from o1lab.text import json_of, json_value
from store import evaluations
from store.evaluations import OUTCOMES, Evaluation, Result, Tally
from store.sqlite import Database

_MOST_CATEGORIES = 100  # a column with more values is not a category


@dataclass(frozen=True, slots=True)
class Part:
    """Outcomes, accuracy, mean value and token counts of some of the samples."""

    outcomes: dict[str, int]
    rate: Rate
    value: Mean | None
    tokens: Tokens

    def as_json(self) -> dict[str, Any]:
        return {
            **self.outcomes,
            **self.rate.as_json(),
            "mean_value": self.value and self.value.as_json(),
            "avg_output_tokens": rounded(self.tokens.output.mean if self.tokens.output else None),
        }


@dataclass(frozen=True, slots=True)
class Figures:
    """All figures of an evaluation. No figure counts samples that are still ``missing``.

    ``cost_of_samples_usd`` is the cost of the evaluated model's calls, without those of a judge; the run's status shows
    both together.
    """

    evaluation: Evaluation
    scorer: str
    whole: Part
    missing: int
    dropped_tokens: float | None
    """Tokens per response that were generated and dropped."""
    estimated: int
    cached: int
    cost_of_samples_usd: float
    pass_at: dict[int, float]
    maj_at: tuple[MajorityPoint, ...]
    cut: tuple[BudgetPoint, ...]
    forced: tuple[BudgetPoint, ...]
    by_variant: Mapping[str, Part]
    by_category: Mapping[str, Part]
    groups: Groups | None
    shifts: tuple[Shift, ...]
    refusals: Refusals | None
    weighted: Weighted | None
    convergence: tuple[ConvergenceSummary, ...]

    @property
    def force_answer(self) -> int | None:
        """The token limit of forced answers; None if they were not requested."""
        found = self.evaluation.settings.get("force_answer")
        return int(found) if found else None

    def as_json(self) -> dict[str, Any]:
        one, tokens = self.evaluation, self.whole.tokens
        parts = ("by_variant", "by_category", "groups", "shifts", "refusals", "weighted", "convergence")
        return (
            _heading(one, self.scorer)
            | json_of(self, "force_answer", "items=evaluation.items", "samples=evaluation.samples", "missing")
            | self.whole.as_json()
            | {
                "avg_thought_tokens": rounded(tokens.thought.mean if tokens.thought else None),
                "avg_answer_tokens": rounded(tokens.answer.mean if tokens.answer else None),
                "avg_dropped_tokens": self.dropped_tokens,
            }
            | json_of(self, "tokens=whole.tokens", "estimated", "cached", "cost_of_samples_usd", digits=6)
            | {"pass_at": {str(k): rounded(value) for k, value in self.pass_at.items()}}
            | {"maj_at": json_value(self.maj_at), "budgets": json_value((*self.cut, *self.forced))}
            | json_of(self, *parts)
        )


def figures(db: Database, evaluation: Evaluation, scorer: str | None = None) -> Figures:
    """Compute all figures of an evaluation. Takes a second or two with 100,000 samples: call it in a thread.

    Args:
        db: the lab's database.
        evaluation: the evaluation.
        scorer: the label of the scores; by default the evaluation's own.

    Raises:
        UsageError: this scorer has not scored the evaluation.
    """
    label = evaluation.scorer if scorer is None else scorer
    check_scorer(db, evaluation, label)
    results = list(evaluations.results(db, evaluation.id, label))
    items = {row.item: row for row in evaluations.items(db, evaluation.id)}
    categories = {name: str(row.meta["category"]) for name, row in items.items() if row.meta.get("category")}
    tally = evaluations.tally(db, evaluation.id, label)
    several = evaluation.samples > 1
    return Figures(
        evaluation=evaluation,
        scorer=label,
        whole=part(results),
        missing=max(0, evaluation.items * evaluation.samples - len(results)),
        dropped_tokens=_mean(tally.dropped_tokens, tally.answered),
        estimated=tally.estimated,
        cached=tally.cached,
        cost_of_samples_usd=tally.cost_usd,
        pass_at=metrics.mean_pass_at(results) if several else {},
        maj_at=majority.maj_at(results, label) if several else (),
        cut=budgets.under_budget(results),
        forced=budgets.forced(db, evaluation, label),
        by_variant=_parts(results, lambda one: one.variant),
        by_category=_parts(results, lambda one: categories.get(one.item)),
        groups=variants.groups(results),
        shifts=variants.shifts(results, items),
        refusals=variants.refusals(results, items),
        weighted=variants.weighted(results, items),
        convergence=of_evaluation(db, evaluation),
    )


def part(results: Sequence[Result]) -> Part:
    """Return the figures of these samples."""
    seen = Counter(one.outcome for one in results)
    return Part(
        {name: seen[name] for name in OUTCOMES},
        metrics.accuracy(results),
        metrics.mean_value(results),
        metrics.tokens(results),
    )


def _parts(results: Sequence[Result], name_of: Callable[[Result], str | None]) -> dict[str, Part]:
    """Return a part for each name, in order of appearance; empty if there is only one name or too many."""
    found: dict[str, list[Result]] = {}
    for one in results:
        if (name := name_of(one)) is not None:
            found.setdefault(name, []).append(one)
    return {name: part(members) for name, members in found.items()} if 1 < len(found) <= _MOST_CATEGORIES else {}


@dataclass(frozen=True, slots=True)
class Summary:
    """The results of an evaluation under its scorer. No figure counts samples that are still missing.

    ``rate``, ``value`` and ``maj_at`` are None or empty in a brief summary, which does not read single samples.
    """

    evaluation: Evaluation
    scorer: str
    tally: Tally
    rate: metrics.Rate | None = None
    maj_at: tuple[majority.MajorityPoint, ...] = ()
    value: metrics.Mean | None = None

    @property
    def missing(self) -> int:
        return max(0, self.evaluation.items * self.evaluation.samples - self.tally.total)

    @property
    def metric(self) -> Metric:
        """The headline figure."""
        return headline(self.evaluation, self.scorer, self.tally)

    @property
    def accuracy(self) -> float | None:
        """Correct over all samples."""
        return self.tally.outcomes["correct"] / self.tally.total if self.tally.total else None

    def as_json(self) -> dict[str, Any]:
        """Return the summary as a JSON object."""
        one, seen = self.evaluation, self.tally
        answers = seen.output_where_thought_known - seen.thought_tokens
        found = {
            **_heading(one, self.scorer),
            "items": one.items,
            "samples": one.samples,
            "missing": self.missing,
            **{outcome: seen.outcomes[outcome] for outcome in OUTCOMES},
            "metric": self.metric,
            "accuracy": metrics.rounded(self.accuracy),
            "mean_value": _mean(seen.values, seen.valued),
            "graded": seen.valued,
            "avg_output_tokens": _mean(seen.output_tokens, seen.answered),
            "avg_thought_tokens": _mean(seen.thought_tokens, seen.thought_known),
            "avg_answer_tokens": _mean(answers, seen.thought_known),
            "avg_dropped_tokens": _mean(seen.dropped_tokens, seen.answered),
            "estimated": seen.estimated,
            "cached": seen.cached,
        }
        if self.rate is None:
            return found
        graded = self.value and self.value.interval
        return found | {
            **metrics.interval_json(self.rate.interval),
            "mean_value_ci95": graded and graded.as_json(),
            "maj_at": [point.as_json() for point in self.maj_at],
        }


def summarise(db: Database, evaluation: Evaluation, *, brief: bool = False) -> Summary:
    """Summarise an evaluation under its own scorer.

    Args:
        db: the lab's database.
        evaluation: the evaluation.
        brief: compute only what needs no reading of single samples.
    """
    label = evaluation.scorer
    tally = evaluations.tally(db, evaluation.id, label)
    if brief:
        return Summary(evaluation, label, tally)
    results = list(evaluations.results(db, evaluation.id, label))
    curve = majority.maj_at(results, label) if evaluation.samples > 1 else ()
    return Summary(evaluation, label, tally, metrics.accuracy(results), curve, metrics.mean_value(results))


def _mean(total: float, number: int) -> float | None:
    return metrics.rounded(total / number) if number else None


def _heading(one: Evaluation, scorer: str) -> dict[str, Any]:
    """Return the JSON keys that say what was evaluated and by which scorer."""
    found = json_of(one, "id", "suite", "suite_version", "family") | {"scorer_version": scorer}
    return found | json_of(one, "model", "role", "revision", "sampling")
