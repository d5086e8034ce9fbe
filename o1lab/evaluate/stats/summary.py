"""The summary of an evaluation: the figures that ``o1lab eval`` prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from o1lab.evaluate.stats import majority, metrics
from o1lab.evaluate.stats.metrics import Metric, headline
from store import evaluations
from store.evaluations import OUTCOMES, Evaluation, Tally
from store.sqlite import Database


@dataclass(frozen=True, slots=True)
class Summary:
    """The results of an evaluation under one scorer. No figure counts samples that are still missing.

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
            "id": one.id,
            "suite": one.suite,
            "suite_version": one.suite_version,
            "family": one.family,
            "scorer_version": self.scorer,
            "model": one.model,
            "role": one.role,
            "revision": one.revision,
            "sampling": one.sampling,
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
            "estimated": seen.estimated,
            "cached": seen.cached,
        }
        if self.rate is None:
            return found
        interval, graded = self.rate.interval, self.value and self.value.interval
        return found | {
            "ci95": interval and interval.as_json(),
            "ci_method": interval and interval.method,
            "mean_value_ci95": graded and graded.as_json(),
            "maj_at": [point.as_json() for point in self.maj_at],
        }


def summarise(db: Database, evaluation: Evaluation, scorer: str | None = None, *, brief: bool = False) -> Summary:
    """Summarise an evaluation.

    Args:
        db: the lab's database.
        evaluation: the evaluation.
        scorer: the label of the scores; by default the evaluation's own.
        brief: compute only what needs no reading of single samples.
    """
    label = evaluation.scorer if scorer is None else scorer
    tally = evaluations.tally(db, evaluation.id, label)
    if brief:
        return Summary(evaluation, label, tally)
    results = list(evaluations.results(db, evaluation.id, label))
    curve = majority.maj_at(results, label) if evaluation.samples > 1 else ()
    return Summary(evaluation, label, tally, metrics.accuracy(results), curve, metrics.mean_value(results))


def _mean(total: float, number: int) -> float | None:
    return metrics.rounded(total / number) if number else None
