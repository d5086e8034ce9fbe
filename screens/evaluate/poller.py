"""What the Evaluate screen reads of evaluations, in a thread: only what changed, and a limited amount at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from o1lab.evaluate.report.cells import Interval
from o1lab.evaluate.report.selection import EvaluationResult
from o1lab.evaluate.run import control
from o1lab.evaluate.run.control import EvalInfo
from o1lab.evaluate.run.directory import EvalFolder, EvalStatus
from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.files import StampedCache
from o1lab.inference.journal import FaultCount
from o1lab.paths import Lab
from screens.jobs.kind import FaultReader, Snapshot
from store import evaluations
from store.connection import Store
from store.evaluations import Evaluation, Tally

# Seconds one poll may spend on figures, and the share of the time one evaluation's figures may take: the tally of
# 100,000 samples takes 0.4 seconds of a core, their interval, which reads each of them, two.
BUDGET_S, SHARE = 0.5, 0.05
AT_ONCE = 5000  # samples; the interval of more is computed in a later poll


@dataclass(frozen=True)
class Figures:
    """The results of an evaluation by one scorer.

    Attributes:
        scorer: The label of the scorer.
        tally: The counts of outcomes and tokens.
        value: The accuracy, or the mean value of a grading scorer, in percent.
        interval: Its 95 % confidence interval, in percent.
        tokens: The average tokens of an answer.
        graded: Whether ``value`` is a mean value.
        whole: Whether the interval has been computed.
    """

    scorer: str
    tally: Tally
    value: float | None
    interval: Interval | None
    tokens: float | None
    graded: bool
    whole: bool = True


@dataclass(frozen=True)
class Line:
    """An evaluation as the list shows it.

    Attributes:
        info: Its settings and status; None if its directory is gone.
        record: Its row in the database; None before it has one.
        figures: Its results, which are read later than the rest.
    """

    id: str
    info: EvalInfo | None
    record: Evaluation | None
    figures: Figures | None

    @property
    def state(self) -> str:
        return self.info.state if self.info else "no folder"

    @property
    def active(self) -> bool:
        return self.info is not None and self.info.active

    @property
    def status(self) -> EvalStatus | None:
        return self.info.status if self.info else None

    @property
    def settings(self) -> EvaluationSettings | None:
        return self.info.settings if self.info else None

    @property
    def name(self) -> str:
        """The name given by a person."""
        return self.info.name if self.info else ""

    @property
    def suite(self) -> str:
        if self.record is not None:
            return self.record.suite_label
        return self.settings.suite if self.settings else "?"

    @property
    def model(self) -> str:
        if self.record is not None:
            return self.record.model
        if self.settings:
            return self.settings.model
        return f"unreadable: {self.info.unreadable}" if self.info and self.info.unreadable else "?"

    @property
    def requested(self) -> int:
        """The number of samples it has when it is finished."""
        if self.status and self.status.requested:
            return self.status.requested
        return self.record.items * self.record.samples if self.record else 0

    @property
    def done(self) -> int:
        """The number of samples that ended, including failed ones."""
        if self.status and self.status.requested:
            return self.status.done
        return self.figures.tally.total if self.figures else 0


@dataclass(frozen=True)
class Detail:
    """What the screen shows of the evaluation under the cursor.

    Attributes:
        scorers: The scorers it was scored by, with the number of samples of each.
        pausing: It was asked to make no new calls.
    """

    line: Line
    folder: str
    scorers: Mapping[str, int]
    faults: tuple[FaultCount, ...]
    pausing: bool


@dataclass
class _Cached:
    """Cached figures, with the database stamp and the time of their computation, and its duration in seconds."""

    figures: Figures
    written: tuple[int, ...]
    at: float
    took: float

    def is_fresh(self, written: tuple[int, ...], now: float) -> bool:
        """Whether nothing was written since, or it is too early to compute them again."""
        return self.written == written or now - self.at < self.took / SHARE


@dataclass
class Poller:
    """Reads the evaluations of a lab and remembers what it has read. A lock allows one poll at a time."""

    lab: Lab
    store: Store
    _cached: dict[str, _Cached] = field(default_factory=dict)
    _scorers: StampedCache[Mapping[str, int]] = field(default_factory=StampedCache)
    _faults: FaultReader = field(default_factory=FaultReader)
    _polled: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def poll(self, selected: str | None) -> Snapshot[Line, Detail]:
        """Read what is new; ``selected`` in detail, or the newest when it is None or gone."""
        with self._lock, self.store.explained():
            written = self._written()
            infos = {info.id: info for info in control.EVALUATIONS.infos(self.lab)}
            records = {one.id: one for one in evaluations.all_evaluations(self.store.db)}
            unregistered = [identity for identity in infos if identity not in records]
            order = [*unregistered, *records]
            chosen = selected if selected in infos or selected in records else (order[0] if order else None)
            partial = self._refresh(records, infos, chosen, written)
            lines = tuple(self._line(identity, infos.get(identity), records.get(identity)) for identity in order)
            line = next((line for line in lines if line.id == chosen), None)
            return Snapshot(lines, self._detail(line) if line else None, partial)

    def _line(self, identity: str, info: EvalInfo | None, record: Evaluation | None) -> Line:
        cached = self._cached.get(identity)
        return Line(identity, info, record, cached.figures if cached else None)

    def _written(self) -> tuple[int, ...]:
        """A stamp that changes whenever any process writes to the database."""
        stamp: list[int] = []
        for path in (self.store.path, self.store.path.with_name(self.store.path.name + "-wal")):
            try:
                found = path.stat()
            except OSError:
                stamp += [0, 0]
            else:
                stamp += [found.st_mtime_ns, found.st_size]
        return tuple(stamp)

    def _refresh(
        self,
        records: Mapping[str, Evaluation],
        infos: Mapping[str, EvalInfo],
        chosen: str | None,
        written: tuple[int, ...],
    ) -> bool:
        """Compute figures that are missing or out of date, the chosen one's first; return whether some are left."""

        def urgency(one: Evaluation) -> tuple[bool, bool, float]:
            cached, info = self._cached.get(one.id), infos.get(one.id)
            return one.id != chosen, not (info and info.active), cached.at if cached else 0.0

        first, self._polled = not self._polled, True
        if first and sum(one.items * one.samples for one in records.values()) > AT_ONCE:
            return True  # show the names at once
        order, begun, partial = sorted(records.values(), key=urgency), time.monotonic(), False
        for whole in (False, True):  # all figures first, then the intervals of many samples
            for one in order:
                cached, now = self._cached.get(one.id), time.monotonic()
                if whole and (cached is None or cached.figures.whole):
                    continue
                if not whole and cached and cached.figures.scorer == one.scorer and cached.is_fresh(written, now):
                    continue
                if now - begun > BUDGET_S:
                    partial = partial or whole or cached is None
                else:
                    figures = self._figures(one, whole=cached is not None)
                    self._cached[one.id] = _Cached(figures, written, time.monotonic(), time.monotonic() - now)
        return partial

    def _figures(self, one: Evaluation, *, whole: bool) -> Figures:
        """Compute figures; of many samples the interval only if ``whole``."""
        tally = evaluations.tally(self.store.db, one.id, one.scorer)
        found = EvaluationResult(self.store.db, one, one.scorer, tally)
        whole = whole or tally.total <= AT_ONCE
        interval = found.interval if whole else None
        return Figures(one.scorer, tally, found.value, interval, found.tokens, found.graded, whole)

    def _detail(self, line: Line) -> Detail:
        folder = EvalFolder(self.lab.evals / line.id)
        return Detail(
            line,
            str(folder.path),
            self._scorers_of(line.id),
            self._faults.read(folder, line.status),
            folder.pause_file.exists(),
        )

    def _scorers_of(self, identity: str) -> Mapping[str, int]:
        """Return the scorers as of the last figures."""
        cached = self._cached.get(identity)
        if cached is None:
            return {}
        return self._scorers.get(identity, cached.at, lambda: evaluations.scorers(self.store.db, identity))
