"""How a job that asks models speaks: one line on standard error while it works, and its exit status."""

from __future__ import annotations

import contextlib
import sys

from o1lab.format import duration
from o1lab.jobs.directory import JobStatus
from o1lab.text import visible


class ProgressLine:
    """Rewrites itself on a terminal; elsewhere it says where the run stands every tenth of the way."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._tenth = -1
        self._said = ""

    def show(self, status: JobStatus) -> None:
        with contextlib.suppress(OSError):  # the terminal may be gone; the run is not
            self._show(status)

    def _show(self, status: JobStatus) -> None:
        if self._live:
            sys.stderr.write(f"\r\x1b[K{visible(text_of(status))}")
        else:
            ended = status.done + status.failed
            tenth = 10 * ended // status.requested if status.requested else 0
            if (tenth, status.state) == (self._tenth, self._said):
                return
            self._tenth, self._said = tenth, status.state
            sys.stderr.write(visible(text_of(status)) + "\n")
        sys.stderr.flush()

    def end(self) -> None:
        if self._live:
            with contextlib.suppress(OSError):
                sys.stderr.write("\n")
                sys.stderr.flush()


_BESIDE = {"incomplete": "cut off", "unextracted": "no answer", "unscored": "unscored", "cached": "reused"}
"""What an evaluation counts beside, said where there is any."""


def text_of(status: JobStatus) -> str:
    """done, right, wrong, failed, tokens, money, time left."""
    parts = [
        f"{status.state} {status.done}/{status.requested}",
        f"right {status.correct}",
        f"wrong {status.incorrect}",
        *(f"{word} {number}" for name, word in _BESIDE.items() if (number := getattr(status, name, 0))),
        f"failed {status.failed}",
        f"{status.input_tokens + status.output_tokens:,} tokens",
    ]
    if status.priced and status.cost_usd:
        parts.append(f"${status.cost_usd:,.2f}")
    if status.seconds_left is not None:
        parts.append(f"{duration(status.seconds_left)} left")
    return "  ".join(parts)


def exit_status(stopped_by: str | None, failed: int) -> int:
    """A run's exit status by what ended it and how many of its samples failed."""
    match stopped_by:
        case "budget_usd" | "budget_tokens":
            return 5
        case "interrupt" | "stop":
            return 130
        case "option":
            return 2
        case "key" | "quota" | "no_model" | "failures":
            return 3
    return 1 if failed else 0
