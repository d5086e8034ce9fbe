"""What a command is doing, on one line of standard error: after two seconds, and only on a terminal.

Each command has one (see ``command.py``), except those that take over the terminal. It shows how long the command has
run and, if the command calls :func:`advance`, how much of its work is done. Other output removes the line first.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from o1lab.format import duration
from o1lab.text import one_line

AFTER_S = 2.0
EVERY_S = 0.2
_BAR = 24
_CLEAR = "\r\x1b[K"


class Busy:
    """The line of one command; a thread draws it while nothing else is written.

    Args:
        words: the command, as it is typed.
    """

    def __init__(self, words: str) -> None:
        self._words = words
        self._began = time.monotonic()
        self._quiet_since = self._began
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._drawn = False
        self._paused = 0
        self._what, self._done, self._of = "", 0, 0

    def run(self) -> None:
        """Draw the line until the command ends."""
        while not self._ended.wait(EVERY_S):
            with self._lock:
                if not self._paused and time.monotonic() - self._quiet_since >= AFTER_S:
                    self._draw()

    def advance(self, what: str, done: int, of: int) -> None:
        """Set how much is done: ``done`` of ``of``, which is 0 if the total is not known."""
        with self._lock:
            self._what, self._done, self._of = what, done, of

    def clear(self) -> None:
        """Remove the line before other output; it returns when there is none for a while."""
        with self._lock:
            self._remove()
            self._quiet_since = time.monotonic()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hide the line during a question."""
        with self._lock:
            self._remove()
            self._paused += 1
        try:
            yield
        finally:
            with self._lock:
                self._paused -= 1
                self._quiet_since = time.monotonic()

    def end(self) -> None:
        self._ended.set()
        with self._lock:
            self._paused += 1
            self._remove()

    def text(self) -> str:
        """Return the line."""
        taken = duration(time.monotonic() - self._began)
        if not self._what:
            return f"{self._words} {taken}"
        if self._of <= 0:
            return f"{self._what} {self._done:,} {taken}"
        full = _BAR * min(self._done, self._of) // self._of
        return f"{self._what} {'━' * full}{'─' * (_BAR - full)} {self._done:,} of {self._of:,} {taken}"

    def _draw(self) -> None:
        width = shutil.get_terminal_size().columns - 1
        with suppress(OSError):  # the terminal may be closed
            sys.stderr.write(_CLEAR + one_line(self.text(), width))
            sys.stderr.flush()
        self._drawn = True

    def _remove(self) -> None:
        if self._drawn:
            with suppress(OSError):
                sys.stderr.write(_CLEAR)
                sys.stderr.flush()
        self._drawn = False


def stderr_is_terminal() -> bool:
    """Return whether standard error is a terminal."""
    return sys.stderr.isatty()


class _Running:
    """The progress line of this process; threads of the command share it."""

    now: Busy | None = None


@contextmanager
def working(words: str) -> Iterator[None]:
    """Show what a command is doing while the block runs, if standard error is a terminal and nothing shows it yet."""
    if not stderr_is_terminal() or _Running.now is not None:
        yield
        return
    busy = _Running.now = Busy(words)
    threading.Thread(target=busy.run, name="busy", daemon=True).start()
    try:
        yield
    finally:
        busy.end()
        _Running.now = None


def advance(what: str, done: int, of: int = 0) -> None:
    """Show how much of its work the running command has done."""
    if (busy := _Running.now) is not None:
        busy.advance(what, done, of)


def clear() -> None:
    """Remove the line before other output of the running command."""
    if (busy := _Running.now) is not None:
        busy.clear()


@contextmanager
def paused() -> Iterator[None]:
    """Hide the line while the block asks the user or shows its own output."""
    busy = _Running.now
    if busy is None:
        yield
        return
    with busy.paused():
        yield


def remove_line() -> None:
    """Remove the line for the rest of the command, which shows its progress itself or takes over the terminal."""
    if (busy := _Running.now) is not None:
        busy.end()
