"""What the Distill screen reads of teacher runs, in a thread: only what changed since the last poll."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from o1lab.distill import runs
from o1lab.distill.run_directory import RunFolder
from o1lab.distill.runs import RunInfo
from o1lab.errors import LabError
from o1lab.files import StampedCache
from o1lab.inference.journal import FaultCount
from o1lab.inference.prompts import Prompt, restore_prompts
from o1lab.paths import Lab
from screens.jobs.kind import FaultReader, Snapshot
from store import teacher_runs
from store.connection import Store


@dataclass(frozen=True)
class RunDetail:
    """What the screen shows of the selected run.

    Attributes:
        reasons: Why samples were rejected or failed, with the number of each.
        pausing: It was asked to make no new calls.
    """

    line: RunInfo
    folder: RunFolder
    prompts: Mapping[str, Prompt]
    reasons: Mapping[str, int]
    faults: tuple[FaultCount, ...]
    pausing: bool


@dataclass
class Poller:
    """Reads the teacher runs of a lab and remembers what it has read. A lock allows one poll at a time."""

    lab: Lab
    store: Store
    _reasons: StampedCache[Mapping[str, int]] = field(default_factory=StampedCache)
    _faults: FaultReader = field(default_factory=FaultReader)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def poll(self, selected: str | None) -> Snapshot[RunInfo, RunDetail]:
        """Read what is new; ``selected`` in detail, or the newest run when it is None or gone."""
        with self._lock:
            infos = tuple(runs.TEACHER_RUNS.infos(self.lab))
            chosen = next((info for info in infos if info.id == selected), infos[0] if infos else None)
            return Snapshot(infos, self._detail(chosen) if chosen else None)

    def _detail(self, info: RunInfo) -> RunDetail:
        folder = RunFolder(self.lab.distill / info.id)
        return RunDetail(
            info,
            folder,
            _read_prompts(folder),
            self._reasons.get(info.id, (info.status.rejected, info.status.failed), lambda: self._read_reasons(info.id)),
            self._faults.read(folder, info.status),
            folder.pause_file.exists(),
        )

    def _read_reasons(self, run_id: str) -> Mapping[str, int]:
        with self.store.explained():
            return teacher_runs.reasons(self.store.db, run_id)


def _read_prompts(folder: RunFolder) -> Mapping[str, Prompt]:
    try:
        return restore_prompts(folder.prompts)
    except LabError:
        return {}
