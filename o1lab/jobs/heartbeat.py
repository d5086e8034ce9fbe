"""Heartbeat and stop signal of a worker that is not asynchronous. Does not import torch."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any, Generic

from o1lab.jobs.directory import HEARTBEAT_S, JobFolder, StatusT


class Heartbeat(Generic[StatusT]):
    """Writes status.json at every change, and every few seconds to show that the worker is alive.

    Args:
        folder: the job.
        status: the first status.
        silent: whether to write nothing, because another process writes the status of the job.
    """

    def __init__(self, folder: JobFolder[StatusT, Any], status: StatusT, *, silent: bool = False) -> None:
        self._folder = folder
        self._status = status
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._silent = silent
        if not silent:
            self._write()
            self._thread.start()

    @property
    def status(self) -> StatusT:
        return self._status

    def update(self, *, write: bool = True, **changes: Any) -> None:
        """Change fields of the status; with ``write=False`` the next heartbeat writes them."""
        with self._lock:
            self._status = replace(self._status, **changes)
            if write:
                self._write()

    def end(self, **changes: Any) -> None:
        """Write the final status; on a full disk, retry for some seconds."""
        self._ended.set()
        self._thread.join()
        self._status = replace(self._status, **changes)
        for _ in range(10):
            with suppress(OSError):
                self._write(strict=True)
                return
            time.sleep(1.0)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_S):
            with self._lock:
                self._write()

    def _write(self, *, strict: bool = False) -> None:
        if self._silent:
            return
        self._status = replace(self._status, heartbeat=time.time())
        try:
            self._folder.write_status(self._status)
        except OSError:  # the disk may be full for a moment; the next heartbeat tries again
            if strict:
                raise


class StopSignal:
    """Whether the job was asked to stop, by its stop file or by :meth:`set`. Call it to check.

    Attributes:
        signalled: whether :meth:`set` was called.
    """

    def __init__(self, folder: JobFolder[Any, Any]) -> None:
        self._file = folder.stop_file
        self._event = threading.Event()
        self.signalled = False

    def set(self) -> None:
        self.signalled = True
        self._event.set()

    def __call__(self) -> bool:
        if not self._event.is_set() and self._file.exists():
            self._event.set()
        return self._event.is_set()
