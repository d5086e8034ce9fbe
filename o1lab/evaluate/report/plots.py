"""The data of plots: accuracy against output tokens, and the lengths of right and wrong answers.

Each set of comparable evaluations (suite version, items, scorer) has its own panel, so that points that are not
comparable never share axes. Drawing is in ``plot_svg`` and ``plot_text``.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, ClassVar

from o1lab.evaluate.report.cells import Interval
from o1lab.evaluate.report.published import Benchmark, PublishedAccuracy, published_accuracy
from o1lab.evaluate.report.selection import ComparisonKey, EvaluationResult
from o1lab.evaluate.report.tables import comparable_groups, heading_of, row_labels
from o1lab.evaluate.stats.metrics import rounded_ends
from o1lab.text import json_of

BINS = 48
_OWN_MARKS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_PUBLISHED_MARKS = "abcdefghijklmnopqrstuvwxyz"
_STEPS = (1.0, 2.0, 5.0)
_SPAN = 40


@dataclass(frozen=True, slots=True)
class Point:
    """A model: average output tokens and accuracy in percent. ``mark`` is its letter in every panel."""

    mark: str
    label: str
    tokens: float
    accuracy: float
    interval: Interval | None = None
    published: bool = False
    evaluation: str = ""

    @property
    def name(self) -> str:
        """The label, marked if the point is published."""
        return f"{self.label} (published)" if self.published else self.label

    def as_json(self) -> dict[str, Any]:
        return {
            "label": self.label, "published": self.published, "evaluation": self.evaluation or None,
            "tokens": round(self.tokens, 2), "accuracy": round(self.accuracy, 4),
            "interval": rounded_ends(self.interval),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """The maj@k curve of a model: (k, k times its average tokens, accuracy in percent), k ascending."""

    mark: str
    label: str
    steps: tuple[tuple[int, float, float], ...]

    def as_json(self) -> dict[str, Any]:
        steps = [{"k": k, "tokens": round(tokens, 2), "accuracy": round(share, 4)} for k, tokens, share in self.steps]
        return {"label": self.label, "maj_at": steps}


@dataclass(frozen=True, slots=True)
class Scatter:
    """One panel of accuracy against tokens, with a logarithmic token axis."""

    title: str
    points: tuple[Point, ...]
    lines: tuple[Line, ...] = ()
    x_title: ClassVar[str] = "average output tokens (log)"
    y_title: ClassVar[str] = "accuracy, %"

    def x_bounds(self) -> tuple[float, float]:
        """Return (lowest, highest) of the token axis."""
        return log_bounds([one.tokens for one in self.points] + [at for line in self.lines for _, at, _ in line.steps])

    def y_bounds(self) -> tuple[int, int, int]:
        """Return (lowest, highest, step) of the percentage axis."""
        seen = [value for one in self.points for value in (one.accuracy, *(one.interval or ()))]
        return percent_bounds([*seen, *(share for line in self.lines for *_, share in line.steps)])

    def as_json(self) -> dict[str, Any]:
        return json_of(self, "title", "points", "lines")


@dataclass(frozen=True, slots=True)
class Bars:
    """The number of samples in each bin; ``middle`` is their median length."""

    kind: str  # right, wrong or cut off
    counts: tuple[int, ...]
    middle: float | None

    @property
    def n(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Lengths:
    """The distribution of one model's output tokens."""

    mark: str
    label: str
    bars: tuple[Bars, ...]
    left_out: int  # unscored or failed samples
    evaluation: str

    @property
    def summary(self) -> str:
        """Number and median length of the samples of each kind, as a phrase."""
        kinds = (f"{bars.n:,} {bars.kind} (median {bars.middle or 0:,.0f})" for bars in self.bars if bars.n)
        return ", ".join(kinds) or "no scored samples"

    def as_json(self) -> dict[str, Any]:
        samples = {bars.kind: {"n": bars.n, "median": bars.middle, "counts": list(bars.counts)} for bars in self.bars}
        return {"label": self.label, "evaluation": self.evaluation, "left_out": self.left_out, "samples": samples}


@dataclass(frozen=True, slots=True)
class Histogram:
    """The lengths of several models over the same bins, logarithmically spaced; ``edges`` has one more than bins."""

    title: str
    edges: tuple[float, ...]
    models: tuple[Lengths, ...]

    def as_json(self) -> dict[str, Any]:
        return json_of(self, "title", "edges", "models", digits=3)


@dataclass(frozen=True, slots=True)
class SizePoint:
    """Students that learned from ``size`` chains: their mean in percent, its interval, and the figure of each."""

    size: int
    accuracy: float
    interval: Interval
    each: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        return json_of(self, "size", "accuracy", "interval", "each", digits=4)


@dataclass(frozen=True, slots=True)
class Level:
    """A horizontal line: a model that is the same for all sizes, such as the teacher."""

    mark: str
    label: str
    accuracy: float
    interval: Interval | None = None

    def as_json(self) -> dict[str, Any]:
        return json_of(self, "label", "accuracy", "interval", digits=4)


@dataclass(frozen=True, slots=True)
class SizeCurve:
    """A panel of accuracy against size, with a logarithmic axis of sizes."""

    title: str
    y_title: str
    x_title: str
    points: tuple[SizePoint, ...]
    levels: tuple[Level, ...] = ()

    def x_bounds(self) -> tuple[float, float]:
        """Return (lowest, highest) of the axis of sizes."""
        return log_bounds([float(one.size) for one in self.points])

    def y_bounds(self) -> tuple[int, int, int]:
        """Return (lowest, highest, step) of the percentage axis."""
        seen = [value for one in self.points for value in (one.accuracy, *one.interval, *one.each)]
        return percent_bounds([*seen, *(level.accuracy for level in self.levels)])

    def as_json(self) -> dict[str, Any]:
        return json_of(self, "title", "points", "levels")


@dataclass(frozen=True, slots=True)
class PlotData:
    """The panels of a plot, with notes."""

    name: str
    title: str
    panels: tuple[Scatter | Histogram | SizeCurve, ...]
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the plot as a JSON object; accuracies are out of 100."""
        return json_of(self, "plot=name", "title", "panels", "notes")


def tokens_plot(chosen: Sequence[EvaluationResult], *, suites: Sequence[str] = ()) -> PlotData:
    """Return the plot of accuracy against average output tokens, with maj@k curves and published points.

    Args:
        chosen: the evaluations to plot; if empty, only published points are shown.
        suites: without evaluations, only these benchmarks; empty for all.
    """
    printed = published_accuracy()
    marks = _marks(chosen)
    panels: list[Scatter] = []
    for key, members in comparable_groups(chosen).items():
        benchmark = next((one for one in printed.benchmarks if one.is_suite(members[0].evaluation.suite)), None)
        panels.append(_scatter(key, members, marks, benchmark, printed))
    if not chosen:
        panels = [
            Scatter(one.name, _published(one, printed))
            for one in printed.benchmarks
            if _published(one, printed) and (not suites or any(one.is_suite(name) for name in suites))
        ]
    notes = ["Bars are 95 % intervals. Tokens: average per response, including cut-off responses but not failed ones."]
    if any(point.published for panel in panels for point in panel.points):
        notes.append(
            f"Lower-case letters are published: {printed.source.citation}. Their prompts and scorers differ from "
            "yours; intervals of published counts are computed here."
        )
    if any(panel.lines for panel in panels):
        notes.append("Lines: maj@k, the most frequent of k answers, at k times the average tokens; ties at random.")
    return PlotData(
        "tokens", "Accuracy against average output tokens", tuple(one for one in panels if one.points), tuple(notes)
    )


def right_wrong_plot(chosen: Sequence[EvaluationResult]) -> PlotData:
    """Return the plot of the lengths of right, wrong and cut-off answers."""
    marks = _marks(chosen)
    panels = [_histogram(key, members, marks) for key, members in comparable_groups(chosen).items()]
    notes = [
        "Wrong: incorrect, or without an answer that could be extracted. The length of cut-off answers is that of the "
        "token limit."
    ]
    if left := sum(one.left_out for panel in panels for one in panel.models):
        notes.append(f"Not drawn: {left:,} samples that are unscored or failed.")
    panels = [panel for panel in panels if panel.models]
    return PlotData("right-wrong", "Output tokens of right and wrong answers", tuple(panels), tuple(notes))


# Axes and colours.


def log_ticks(low: float, high: float) -> list[float]:
    """Return the ticks 1, 2 and 5 of each decade within the bounds; only decades if there are many."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = _STEPS if math.log10(high / low) <= 3 else _STEPS[:1]
    return [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]


def log_bounds(values: Sequence[float]) -> tuple[float, float]:
    """Return axis bounds with a margin around the values and at least three ticks; values below 1 count as 1."""
    low, high = max(min(values, default=10), 1.0), max(max(values, default=1000), 1.0)
    low, high = max(low / 1.4, 0.7), high * 1.4
    while len(log_ticks(low, high)) < 3:
        low, high = max(low / 1.3, 0.7), high * 1.3
    return low, high


def log_share(value: float, bounds: tuple[float, float]) -> float:
    """Return the place of a value on a logarithmic axis: 0 at its lowest value and below, 1 at its highest."""
    low, high = bounds
    return math.log(max(value, low) / low) / math.log(high / low)


def percent_bounds(values: Sequence[float]) -> tuple[int, int, int]:
    """Return (lowest, highest, step) of a percentage axis that contains the values.

    It spans at least 40, so that small differences do not look large.
    """
    low, high = min(values, default=0.0), max(values, default=100.0)
    if high - low < _SPAN:
        middle = min(max((low + high) / 2, _SPAN / 2), 100 - _SPAN / 2)
        low, high = middle - _SPAN / 2, middle + _SPAN / 2
    step = 10 if high - low <= 60 else 20
    first, last = math.floor((low - 1) / step) * step, math.ceil((high + 1) / step) * step
    return max(first, 0), min(last, 100), step


def short(number: float) -> str:
    """Return the label of a tick: 500, 2k, 1M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:g}{letter}"
    return f"{number:g}"


def mark_colours(points: Sequence[Point], palette: Sequence[str], published: str) -> dict[str, str]:
    """Return the colour of each mark: your own models cycle through the palette, published ones share a colour."""
    own = dict.fromkeys(point.mark for point in points if not point.published)
    colours = {mark: palette[place % len(palette)] for place, mark in enumerate(own)}
    return {point.mark: colours.get(point.mark, published) for point in points}


# Parts.


def _marks(chosen: Sequence[EvaluationResult]) -> dict[tuple[str, str], str]:
    model_keys = list(dict.fromkeys(one.model_key for one in chosen))
    return {model: _OWN_MARKS[place] if place < len(_OWN_MARKS) else "*" for place, model in enumerate(model_keys)}


def _title(name: str, key: ComparisonKey, members: Sequence[EvaluationResult]) -> str:
    about = heading_of(key, members[0].evaluation.items)
    return f"{name}: {about}" if name else about


def _scatter(
    key: ComparisonKey,
    members: Sequence[EvaluationResult],
    marks: dict[tuple[str, str], str],
    benchmark: Benchmark | None,
    printed: PublishedAccuracy,
) -> Scatter:
    points = list(_published(benchmark, printed)) if benchmark is not None else []
    lines = []
    for one, label in zip(members, row_labels(members), strict=True):
        if one.value is None or not one.tokens:
            continue
        mark = marks[one.model_key]
        name = f"{label}, graded" if one.graded else label
        points.append(Point(mark, name, one.tokens, one.value, one.interval, evaluation=one.evaluation.id))
        if steps := _majority(one):
            lines.append(Line(mark, label, steps))
    return Scatter(_title(benchmark.name if benchmark else "", key, members), tuple(points), tuple(lines))


def _majority(one: EvaluationResult) -> tuple[tuple[int, float, float], ...]:
    from o1lab.evaluate.stats.majority import maj_at

    if one.evaluation.samples < 2 or one.graded or not one.finished:
        return ()
    found = [(at.k, at.tokens, 100 * at.value) for at in maj_at(one.results, one.scorer) if at.tokens is not None]
    return tuple(found) if len(found) > 1 else ()


def _published(benchmark: Benchmark, printed: PublishedAccuracy) -> tuple[Point, ...]:
    points = []
    for place, model in enumerate(printed.models):
        result = model.results.get(benchmark.name)
        if result is None or result.tokens is None:
            continue
        mark = _PUBLISHED_MARKS[place % len(_PUBLISHED_MARKS)]
        points.append(Point(mark, model.name, result.tokens, result.percent, result.interval, published=True))
    return tuple(points)


def _histogram(key: ComparisonKey, members: Sequence[EvaluationResult], marks: dict[tuple[str, str], str]) -> Histogram:
    apart = [_by_kind(one) for one in members]
    seen = [count for kinds in apart for counts in kinds.values() for count in counts]
    if not seen:
        return Histogram(_title("", key, members), (), ())
    low, high = log_bounds(seen)
    edges = tuple(low * (high / low) ** (place / BINS) for place in range(BINS + 1))
    models = []
    for one, label, kinds in zip(members, row_labels(members), apart, strict=True):
        bars = tuple(
            Bars(kind, _binned(counts, edges), median(counts) if counts else None) for kind, counts in kinds.items()
        )
        left = one.tally.outcomes["unscored"] + one.tally.outcomes["failed"]
        models.append(Lengths(marks[one.model_key], label, bars, left, one.evaluation.id))
    return Histogram(_title("", key, members), edges, tuple(models))


def _by_kind(one: EvaluationResult) -> dict[str, list[int]]:
    named = {"correct": "right", "incorrect": "wrong", "unextracted": "wrong", "incomplete": "cut off"}
    found: dict[str, list[int]] = {"right": [], "wrong": [], "cut off": []}
    for result in one.results:
        if kind := named.get(result.outcome):
            found[kind].append(result.output_tokens)
    return found


def _binned(counts: Sequence[int], edges: Sequence[float]) -> tuple[int, ...]:
    bins = [0] * (len(edges) - 1)
    for count in counts:
        bins[min(max(bisect_right(edges, max(count, 1)) - 1, 0), len(bins) - 1)] += 1
    return tuple(bins)
