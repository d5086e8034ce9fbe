"""What the Distill screen reads of teacher runs, gathered in a thread: only what changed since the last look."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from o1lab.distill import runs
from o1lab.distill.run_directory import RunFolder
from o1lab.distill.runs import RunInfo
from o1lab.errors import LabError
from o1lab.inference.journal import FaultCount
from o1lab.inference.prompts import Prompt, restore_prompts
from o1lab.paths import Lab
from store import teacher_runs
from store.connection import Store


@dataclass(frozen=True)
class RunDetail:
    """What the screen shows of the selected run. ``pausing``: it was asked to make no new call."""

    info: RunInfo
    folder: RunFolder
    prompts: Mapping[str, Prompt]
    reasons: Mapping[str, int]
    """Why samples were rejected or failed, with how many of each."""
    faults: tuple[FaultCount, ...]
    pausing: bool
    stopping: bool


@dataclass(frozen=True)
class Snapshot:
    """One look at the lab's teacher runs."""

    infos: tuple[RunInfo, ...]
    detail: RunDetail | None

    @property
    def active(self) -> int:
        return sum(info.active for info in self.infos)


@dataclass
class Poller:
    """Looks at the teacher runs of a lab; remembers what it has read. One look at a time: it locks."""

    lab: Lab
    store: Store
    _prompts: dict[str, Mapping[str, Prompt]] = field(default_factory=dict)
    _reasons: dict[str, tuple[tuple[int, int], Mapping[str, int]]] = field(default_factory=dict)
    _faults: dict[str, tuple[dict[str, int], tuple[FaultCount, ...]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self, selected: str | None) -> Snapshot:
        """Read what is new; ``selected`` is given in detail, the newest run when it is None or gone."""
        with self._lock:
            infos = tuple(runs.TEACHER_RUNS.infos(self.lab))
            chosen = next((info for info in infos if info.id == selected), infos[0] if infos else None)
            return Snapshot(infos, self._detail(chosen) if chosen else None)

    def _detail(self, info: RunInfo) -> RunDetail:
        folder = RunFolder(self.lab.distill / info.id)
        return RunDetail(
            info,
            folder,
            self._prompts_of(folder),
            self._reasons_of(info),
            self._faults_of(info, folder),
            folder.pause_file.exists(),
            folder.stop_file.exists(),
        )

    def _prompts_of(self, folder: RunFolder) -> Mapping[str, Prompt]:
        """A run's prompts never change."""
        if folder.id not in self._prompts:
            try:
                self._prompts[folder.id] = restore_prompts(folder.prompts)
            except LabError:
                return {}
        return self._prompts[folder.id]

    def _reasons_of(self, info: RunInfo) -> Mapping[str, int]:
        stamp = (info.status.rejected, info.status.failed)
        known = self._reasons.get(info.id)
        if known is None or known[0] != stamp:
            with self.store.explained():
                known = self._reasons[info.id] = (stamp, teacher_runs.reasons(self.store.db, info.id))
        return known[1]

    def _faults_of(self, info: RunInfo, folder: RunFolder) -> tuple[FaultCount, ...]:
        """They are in the journal, all of which has to be read: only when another fault came."""
        known = self._faults.get(info.id)
        if known is None or known[0] != info.status.faults:
            found = tuple(runs.faults(folder)) if info.status.faults else ()
            known = self._faults[info.id] = (dict(info.status.faults), found)
        return known[1]
