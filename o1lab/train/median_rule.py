"""Which runs of a group are hopeless, by the median stopping rule. Does not import torch.

A run is hopeless if its best ``eval_loss`` up to a step is worse than the median of those of the other runs up to the
same step (Golovin et al., Google Vizier, 2017). The recipe's ``stop_hopeless`` is the first step at which a run is
judged. Other runs count if they have been evaluated at that step, or were stopped by this rule before it, so that the
median stays that of the whole group. At least ``OTHERS`` runs must count. Runs with other held-out rows (another
dataset, or another seed, which draws other rows) or another objective do not count: their losses are not comparable.

Each run judges itself when it is evaluated, from the metrics of the others, so no other process is needed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from o1lab.format import number
from o1lab.train.groups import find_group, tag_of
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.runs.directory import RunDir, RunState
from o1lab.train.runs.metrics_reader import Metrics

MEDIAN_RULE = "median_rule"
"""What ``stopped_by`` says of a run that was stopped by this rule."""
OTHERS = 3
"""A median of fewer runs says little."""
_HELD_OUT = frozenset({
    "base", "dataset", "phase", "system_prompt", "system", "chat_template", "eos_token", "max_length", "over_length",
    "eval_rows", "seed", "objective", "beta", "desirable_weight", "undesirable_weight",
})  # fmt: skip
"""Fields that change what ``eval_loss`` is, or which tokens it is measured on."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a run is stopped.

    Attributes:
        step: the step at which it was judged.
        best: its best ``eval_loss`` up to this step.
        median: the median of the others.
        others: the best ``eval_loss`` of each other run up to this step.
    """

    step: int
    best: float
    median: float
    others: dict[str, float]

    def __str__(self) -> str:
        return (
            f"best eval_loss {number(self.best)} at step {self.step}, but {number(self.median)} is the median of "
            f"{len(self.others)} other runs of the group"
        )

    def as_json(self) -> dict[str, Any]:
        return {"rule": MEDIAN_RULE} | asdict(self)


@dataclass
class MedianRule:
    """Compares a run with the other runs of its group, whose metrics it polls.

    Args:
        run: the run.
        first: the first step at which it is judged.
    """

    run: RunDir
    first: int
    _metrics: dict[str, Metrics] = field(default_factory=dict)

    def judge(self, step: int) -> Verdict | None:
        """Return why the run is hopeless at this step; None if it is not, or if too few runs have reached the step."""
        own = self._best(self.run, step)
        if step < self.first or own is None:
            return None
        others = {}
        for other in self._others():
            if (best := self._best(other, step)) is not None and (self._reached(other, step) or stopped_early(other)):
                others[other.id] = best
        if len(others) < OTHERS:
            return None
        middle = median(others.values())
        return Verdict(step, own, middle, others) if own > middle else None

    def _others(self) -> list[RunDir]:
        """Return the other runs of the group whose losses can be compared with those of this run."""
        tag = tag_of(self.run)
        group = None if tag is None else find_group(self.run.lab, tag.name)
        if tag is None or group is None:
            return []
        found = []
        for other in group.runs:
            theirs = tag_of(other)
            if other.id != self.run.id and theirs is not None and _held_out(theirs.varies) == _held_out(tag.varies):
                found.append(other)
        return found

    def _evaluations(self, run: RunDir) -> list[tuple[float, float]]:
        """Return the steps and losses of the evaluations of a run."""
        metrics = self._metrics.setdefault(run.id, Metrics(run.metrics))
        metrics.poll()
        found = zip(metrics.steps, metrics.column("eval_loss"), strict=True)
        return [(step, loss) for step, loss in found if math.isfinite(loss)]

    def _best(self, run: RunDir, step: int) -> float | None:
        return min((loss for at, loss in self._evaluations(run) if at <= step), default=None)

    def _reached(self, run: RunDir, step: int) -> bool:
        return any(at >= step for at, _ in self._evaluations(run))


def stopped_early(run: RunDir) -> bool:
    """Whether this rule has stopped the run before; it does not judge such a run again."""
    return run.early_stop.exists()


def left_alone(info: RunState) -> str:
    """Return why a resume of a whole group skips a run that the rule has stopped; empty for other runs."""
    return "stopped as hopeless (resume it by its id)" if info.status.stopped_by == MEDIAN_RULE else ""


def never_judged(recipes: Sequence[Recipe], fields: Sequence[str]) -> str:
    """Return why the rule applies to no run of a group; empty if it applies, or is off."""
    if not any(recipe.stop_hopeless for recipe in recipes):
        return ""
    alike = Counter(str(_held_out({name: getattr(recipe, name) for name in fields})) for recipe in recipes)
    if max(alike.values()) > OTHERS:
        return ""
    return (
        f"stop_hopeless stops no run of this group: it compares a run with at least {OTHERS} others that are evaluated "
        "on the same rows: the same dataset and base, and the same seed, which draws the rows."
    )


def _held_out(varies: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in varies.items() if name in _HELD_OUT}
