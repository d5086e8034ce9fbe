"""A scheduler that does not answer: it is not asked again for every run of a list."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")
REST_S = 10.0


class Silence:
    """Remembers that a scheduler could not be asked, for some seconds and as long as the failed request took.

    Args:
        kind: the errors that mean that it could not be asked.
        counts: whether an error of this kind does mean that.
    """

    def __init__(self, kind: type[Exception], counts: Callable[[Exception], bool] = lambda _error: True) -> None:
        self._kind = kind
        self._counts = counts
        self._failed: dict[str, tuple[float, Exception]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def ask(self, whom: str, request: Callable[[], Answer]) -> Answer:
        """Make a request, one at a time for each scheduler.

        Args:
            whom: the scheduler.
            request: asks it.

        Raises:
            Exception: the error of the request, or the one of an earlier request that is remembered.
        """
        with self._lock:
            turn = self._locks.setdefault(whom, threading.Lock())
        with turn:
            until, error = self._failed.get(whom, (0.0, None))
            if error is not None and time.monotonic() < until:
                raise error
            began = time.monotonic()
            try:
                answer = request()
            except self._kind as failed:
                now = time.monotonic()
                if self._counts(failed):
                    self._failed[whom] = now + REST_S + (now - began), failed
                raise
            self.forget(whom)
            return answer

    def forget(self, whom: str) -> None:
        """Let the scheduler be asked again at once, because it has answered."""
        self._failed.pop(whom, None)
