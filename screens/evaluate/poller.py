"""What the Evaluate screen reads of evaluations, gathered in a thread: only what changed, and no more at once than
keeps the screen quick."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from o1lab.evaluate.report.cells import Interval
from o1lab.evaluate.report.selection import EvaluationResult
from o1lab.evaluate.run import control
from o1lab.evaluate.run.control import EvalInfo
from o1lab.evaluate.run.directory import EvalFolder
from o1lab.inference.journal import FaultCount
from o1lab.paths import Lab
from store import evaluations
from store.connection import Store
from store.evaluations import Evaluation, Tally

# In one look at most so long is spent on figures, and on one evaluation's at most this share of the time: the tally of
# 100,000 samples takes 0.4 seconds of a core, their interval, which reads each of them, two.
BUDGET_S, SHARE = 0.5, 0.05
AT_ONCE = 5000  # samples: the interval of more comes with a later look


@dataclass(frozen=True)
class Figures:
    """An evaluation under one scorer. ``value`` (accuracy, or the mean of a grading scorer's values) and ``interval``
    are out of 100; ``tokens`` is the average of an answer. ``whole``: the interval has been looked for."""

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

    ``info`` is its folder's word, None where the folder is gone; ``record`` the lab's row, None before there is one.
    ``figures`` come a moment later than the rest.
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
    def suite(self) -> str:
        if self.record is not None:
            return self.record.suite_label
        return self.info.settings.suite if self.info and self.info.settings else "?"

    @property
    def model(self) -> str:
        if self.record is not None:
            return self.record.model
        return self.info.settings.model if self.info and self.info.settings else "?"

    @property
    def requested(self) -> int:
        """How many samples it has when it is finished."""
        if self.info and self.info.status.requested:
            return self.info.status.requested
        return self.record.items * self.record.samples if self.record else 0

    @property
    def done(self) -> int:
        """How many samples came to their end, failed ones too."""
        if self.info and self.info.status.requested:
            return self.info.status.done
        return self.figures.tally.total if self.figures else 0


@dataclass(frozen=True)
class Detail:
    """What the screen shows of the evaluation under the cursor. ``scorers``: who looked at it, with how many samples;
    ``pausing``: it was asked to make no new call."""

    line: Line
    folder: str
    scorers: Mapping[str, int]
    faults: tuple[FaultCount, ...]
    pausing: bool
    stopping: bool


@dataclass(frozen=True)
class Snapshot:
    """One look at the lab's evaluations, the newest first. ``partial``: some figures are still to come."""

    lines: tuple[Line, ...]
    detail: Detail | None
    partial: bool = False

    @property
    def active(self) -> int:
        return sum(line.active for line in self.lines)


@dataclass
class _Kept:
    """Figures with when they were made, at which state of the database, and how long that took."""

    figures: Figures
    written: tuple[int, ...]
    at: float
    took: float

    def serves(self, written: tuple[int, ...], now: float) -> bool:
        """Whether nothing was written since, or it is too early to look again."""
        return self.written == written or now - self.at < self.took / SHARE


@dataclass
class Poller:
    """Looks at the evaluations of a lab; remembers what it has read. One look at a time: it locks."""

    lab: Lab
    store: Store
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _scorers: dict[str, tuple[float, Mapping[str, int]]] = field(default_factory=dict)
    _faults: dict[str, tuple[dict[str, int], tuple[FaultCount, ...]]] = field(default_factory=dict)
    _looked: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self, selected: str | None) -> Snapshot:
        """Read what is new; ``selected`` is given in detail, the newest when it is None or gone."""
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
        kept = self._kept.get(identity)
        return Line(identity, info, record, kept.figures if kept else None)

    def _written(self) -> tuple[int, ...]:
        """Another whenever the database was written to, by whomever."""
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
        """Make the figures that are missing or out of date, the chosen one's first; whether some are left for later."""

        def urgency(one: Evaluation) -> tuple[bool, bool, float]:
            kept, info = self._kept.get(one.id), infos.get(one.id)
            return one.id != chosen, not (info and info.active), kept.at if kept else 0.0

        first, self._looked = not self._looked, True
        if first and sum(one.items * one.samples for one in records.values()) > AT_ONCE:
            return True  # the names are there at once
        order, begun, partial = sorted(records.values(), key=urgency), time.monotonic(), False
        for one in order:
            kept, now = self._kept.get(one.id), time.monotonic()
            if kept is not None and kept.figures.scorer == one.scorer and kept.serves(written, now):
                continue
            if now - begun > BUDGET_S:
                partial = partial or kept is None
            else:
                figures = self._figures(one, whole=kept is not None)
                self._kept[one.id] = _Kept(figures, written, time.monotonic(), time.monotonic() - now)
        for one in order:
            kept, now = self._kept.get(one.id), time.monotonic()
            if kept is None or kept.figures.whole:
                continue
            if now - begun > BUDGET_S:
                partial = True
            else:
                figures = self._figures(one, whole=True)
                self._kept[one.id] = _Kept(figures, written, time.monotonic(), time.monotonic() - now)
        return partial

    def _figures(self, one: Evaluation, *, whole: bool) -> Figures:
        """An evaluation's figures; of many samples the interval only where they are to be ``whole``."""
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
            self._faults_of(line, folder),
            folder.pause_file.exists(),
            folder.stop_file.exists(),
        )

    def _scorers_of(self, identity: str) -> Mapping[str, int]:
        """As old as the figures, and with them."""
        known, kept = self._scorers.get(identity), self._kept.get(identity)
        if kept is None:
            return {}
        if known is None or known[0] != kept.at:
            known = self._scorers[identity] = (kept.at, evaluations.scorers(self.store.db, identity))
        return known[1]

    def _faults_of(self, line: Line, folder: EvalFolder) -> tuple[FaultCount, ...]:
        """They are in the journal, all of which has to be read: only when another fault came."""
        if line.info is None:
            return ()
        known, numbers = self._faults.get(line.id), line.info.status.faults
        if known is None or known[0] != numbers:
            known = self._faults[line.id] = (dict(numbers), tuple(control.faults(folder)) if numbers else ())
        return known[1]
