"""What the Train screen reads of run directories, in a thread: only what changed since the last poll."""

from __future__ import annotations

import math
import threading
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from o1lab.errors import UsageError
from o1lab.files import StampedCache, size_stamp, time_stamp
from o1lab.models.checkpoints import checkpoint_step
from o1lab.paths import Lab
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import load
from o1lab.train.run_list import RunReader
from o1lab.train.runs.directory import Launch, RunDir, RunState, RunStatus
from o1lab.train.runs.metrics_reader import Metrics, Samples, pace_left
from screens.jobs.kind import InfoLine, Snapshot
from store import datasets
from store.connection import Store
from store.filters import RunQuery
from store.filters.jobs import archived_of, matching

LOG_LINES = 200
X_COLUMNS = {"tokens": "num_tokens", "time": "elapsed_s"}
_BUDGET_S = 0.2
"""Seconds that one poll may spend on the lowest losses of runs."""


@dataclass(frozen=True)
class RunLine(InfoLine[RunStatus, None]):
    """A run as the list shows it.

    Attributes:
        run: Its directory.
        info: Its status and whether its process is alive.
        figures: Its figures by the names of the JSON of ``runs ls``.
        place: Its position in the queue for its device, from 1.
    """

    run: RunDir
    info: RunState
    figures: Mapping[str, Any]
    place: int | None = None

    @property
    def loss(self) -> float | None:
        """The last loss that it wrote."""
        loss: float | None = self.figures["loss"]
        return loss

    @property
    def dataset(self) -> str:
        """The name of its dataset; empty if its recipe cannot be read."""
        return self.figures["dataset"] or ""

    @property
    def group(self) -> str:
        """The name of its group; empty if it has none."""
        return self.figures["group"] or ""


@dataclass(frozen=True)
class View:
    """What the screen shows of the runs: those of ``query``, and the curves of ``metrics`` over ``x``."""

    query: RunQuery = field(default_factory=RunQuery)
    metrics: tuple[str, ...] = ("loss",)
    x: str = "steps"


@dataclass(frozen=True)
class Points:
    """New points of one run's curve; ``replaces`` says whether they replace the earlier ones or follow them."""

    run_id: str
    metric: str
    replaces: bool
    xs: array[float]
    values: array[float]


@dataclass(frozen=True)
class Detail:
    """What the screen shows of the selected run, except its curve. ``unreadable`` says what is damaged."""

    line: RunLine
    recipe: Recipe | None
    last: dict[str, float]
    seconds_left: float | None
    samples: tuple[dict[str, Any], ...]
    log: tuple[str, ...]
    checkpoints: tuple[int, ...]
    unreadable: str = ""
    launch: Launch | None = None


@dataclass(frozen=True)
class TrainSnapshot(Snapshot[RunLine, Detail]):
    """The runs of a filter, and what is new on the curves.

    Attributes:
        points: The new points.
        view: What was asked for.
        every: All runs of the lab, listed or not.
        archived: How many runs are not listed because they are archived.
        datasets: The names of the lab's datasets, the newest last; read only while it has no run.
    """

    points: tuple[Points, ...] = ()
    view: View = field(default_factory=View)
    every: tuple[RunLine, ...] = ()
    archived: int = 0
    datasets: tuple[str, ...] = ()

    @property
    def known(self) -> frozenset[str]:
        return frozenset(line.id for line in self.every)

    @property
    def active(self) -> int:
        return sum(line.active for line in self.every)


@dataclass
class _Followed:
    """A run whose curve is drawn, and how much of it was returned."""

    metrics: Metrics
    samples: Samples
    sent: dict[str, tuple[str, int, int]] = field(default_factory=dict)  # by metric: x, generation, number of points

    def new_points(self, run_id: str, metric: str, x: str) -> Points | None:
        """Return the new points of ``metric`` over ``x``, or None if there are none."""
        xs, values = self._curve(metric, x)
        before = self.sent.get(metric, ("", 0, 0))
        replaces = before[:2] != (x, self.metrics.generation)
        first = 0 if replaces else before[2]
        if not replaces and first >= len(xs):
            return None
        self.sent[metric] = (x, self.metrics.generation, len(xs))
        return Points(run_id, metric, replaces, xs[first:], values[first:])

    def _curve(self, metric: str, x: str) -> tuple[array[float], array[float]]:
        xs = self.metrics.column(X_COLUMNS[x]) if x != "steps" else self.metrics.steps
        values = self.metrics.column(metric)
        # Losses on held-out rows are only on some lines: the others must leave no gap in the curve. A step without
        # tokens or seconds has no place on those axes.
        sparse = metric.startswith("eval_")
        if x == "steps" and not sparse:
            return xs, values
        found: list[tuple[float, float]] = []
        for place, value in zip(xs, values, strict=True):
            if not math.isnan(place) and not (sparse and math.isnan(value)) and (not found or place >= found[-1][0]):
                found.append((place, value))
        return array("d", (place for place, _ in found)), array("d", (value for _, value in found))


@dataclass
class Poller:
    """Reads the training runs of a lab and remembers what it has read. A lock allows one poll at a time."""

    lab: Lab
    store: Store
    _followed: dict[str, _Followed] = field(default_factory=dict)
    _recipes: StampedCache[tuple[Recipe | None, str]] = field(default_factory=StampedCache)
    _logs: StampedCache[tuple[str, ...]] = field(default_factory=StampedCache)
    _forgotten: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _runs: RunReader = field(init=False)
    _first: bool = True

    def __post_init__(self) -> None:
        self._runs = RunReader(self.lab)

    def poll(self, selected: str | None, marked: Iterable[str], view: View) -> TrainSnapshot:
        """Read what is new.

        Args:
            selected: The run to read in detail; the first of the list when it is None or gone.
            marked: Other runs whose curves are drawn.
            view: Which runs are listed, and which curves are drawn.
        """
        with self._lock:
            while self._forgotten:  # one by one: the screen may add to them now
                self._followed.pop(self._forgotten.pop(), None)
            found = self._runs.read(0.0 if self._first else _BUDGET_S)
            self._first = False
            queued = (entry for entry in found.entries if entry.info.state == "queued")
            place = places(entry.info for entry in queued if entry.run.launch() is None)
            every = [RunLine(entry.run, entry.info, entry.figures, place.get(entry.run.id)) for entry in found.entries]
            figures = [entry.figures for entry in found.entries]
            lines = tuple(every[at] for at in matching(figures, view.query))
            by_id = {line.id: line for line in every}
            listed = {line.id for line in lines}
            chosen = by_id[selected] if selected in listed else next(iter(lines), None)
            wanted = list(dict.fromkeys([*([chosen.id] if chosen else []), *marked]))
            points = []
            for run_id in (run_id for run_id in wanted if run_id in by_id):
                followed = self._follow(by_id[run_id].run)
                followed.metrics.poll()
                new = (followed.new_points(run_id, metric, view.x) for metric in view.metrics)
                points += [one for one in new if one is not None]
            for gone in self._followed.keys() - set(wanted):
                del self._followed[gone]
            detail = self._detail(chosen) if chosen else None
            return TrainSnapshot(
                lines,
                detail,
                not found.complete,
                points=tuple(points),
                view=view,
                every=tuple(every),
                archived=len(archived_of(figures, view.query)),
                datasets=() if every else tuple(one.name for one in datasets.all_datasets(self.store.db)),
            )

    def forget(self, run_id: str) -> None:
        """Return the whole curve of this run at the next poll. It does not wait for the running poll."""
        self._forgotten.add(run_id)

    def _follow(self, run: RunDir) -> _Followed:
        if run.id not in self._followed:
            self._followed[run.id] = _Followed(Metrics(run.metrics), Samples(run.samples))
        return self._followed[run.id]

    def _detail(self, line: RunLine) -> Detail:
        followed = self._follow(line.run)
        followed.samples.poll()
        metrics = followed.metrics
        recipe, fault = self._recipe(line.run)
        return Detail(
            line,
            recipe,
            metrics.last(),
            seconds_left(metrics, line.info),
            tuple(followed.samples.items),
            self._log(line.run),
            tuple(checkpoint_step(path) for path in line.run.checkpoints()),
            "; ".join(dict.fromkeys(part for part in (line.info.unreadable, fault) if part)),
            line.run.launch(),
        )

    def _recipe(self, run: RunDir) -> tuple[Recipe | None, str]:
        def read() -> tuple[Recipe | None, str]:
            try:
                return load(run.recipe), ""
            except UsageError as error:
                return None, error.message

        return self._recipes.get(run.id, time_stamp(run.recipe), read)

    def _log(self, run: RunDir) -> tuple[str, ...]:
        return self._logs.get(run.id, size_stamp(run.log), lambda: tuple(run.log_tail(LOG_LINES)))


def seconds_left(metrics: Metrics, state: RunState) -> float | None:
    """Estimate the seconds that remain from the pace of the last steps; None if it is not running or has no pace."""
    if state.state != "running":
        return None
    return pace_left(metrics.steps, metrics.column("elapsed_s"), state.status.total_steps)


def places(states: Iterable[RunState]) -> dict[str, int]:
    """Find the position of each queued run in the queue of its device, from 1, by the start of its process.

    A run that waits for another run is not in a queue yet.
    """
    queues: dict[tuple[str, str], list[RunState]] = {}
    for state in states:
        if state.state == "queued" and not state.status.after:
            queues.setdefault((state.status.host, state.status.device), []).append(state)
    return {
        state.id: place
        for queue in queues.values()
        for place, state in enumerate(sorted(queue, key=lambda waiting: waiting.status.pid_started or math.inf), 1)
    }
