"""The runs of a group side by side: their losses, and for each setting the mean and the spread over its seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from o1lab.format import aligned, number
from o1lab.jobs.directory import ACTIVE
from o1lab.text import one_line
from o1lab.train.groups import SEED, RunGroup, tag_of
from o1lab.train.median_rule import MEDIAN_RULE
from o1lab.train.runs.directory import RunDir
from o1lab.train.runs.metrics_reader import Metrics, Samples

FIGURES = {"last_loss": "loss", "best_loss": "lowest", "eval_loss": "eval", "probe_accuracy": "probes"}
"""The figures of a run, with the headings of their columns."""
_LONGEST = 24


@dataclass(frozen=True, slots=True)
class Spread:
    """The mean of several runs, their standard deviation (None for a single run), and their number."""

    mean: float
    deviation: float | None
    runs: int

    def __str__(self) -> str:
        return number(self.mean) + ("" if self.deviation is None else f" ± {number(self.deviation)}")


@dataclass(frozen=True)
class RunFigures:
    """One run of a group.

    Attributes:
        varies: its value of each field that varies.
        last_loss, best_loss, eval_loss: the last and the lowest training loss, and the last loss on the rows held
            out; None if the run has written none.
        probe_accuracy: the share of the probes with a gold answer that were answered correctly the last time; None
            if there are none.
        hopeless: whether ``stop_hopeless`` has stopped it.
    """

    id: str
    state: str
    step: int
    total_steps: int
    varies: dict[str, Any]
    last_loss: float | None
    best_loss: float | None
    eval_loss: float | None
    probe_accuracy: float | None
    hopeless: bool


@dataclass(frozen=True)
class SettingFigures:
    """The runs of a group that differ in nothing but their seed."""

    values: dict[str, Any]
    runs: tuple[RunFigures, ...]

    def spread(self, figure: str) -> Spread | None:
        """Return the mean and the spread of one of ``FIGURES``; None if no run has it."""
        found = [value for run in self.runs if (value := getattr(run, figure)) is not None]
        return Spread(fmean(found), stdev(found) if len(found) > 1 else None, len(found)) if found else None


@dataclass(frozen=True)
class Comparison:
    """The runs of a group, and the settings among them."""

    name: str
    fields: tuple[str, ...]
    runs: tuple[RunFigures, ...]
    settings: tuple[SettingFigures, ...]

    def states(self) -> dict[str, int]:
        """Count the runs by state, the most frequent first."""
        states = [run.state for run in self.runs]
        return {state: states.count(state) for state in sorted(set(states), key=lambda one: (-states.count(one), one))}

    @property
    def active(self) -> int:
        return sum(number for state, number in self.states().items() if state in ACTIVE)

    def progress(self) -> tuple[int, int]:
        """Return the steps that the runs have made, and the total of the runs whose number of steps is known."""
        return sum(run.step for run in self.runs), sum(run.total_steps for run in self.runs)

    def summary(self) -> str:
        """Describe the progress: ``6 runs, 4 finished, 2 running; 420 of 600 steps``."""
        states = ", ".join(f"{count} {state}" for state, count in self.states().items())
        early = sum(run.hopeless for run in self.runs)
        done, total = self.progress()
        unknown = sum(not run.total_steps for run in self.runs)
        return (
            f"{len(self.runs)} run{'s' * (len(self.runs) != 1)}, {states}"
            + (f"; {early} stopped as hopeless" if early else "")
            + (f"; {done:,} of {total:,} steps" if total else "")
            + (f", without those of {unknown} that have not started" if total and unknown else "")
        )

    def as_json(self) -> dict[str, Any]:
        done, total = self.progress()
        return {
            "group": self.name,
            "varies": list(self.fields),
            "states": self.states(),
            "step": done,
            "total_steps": total,
            "settings": [
                {"setting": one.values, "runs": len(one.runs)}
                | {figure: _spread_json(one.spread(figure)) for figure in FIGURES}
                for one in self.settings
            ],
            "runs": [
                {"id": run.id, "state": run.state, "step": run.step, "total_steps": run.total_steps}
                | {"varies": run.varies, "hopeless": run.hopeless}
                | {figure: getattr(run, figure) for figure in FIGURES}
                for run in self.runs
            ],
        }

    def tables(self) -> list[list[str]]:
        """Return the lines of both tables: the settings, and the runs."""
        settings, runs, shown = self.setting_rows(), self.run_rows(), len(self._shown)
        return [
            aligned(settings, right=range(len(settings[0]) - shown - 1, len(settings[0]))),
            aligned(runs, right=range(len(runs[0]) - shown, len(runs[0]))),
        ]

    @property
    def _shown(self) -> list[str]:
        """The figures in the tables: the accuracy on the probes takes the place of the lowest loss, for 80 columns."""
        probed = any(run.probe_accuracy is not None for run in self.runs)
        return [name for name in FIGURES if name != ("best_loss" if probed else "probe_accuracy")]

    def setting_rows(self) -> list[list[str]]:
        """Return a table of the settings with its heading; a ± is the standard deviation over the seeds."""
        names = [name for name in self.fields if name != SEED]
        head = [*names, "runs", *(FIGURES[name] for name in self._shown)]
        rows = [
            [*_values(one.values, names), str(len(one.runs)), *(_spread_text(one.spread(name)) for name in self._shown)]
            for one in self.settings
        ]
        return [head, *rows]

    def run_rows(self) -> list[list[str]]:
        """Return a table of the runs with its heading."""
        head = ["run", *self.fields, "state", *(FIGURES[name] for name in self._shown)]
        rows = [
            [
                run.id, *_values(run.varies, self.fields), _state(run),
                *(number(getattr(run, name)) for name in self._shown),
            ]
            for run in self.runs
        ]  # fmt: skip
        return [head, *rows]


def compare(group: RunGroup) -> Comparison:
    """Read the figures of all runs of a group."""
    found = [_figures(run) for run in group.runs]
    settings: dict[str, list[RunFigures]] = {}
    for run in found:
        settings.setdefault(str(_setting(run)), []).append(run)
    return Comparison(
        group.name,
        group.fields,
        tuple(found),
        tuple(SettingFigures(_setting(members[0]), tuple(members)) for members in settings.values()),
    )


def _figures(run: RunDir) -> RunFigures:
    info, tag, metrics = run.info(), tag_of(run), Metrics(run.metrics)
    metrics.poll()
    samples = Samples(run.samples)
    samples.poll()
    losses, held_out = _known(metrics.column("loss")), _known(metrics.column("eval_loss"))
    return RunFigures(
        run.id,
        info.state,
        info.status.step,
        info.status.total_steps,
        tag.varies if tag is not None else {},
        losses[-1] if losses else None,
        min(losses) if losses else None,
        held_out[-1] if held_out else None,
        _probe_accuracy(samples.items),
        info.status.stopped_by == MEDIAN_RULE,
    )


def _probe_accuracy(samples: Sequence[dict[str, Any]]) -> float | None:
    """Return the share of correct answers at the last step that has any."""
    judged = [(one.get("step", 0), one["correct"]) for one in samples if isinstance(one.get("correct"), bool)]
    last = max((step for step, _ in judged), default=0)
    return fmean(correct for step, correct in judged if step == last) if judged else None


def _state(run: RunFigures) -> str:
    words = "hopeless" if run.hopeless and run.state == "stopped" else run.state
    return words if words == "finished" else f"{words} {run.step:,}/{run.total_steps:,}"


def _known(column: Iterable[float]) -> list[float]:
    return [value for value in column if math.isfinite(value)]


def _setting(run: RunFigures) -> dict[str, Any]:
    return {name: value for name, value in run.varies.items() if name != SEED}


def _values(values: dict[str, Any], names: Sequence[str]) -> list[str]:
    shown = (values.get(name) for name in names)
    return [
        "-" if value is None else number(value) if isinstance(value, float) else one_line(str(value), _LONGEST)
        for value in shown
    ]


def _spread_json(spread: Spread | None) -> dict[str, Any] | None:
    return None if spread is None else {"mean": spread.mean, "sd": spread.deviation, "runs": spread.runs}


def _spread_text(spread: Spread | None) -> str:
    return "-" if spread is None else str(spread)
