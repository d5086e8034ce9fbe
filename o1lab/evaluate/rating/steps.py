"""Agreement of annotators and judges on the first wrong step of traces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from o1lab.evaluate.stats.agreement import Agreement, krippendorff_alpha
from o1lab.evaluate.stats.metrics import wilson
from o1lab.ingest.measuring import moves_of
from o1lab.ingest.steps import as_item, numbered
from store import traces, wrong_steps
from store.sqlite import Database
from store.wrong_steps import StepVerdict

ALPHA_SOURCE = "Krippendorff (2011), Computing Krippendorff's Alpha-Reliability; level nominal"
"""The categories are the numbers of moves and "no wrong step", which has no place in their order."""


@dataclass(frozen=True, slots=True)
class StepPair:
    """Two annotators on the traces that both judged.

    Attributes:
        exact: traces with the same first wrong step, or without one for both.
        within_one: those, and traces whose steps are neighbours.
    """

    one: str
    other: str
    traces: int
    exact: int
    within_one: int

    def as_json(self) -> dict[str, Any]:
        return {
            "annotators": [self.one, self.other],
            "traces": self.traces,
            "exact": _share(self.exact, self.traces),
            "exact_ci95": _interval(self.exact, self.traces),
            "within_one": _share(self.within_one, self.traces),
            "within_one_ci95": _interval(self.within_one, self.traces),
        }


@dataclass(frozen=True)
class StepAgreement:
    """All verdicts on steps in a lab.

    Attributes:
        verdicts: the verdicts of each trace, with the numbers of its current moves.
        pairs: each two annotators who judged a trace in common.
        alpha: Krippendorff's alpha of all annotators.
    """

    verdicts: Mapping[str, Sequence[StepVerdict]]
    pairs: Sequence[StepPair]
    alpha: Agreement
    names: Mapping[str, bool] = field(default_factory=dict)

    @property
    def disagreements(self) -> list[str]:
        """The ids of the traces whose verdicts differ."""
        return [trace for trace, given in self.verdicts.items() if len({one.step for one in given}) > 1]

    def of(self, annotator: str) -> list[StepVerdict]:
        return [one for given in self.verdicts.values() for one in given if one.annotator == annotator]

    def as_json(self) -> dict[str, Any]:
        return {
            "annotators": [self._annotator(name, judge) for name, judge in self.names.items()],
            "pairs": [pair.as_json() for pair in self.pairs],
            "alpha": self.alpha.as_json() | {"level": "nominal", "source": ALPHA_SOURCE},
            "disagreements": [
                {"trace_id": trace, "steps": [as_item(one) for one in self.verdicts[trace]]}
                for trace in self.disagreements
            ],
            "total": len(self.verdicts),
        }

    def _annotator(self, name: str, judge: bool) -> dict[str, Any]:
        given = self.of(name)
        marked = sum(one.step > 0 for one in given)
        return {
            "annotator": name, "judge": judge, "traces": len(given), "marked": marked, "right": len(given) - marked
        }  # fmt: skip


def step_agreement(db: Database, only: Container[str] | None = None) -> StepAgreement:
    """Compare the verdicts on steps in a lab, of all traces or ``only`` these."""
    by_trace: dict[str, list[StepVerdict]] = defaultdict(list)
    for verdict in wrong_steps.every(db):
        if only is None or verdict.trace_id in only:
            by_trace[verdict.trace_id].append(verdict)
    for trace, given in by_trace.items():
        if any(one.step for one in given):
            by_trace[trace] = numbered(given, moves_of(traces.text(db, trace)))
    names = {one.annotator: one.by_judge for given in by_trace.values() for one in given}
    steps: dict[str, dict[str, float]] = {name: {} for name in sorted(names)}
    for trace, given in by_trace.items():
        for one in given:
            steps[one.annotator][trace] = float(one.step)
    pairs = [pair for one, other in combinations(steps, 2) if (pair := _pair(one, other, steps)).traces]
    alpha = krippendorff_alpha(steps, level="nominal")
    return StepAgreement(dict(by_trace), pairs, alpha, {name: names[name] for name in steps})


def _pair(one: str, other: str, steps: Mapping[str, Mapping[str, float]]) -> StepPair:
    both = [(steps[one][trace], steps[other][trace]) for trace in steps[one].keys() & steps[other].keys()]
    exact = sum(a == b for a, b in both)
    near = sum(a == b or (a > 0 and b > 0 and abs(a - b) <= 1) for a, b in both)
    return StepPair(one, other, len(both), exact, near)


def _share(hits: int, n: int) -> float:
    return round(hits / n, 4)


def _interval(hits: int, n: int) -> list[float]:
    return [round(end, 4) for end in wilson(hits, n)]
