"""The worker's sign of life, and its ear for being asked to stop. Nothing here imports torch."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

from o1lab.train.run_directory import HEARTBEAT_S, RunDir, RunStatus


class Heartbeat:
    """Keeps status.json true: at every change, and every few seconds so that watchers see we live."""

    def __init__(self, run: RunDir, status: RunStatus) -> None:
        self._run = run
        self._status = status
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._write()
        self._thread.start()

    @property
    def status(self) -> RunStatus:
        return self._status

    def update(self, *, write: bool = True, **changes: Any) -> None:
        with self._lock:
            self._status = replace(self._status, **changes)
            if write:
                self._write()

    def end(self, **changes: Any) -> None:
        """The last word; a full disk gets some time to recover."""
        self._over.set()
        self._thread.join()
        self._status = replace(self._status, **changes)
        for _ in range(10):
            with suppress(OSError):
                self._write(strict=True)
                return
            time.sleep(1.0)

    def _beat(self) -> None:
        while not self._over.wait(HEARTBEAT_S):
            with self._lock:
                self._write()

    def _write(self, *, strict: bool = False) -> None:
        self._status = replace(self._status, heartbeat=time.time())
        try:
            self._run.write_status(self._status)
        except OSError:  # the disk may be full for a moment: training goes on, the next beat tries again
            if strict:
                raise


class StopSignal:
    """Whether somebody wants the run to stop: ``control/stop``, or a signal."""

    def __init__(self, run: RunDir) -> None:
        self._file = run.stop_file
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def __call__(self) -> bool:
        if not self._event.is_set() and self._file.exists():
            self._event.set()
        return self._event.is_set()
