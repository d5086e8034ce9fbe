"""Which figure of an evaluation is its headline."""

from __future__ import annotations

from typing import Literal

from store.evaluations import Evaluation, Tally

Metric = Literal["accuracy", "mean_value"]


def headline(evaluation: Evaluation, scorer: str, tally: Tally) -> Metric:
    """What the suite's ``metric`` says; under persons' marks the mean value whatever it says, for they are no verdicts.

    Where the suite wants the mean value and the scorer gave verdicts without a mark, only the accuracy is left.
    """
    if scorer.partition("@")[0] == "human":
        return "mean_value"
    verdicts = tally.outcomes["correct"] + tally.outcomes["incorrect"]
    return "mean_value" if evaluation.metric == "mean_value" and (tally.valued or not verdicts) else "accuracy"
