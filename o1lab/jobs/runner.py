"""What every job that asks models has in common while it works: its status is kept true, its control files obeyed.

Going on after a crash is nothing but starting again on the same folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, Generic, NamedTuple

from o1lab.errors import LabError, O1LabError, UsageError, from_store
from o1lab.jobs.control import Clock, Control, MonotonicClock
from o1lab.jobs.directory import HEARTBEAT_S, JobFolder, SettingsT, StatusT
from o1lab.jobs.progress import Counts
from o1lab.paths import Lab
from o1lab.process import started_at
from store.connection import Store, open_store
from store.errors import StoreError

STATUS_S = 0.5
"""status.json is written at most so often, and control files are looked for as often."""


class End(NamedTuple):
    """How a session of a job ended, as its status says it."""

    state: str
    stopped_by: str | None
    message: str
    hint: str


class JobRunner(ABC, Generic[StatusT, SettingsT]):
    """One session of a job: from where it stands to its end.

    Args:
        control: for whoever wants to stop or pause it without a file.
        watch: called with each new status, from the event loop.
    """

    def __init__(
        self,
        lab: Lab,
        folder: JobFolder[StatusT, SettingsT],
        progress: Counts,
        *,
        control: Control | None = None,
        watch: Callable[[StatusT], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.lab = lab
        self.folder = folder
        self.counts = progress
        self.control = control or Control()
        self.clock: Clock = clock or MonotonicClock()
        self.settings = folder.settings()
        self.priced = False
        self._watch = watch
        self._pid_started = started_at(os.getpid())
        self._started_at = time.time()
        self._written = 0.0
        self._heart: asyncio.Task[None] | None = None

    @abstractmethod
    async def do(self, held: contextlib.AsyncExitStack, store: Store, before: StatusT | None) -> None:
        """All there is to do. ``begin`` must be called when the models are open; ``held`` is left at the end."""

    def left_over(self) -> str:
        """What to say of an end at which something is still to be done."""
        return ""

    async def work(self) -> StatusT:
        """Work to the end; the last status.

        Raises:
            UsageError: another process works on it.
            LabError: a model cannot be opened, the disk is full, the database refuses. The status says so as well.
        """
        with self.folder.exclusive_lock() as ours:
            if not ours:
                raise UsageError(
                    f"Another process works on the {self.folder.noun} {self.folder.id}.",
                    f"See `{self.folder.verb} show {self.folder.id}`.",
                )
            return await self._work()

    async def _work(self) -> StatusT:
        before = self.folder.status()
        if before is not None:  # until everything is counted anew
            for name in self.counts.OF_SAMPLES:
                setattr(self.counts, name, getattr(before, name))
        try:
            self._say("starting", message="Opening the model.")
            store = open_store(self.lab.database)
            try:
                async with contextlib.AsyncExitStack() as held:
                    await self.do(held, store, before)
            finally:
                if self._heart is not None:
                    self._heart.cancel()
                    await asyncio.gather(self._heart, return_exceptions=True)
                store.close()
            return self._say(*self._end())
        except BaseException as error:
            told = self._told(error)
            with contextlib.suppress(OSError):  # a full disk takes no status either: what went wrong is raised
                self._say(*told)
            if isinstance(error, StoreError):
                raise from_store(error) from error
            if isinstance(error, OSError):
                raise LabError(told.message, told.hint) from error
            raise

    def begin(self) -> None:
        """From now on the job runs: its status is kept true and its control files are obeyed."""
        self._obey()  # who asked while the model was opened is heard before the first call
        self._say("running")
        self._heart = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        last = None
        while True:
            await asyncio.sleep(STATUS_S)
            self._obey()
            state = "stopping" if self.control.stopping.is_set() else "paused" if self.control.paused else "running"
            seen = self.counts
            now = (state, seen.activity, seen.done, seen.failed, seen.in_flight, seen.output_tokens)
            if now != last or time.time() - self._written > HEARTBEAT_S:
                last = now
                with contextlib.suppress(OSError):  # a full disk stops the run where it matters: at the journal
                    self._say(state, message=seen.activity)

    def _obey(self) -> None:
        """Do as the control files say; of a folder that cannot be looked into nothing is asked."""
        with contextlib.suppress(OSError):
            if self.folder.stop_file.exists():
                self.control.stop("stop", "The run was asked to stop.", self.folder.resume_hint)
            if self.folder.pause_file.exists():
                self.control.pause()
            else:
                self.control.go_on()

    def _end(self) -> End:
        if self.control.stopping.is_set():
            return End("stopped", self.control.reason, self.control.message, self.control.hint)
        return End("finished", None, self.left_over(), "")

    def _say(self, state: Any, stopped_by: str | None = None, message: str = "", hint: str = "") -> StatusT:
        """Write the status, and tell whoever watches."""
        seen = self.counts
        counted = {each.name: getattr(seen, each.name) for each in fields(seen) if not each.name.startswith("_")}
        status = self.folder.status_of(
            counted
            | {
                "state": state,
                "pid": os.getpid(),
                "pid_started": self._pid_started,
                "host": socket.gethostname(),
                "heartbeat": time.time(),
                "cost_usd": round(seen.cost_usd, 6),
                "priced": self.priced,
                "faults": dict(seen.faults),
                "notes": list(seen.notes),
                "started_at": self._started_at,
                "seconds_left": seen.seconds_left(self.clock) if state in ("running", "paused") else None,
                "stopped_by": stopped_by,
                "message": message,
                "hint": hint,
            }
        )
        self.folder.write_status(status)
        self._written = status.heartbeat
        if self._watch is not None:
            self._watch(status)
        return status

    def _told(self, error: BaseException) -> End:
        """The last words for an end that nobody wanted."""
        again = self.folder.resume_hint
        match error:
            case asyncio.CancelledError() | KeyboardInterrupt():
                return End("stopped", "interrupt", "The run was interrupted; calls in flight were given up.", again)
            case O1LabError() | StoreError():
                return End("failed", None, error.message, error.hint or again)
            case OSError():
                return End("failed", None, f"The disk refuses: {error.strerror or error}.", again)
        log_error(self.folder.log, error)
        return End("failed", None, f"Something went wrong: {type(error).__name__}: {error}.", f"See {self.folder.log}.")


def log_error(path: Path, error: BaseException) -> None:
    """Keep a traceback in a job's log."""
    with contextlib.suppress(OSError), path.open("a", encoding="utf-8", errors="backslashreplace") as log:
        traceback.print_exception(error, file=log)
