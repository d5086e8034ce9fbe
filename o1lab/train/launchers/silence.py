"""Requests to a scheduler that may not answer: a list of runs waits for it once, not for each run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")
REST_S = 10.0


class Silence:
    """Remembers that a scheduler did not answer, for some seconds and as long as the failed request took.

    Args:
        is_silence: whether an error means that the scheduler did not answer.
    """

    def __init__(self, is_silence: Callable[[Exception], bool]) -> None:
        self._is_silence = is_silence
        self._failed: dict[str, tuple[float, Exception]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def ask(self, scheduler: str, request: Callable[[], Answer]) -> Answer:
        """Make a request, one at a time for each scheduler.

        Args:
            scheduler: the address or name of the scheduler.
            request: makes the request.

        Raises:
            Exception: the error of the request, or the one of an earlier request that is remembered.
        """
        with self._lock:
            turn = self._locks.setdefault(scheduler, threading.Lock())
        with turn:
            until, error = self._failed.get(scheduler, (0.0, None))
            if error is not None and time.monotonic() < until:
                raise error
            began = time.monotonic()
            try:
                answer = request()
            except Exception as failed:
                now = time.monotonic()
                if self._is_silence(failed):
                    self._failed[scheduler] = now + REST_S + (now - began), failed
                raise
            self.forget(scheduler)
            return answer

    def forget(self, scheduler: str) -> None:
        """Allow requests again at once, because the scheduler has answered."""
        self._failed.pop(scheduler, None)
