"""Run a job that calls models: write its status and react to its control files.

To continue after a crash, run the job again on the same directory.
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
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple

from o1lab.chains.marks import use_marks_of
from o1lab.errors import Interrupted, LabError, O1LabError
from o1lab.jobs.control import Clock, Control, MonotonicClock
from o1lab.jobs.directory import HEARTBEAT_S, JobFolder, SettingsT, StatusT
from o1lab.jobs.hook import HookCaller
from o1lab.jobs.progress import Counts
from o1lab.labs import open_lab
from o1lab.paths import Lab
from o1lab.process import started_at
from store.connection import Store

STATUS_S = 0.5
"""Seconds between two checks of the control files, and at least between two writes of status.json."""


class End(NamedTuple):
    """How a session of a job ended, for its status."""

    state: str
    stopped_by: str | None
    message: str
    hint: str


class JobRunner(ABC, Generic[StatusT, SettingsT]):
    """One session of a job, from its current progress to its end.

    Args:
        lab: the lab of the job.
        folder: the job.
        control: stops and pauses the job from within this process.
        watch: called with each new status, in the event loop.
        clock: measures time; tests replace it.
    """

    counts_type: ClassVar[type[Counts]] = Counts

    def __init__(
        self,
        lab: Lab,
        folder: JobFolder[StatusT, SettingsT],
        *,
        control: Control | None = None,
        watch: Callable[[StatusT], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        use_marks_of(lab)
        self.lab = lab
        self.folder = folder
        self.counts = self.counts_type()
        self.control = control or Control()
        self.clock: Clock = clock or MonotonicClock()
        self.settings = folder.settings()
        self.priced = False
        self._watch = watch
        self._pid_started = started_at(os.getpid())
        self._started_at = time.time()
        self._written = 0.0
        self._heartbeat: asyncio.Task[None] | None = None

    @abstractmethod
    async def execute(self, stack: contextlib.AsyncExitStack, store: Store, before: StatusT | None) -> None:
        """Do all the work of the session. Implementations call :meth:`begin` once the models are open.

        Args:
            stack: closed at the end of the session; for models, journals and other resources.
            store: the lab's database.
            before: the last status of the previous session; None for a new job.
        """

    def left_over(self) -> str:
        """Return the message of a finished job that left something undone; empty if it did not."""
        return ""

    async def work(self) -> StatusT:
        """Run the job to its end.

        Returns:
            The final status.

        Raises:
            UsageError: another process is running it.
            LabError: a model cannot be opened, or the disk is full. The status has the same message.
            StoreError: the database cannot be written. The status has the same message.
        """
        with self.folder.exclusive_lock() as ours:
            if not ours:
                raise self.folder.locked("running")
            hook = HookCaller(self.folder)
            try:
                return await self._work()
            finally:
                hook.close()

    async def _work(self) -> StatusT:
        before = self.folder.status()
        if before is not None:  # shown until everything has been counted again
            for name in self.counts.OF_SAMPLES:
                setattr(self.counts, name, getattr(before, name))
        try:
            self._write_status("starting", message="Opening the model.")
            store = open_lab(self.lab)
            try:
                async with contextlib.AsyncExitStack() as stack:
                    await self.execute(stack, store, before)
            finally:
                if self._heartbeat is not None:
                    self._heartbeat.cancel()
                    await asyncio.gather(self._heartbeat, return_exceptions=True)
                store.close()
            return self._write_status(*self._end())
        except BaseException as error:
            end = self._end_of(error)
            with contextlib.suppress(OSError):  # a full disk cannot take the status either; the error is raised
                self._write_status(*end)
            if isinstance(error, OSError):
                raise LabError(end.message, end.hint) from error
            raise

    def begin(self) -> None:
        """Start to write the status and to react to the control files."""
        self._read_control_files()  # a request made while the model was opened takes effect before the first call
        self._write_status("running")
        self._heartbeat = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        last = None
        while True:
            await asyncio.sleep(STATUS_S)
            self._read_control_files()
            state = "stopping" if self.control.stopping.is_set() else "paused" if self.control.paused else "running"
            counts = self.counts
            now = (state, counts.activity, counts.done, counts.failed, counts.in_flight, counts.usage.output_tokens)
            if now != last or time.time() - self._written > HEARTBEAT_S:
                last = now
                with contextlib.suppress(OSError):  # a full disk stops the job at the journal
                    self._write_status(state, message=counts.activity)

    def _read_control_files(self) -> None:
        """Stop, pause or resume as the control files say; a directory that cannot be read changes nothing."""
        with contextlib.suppress(OSError):
            if self.folder.stop_file.exists():
                self.control.stop("stop", "The run was asked to stop.", self.folder.resume_hint)
            if self.folder.pause_file.exists():
                self.control.pause()
            else:
                self.control.resume()

    def _end(self) -> End:
        control = self.control
        if not control.stopping.is_set():
            return End("finished", None, self.left_over(), "")
        hint = control.hint
        if control.reason != "option" and self.folder.resume_hint not in hint:  # its settings cannot change
            hint = f"{hint} {self.folder.resume_hint}".strip()
        return End("stopped", control.reason, control.message, hint)

    def _write_status(self, state: Any, stopped_by: str | None = None, message: str = "", hint: str = "") -> StatusT:
        """Write the status and pass it to the watcher."""
        counts = self.counts
        counted = {each.name: getattr(counts, each.name) for each in fields(counts) if not each.name.startswith("_")}
        status = self.folder.status_of(
            counted
            | asdict(counts.usage)
            | {
                "state": state,
                "pid": os.getpid(),
                "pid_started": self._pid_started,
                "host": socket.gethostname(),
                "heartbeat": time.time(),
                "cost_usd": round(counts.usage.cost_usd, 6),
                "priced": self.priced,
                "faults": dict(counts.faults),
                "notes": list(counts.notes),
                "started_at": self._started_at,
                "seconds_left": counts.seconds_left(self.clock) if state in ("running", "paused") else None,
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

    def _end_of(self, error: BaseException) -> End:
        """Return the end of a session that an error or an interrupt ended."""
        again = self.folder.resume_hint
        match error:
            case asyncio.CancelledError() | KeyboardInterrupt() | Interrupted():
                return End("stopped", "interrupt", "The run was interrupted; calls in flight were cancelled.", again)
            case O1LabError():
                return End("failed", None, error.message, error.hint or again)
            case OSError():
                return End("failed", None, f"The disk cannot be used: {error.strerror or error}.", again)
        log_error(self.folder.log, error)
        return End("failed", None, f"Unexpected error: {type(error).__name__}: {error}.", f"See {self.folder.log}.")


def log_error(path: Path, error: BaseException) -> None:
    """Append a traceback to a job's log."""
    with contextlib.suppress(OSError), path.open("a", encoding="utf-8", errors="backslashreplace") as log:
        traceback.print_exception(error, file=log)
