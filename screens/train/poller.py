"""What the Train screen reads of run directories, in a thread: only what changed since the last poll."""

from __future__ import annotations

import math
import threading
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from o1lab.errors import UsageError
from o1lab.models.checkpoints import checkpoint_step
from o1lab.paths import Lab
from o1lab.train import recipe as recipes
from o1lab.train.launch import RUNS
from o1lab.train.metrics_reader import Metrics, Samples, last_metrics
from o1lab.train.run_directory import RunDir, RunState, RunStatus
from screens.jobs.poll_loop import Snapshot, StampedCache
from store import runs
from store.connection import Store

LOG_LINES = 200
_PACE_LINES = 20
_TAIL_BYTES = 4096


@dataclass(frozen=True)
class RunLine:
    """A run as the list shows it.

    Attributes:
        run: Its directory.
        info: Its status and whether its process is alive.
        loss: The last loss that it wrote.
        dataset: The name of its dataset; empty for a run that this lab did not start.
        place: Its position in the queue for its device, from 1.
    """

    run: RunDir
    info: RunState
    loss: float | None
    dataset: str
    place: int | None = None

    @property
    def id(self) -> str:
        return self.run.id

    @property
    def state(self) -> str:
        return self.info.state

    @property
    def active(self) -> bool:
        return self.info.active

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def status(self) -> RunStatus:
        return self.info.status


@dataclass(frozen=True)
class Points:
    """New points of one run's curve; ``replaces`` says whether they replace the earlier ones or follow them."""

    run_id: str
    replaces: bool
    steps: array[float]
    values: array[float]


@dataclass(frozen=True)
class Detail:
    """What the screen shows of the selected run, except its curve. ``unreadable`` says what is damaged."""

    line: RunLine
    recipe: recipes.Recipe | None
    last: dict[str, float]
    seconds_left: float | None
    samples: tuple[dict[str, Any], ...]
    log: tuple[str, ...]
    checkpoints: tuple[int, ...]
    unreadable: str = ""


@dataclass(frozen=True)
class TrainSnapshot(Snapshot[RunLine, Detail]):
    """The lab's runs, and what is new on the curves of ``metric``."""

    points: tuple[Points, ...] = ()
    metric: str = "loss"


@dataclass
class _Followed:
    """A run whose curve is drawn, and how much of it was returned."""

    metrics: Metrics
    samples: Samples
    sent: tuple[str, int] | None = None
    count: int = 0

    def new_points(self, run_id: str, metric: str) -> Points | None:
        """Return the new points of ``metric``, or None if there are none."""
        steps, values = self.metrics.steps, self.metrics.column(metric)
        if metric.startswith("eval_"):  # only on some lines: the others must leave no gap in the curve
            known = [index for index, value in enumerate(values) if not math.isnan(value)]
            steps, values = array("d", (steps[i] for i in known)), array("d", (values[i] for i in known))
        key = (metric, self.metrics.generation)
        replaces = self.sent != key
        first = 0 if replaces else self.count
        if not replaces and first >= len(steps):
            return None
        self.sent, self.count = key, len(steps)
        return Points(run_id, replaces, steps[first:], values[first:])


@dataclass
class Poller:
    """Reads the training runs of a lab and remembers what it has read. A lock allows one poll at a time."""

    lab: Lab
    store: Store
    _followed: dict[str, _Followed] = field(default_factory=dict)
    _recipes: StampedCache[tuple[recipes.Recipe | None, str]] = field(default_factory=StampedCache)
    _losses: StampedCache[float | None] = field(default_factory=StampedCache)
    _logs: StampedCache[tuple[str, ...]] = field(default_factory=StampedCache)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def poll(self, selected: str | None, marked: Iterable[str], metric: str) -> TrainSnapshot:
        """Read what is new.

        Args:
            selected: The run to read in detail; the newest when it is None or gone.
            marked: Other runs whose curves are drawn.
            metric: The metric of the curves.
        """
        with self._lock:
            known = {record.id: record.dataset for record in runs.all_runs(self.store.db)}
            found = [(run, run.info()) for run in RUNS.directories(self.lab)]
            place = places(state for _, state in found)
            lines = tuple(
                RunLine(run, state, self._loss(run), known.get(run.id, ""), place.get(run.id)) for run, state in found
            )
            by_id = {line.id: line for line in lines}
            chosen = by_id.get(selected or "") or next(iter(lines), None)
            wanted = list(dict.fromkeys([*([chosen.id] if chosen else []), *marked]))
            points = []
            for run_id in (run_id for run_id in wanted if run_id in by_id):
                followed = self._follow(by_id[run_id].run)
                followed.metrics.poll()
                if (new := followed.new_points(run_id, metric)) is not None:
                    points.append(new)
            for gone in self._followed.keys() - set(wanted):
                del self._followed[gone]
            return TrainSnapshot(lines, self._detail(chosen) if chosen else None, points=tuple(points), metric=metric)

    def forget(self, run_id: str) -> None:
        """Return the whole curve of this run at the next poll."""
        with self._lock:
            self._followed.pop(run_id, None)

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
            "; ".join(part for part in (line.info.unreadable, fault) if part),
        )

    def _recipe(self, run: RunDir) -> tuple[recipes.Recipe | None, str]:
        def read() -> tuple[recipes.Recipe | None, str]:
            try:
                return recipes.load(run.recipe), ""
            except UsageError as error:
                return None, error.message

        return self._recipes.get(run.id, _stamp(run.recipe), read)

    def _loss(self, run: RunDir) -> float | None:
        return self._losses.get(
            run.id, _size(run.metrics), lambda: last_metrics(run.metrics, limit=_TAIL_BYTES).get("loss")
        )

    def _log(self, run: RunDir) -> tuple[str, ...]:
        return self._logs.get(run.id, _size(run.log), lambda: tuple(run.log_tail(LOG_LINES)))


def seconds_left(metrics: Metrics, state: RunState) -> float | None:
    """Estimate the seconds that remain from the pace of the last steps; None if it is not running or has no pace."""
    steps, elapsed = metrics.steps, metrics.column("elapsed_s")
    if state.state != "running" or len(steps) < 2:
        return None
    first = max(len(steps) - 1 - _PACE_LINES, 0)
    done, took = steps[-1] - steps[first], elapsed[-1] - elapsed[first]
    if not done > 0 or not took > 0:
        return None
    return max(state.status.total_steps - steps[-1], 0) * took / done


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


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return -1
