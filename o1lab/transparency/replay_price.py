"""What replay costs and saves: each suite before training, after it without replay, and after it with replay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from o1lab.evaluate.report.cells import Interval, figure_text
from o1lab.evaluate.report.selection import EvaluationResult
from o1lab.markdown import inline, table
from o1lab.text import json_of
from o1lab.train.runs.directory import RunDir
from o1lab.transparency.checks.methodology import differing_fields
from o1lab.transparency.lab_facts import LabFacts, recipe_values, replayed_traces

_SAME = ("base", "dataset", "dataset_hash", "phase", "init_from")
"""What two runs must share to be compared. Other fields may differ; the comparison names them."""
PARTS = ("before", "without", "with")


@dataclass(frozen=True)
class Figure:
    """A headline in percent and its interval at 95 %; both are None for a model that was not evaluated."""

    value: float | None = None
    interval: Interval | None = None

    def __str__(self) -> str:
        return figure_text(self.value, self.interval)


@dataclass(frozen=True)
class SuitePrice:
    """The headline of the base, the student without replay and the student with it, on one suite."""

    suite: str
    metric: str
    before: Figure
    without: Figure
    with_replay: Figure

    @property
    def figures(self) -> tuple[Figure, Figure, Figure]:
        return self.before, self.without, self.with_replay

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"suite": self.suite, "metric": self.metric}
        for part, one in zip(PARTS, self.figures, strict=True):
            found |= {part: one.value, f"{part}_ci95": None if one.interval is None else [*one.interval]}
        return found


@dataclass(frozen=True)
class ReplayPrice:
    """Two students that differ in replay, and their base.

    Attributes:
        without: the run without replay.
        with_replay: the run with replay.
        share: the share of replay rows.
        rows: the number of replay rows; None if it is not recorded.
        also: the other fields in which the recipes differ.
        suites: the suites that both students were evaluated on, in the order of their names.
    """

    without: str
    with_replay: str
    share: float
    rows: int | None
    also: tuple[str, ...]
    suites: tuple[SuitePrice, ...]

    def as_json(self) -> dict[str, Any]:
        return json_of(self, "without", "with=with_replay", "share", "rows", "also_differ_in=also", "suites")


def replay_price(facts: LabFacts) -> ReplayPrice | None:
    """Compare the student of a run with the one that differs from it in replay; None if there is none.

    Of several, the one with the fewest other differences is taken, then the newest.
    """
    mine = facts.stages[-1].recipe
    replays = bool(mine.get("replay"))
    best: tuple[RunDir, tuple[str, ...]] | None = None
    for run, other in facts.other_runs():
        if bool(other.get("replay")) == replays or any(mine.get(name) != other.get(name) for name in _SAME):
            continue
        also = tuple(name for name in differing_fields(mine, other) if name != "replay")
        if best is None or len(also) < len(best[1]):
            best = run, also
    if best is None:
        return None
    other_run, also = best
    without, with_replay = (other_run, facts.run) if replays else (facts.run, other_run)
    share = float(recipe_values(with_replay).get("replay") or 0)
    rows = len(replayed_traces(with_replay)) or None
    suites = tuple(_suites(facts, without.id, with_replay.id))
    return ReplayPrice(without.id, with_replay.id, share, rows, also, suites)


def _suites(facts: LabFacts, without: str, with_replay: str) -> Iterator[SuitePrice]:
    plain, replayed = ({one.key: one for one in facts.of_run(run)} for run in (without, with_replay))
    for key in sorted(plain.keys() & replayed.keys(), key=lambda one: one.suite):
        bases = [one for one in facts.results if one.key == key and one.evaluation.role == "base"]
        three = (bases[0] if bases else None, plain[key], replayed[key])
        yield SuitePrice(key.suite, key.metric, *map(_figure, three))


def as_markdown(price: ReplayPrice) -> str:
    """Return the comparison as Markdown."""
    rows = "" if price.rows is None else f" ({price.rows:,} rows)"
    lines = [
        f"Replay: run {inline(price.with_replay)} has {price.share:.0%} answers of the base among its rows{rows}, "
        f"run {inline(price.without)} has none.\n"
    ]
    if price.also:
        lines.append(f"The runs also differ in {', '.join(price.also)}.\n")
    if price.suites:
        heads = ("suite", "base", "without replay", "with replay")
        lines.append(table(heads, [(one.suite, *map(str, one.figures)) for one in price.suites]))
    else:
        lines.append(f"No suite has both: o1lab eval SUITE --model {inline(price.without)}\n")
    return "\n".join(lines)


def _figure(one: EvaluationResult | None) -> Figure:
    return Figure() if one is None else Figure(one.value, one.interval)
