"""Waiting for processes that tests have started: for an event, with a limit that only a fault reaches."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 900


def until(holds: Callable[[], object], what: str | Callable[[], object]) -> None:
    """Wait until something holds.

    Args:
        holds: whether it does.
        what: what is waited for, or a function that returns what to show when it does not come.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain: {what if isinstance(what, str) else what()}"
        time.sleep(0.05)
