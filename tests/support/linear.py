"""Whether something takes time in proportion to the length of its text, on a machine that is busy with other things."""

from __future__ import annotations

import time
from collections.abc import Callable

_SHORT, _LONG = 40_000, 400_000
_LEAST_S = 0.003  # below it the clock tells nothing
_TRIES = 5


def assert_linear(work: Callable[[str], object], unit: str, *, start: str = "") -> None:
    """Fail when ten times the text takes a hundred times as long.

    Ten times the text may take thirty times the processor time, in one try of five: a busy machine disturbs some
    tries, and a quadratic scan fails them all.

    Args:
        work: what is measured; called with ``start`` and then ``unit``, repeated.
        unit: the text to repeat.
        start: what the text begins with.
    """

    def seconds(length: int) -> float:
        text = start + unit * (length // len(unit))
        started = time.process_time()
        work(text)
        return time.process_time() - started

    ratios = []
    for _ in range(_TRIES):
        ratios.append(seconds(_LONG) / max(seconds(_SHORT), _LEAST_S))
        if ratios[-1] < 30:
            return
    raise AssertionError(f"{unit!r}: ten times the text took {min(ratios):.0f} times as long or more")
