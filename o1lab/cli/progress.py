"""The output of jobs that ask models: a progress line on standard error, errors, and the exit status."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from o1lab.format import duration
from o1lab.text import one_line, visible

if TYPE_CHECKING:
    from o1lab.inference.journal import FaultCount
    from o1lab.jobs.directory import CountedStatus, JobFolder, JobInfo


class ProgressLine:
    """A line that is rewritten on a terminal; elsewhere a new line is printed at every tenth of the samples."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._tenth = -1
        self._said = ""

    def show(self, status: CountedStatus) -> None:
        with contextlib.suppress(OSError):  # the terminal may be gone; the run is not
            self._show(status)

    def _show(self, status: CountedStatus) -> None:
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
"""Further counts of an evaluation, shown if they are not zero."""


def text_of(status: CountedStatus) -> str:
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
    """The exit status of a job, by what stopped it and how many of its samples failed."""
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


def job_details(folder: JobFolder[Any, Any], info: JobInfo[Any, Any], faults: Sequence[FaultCount]) -> dict[str, Any]:
    """The keys that `show` adds for a job that asks models."""
    return {
        "dir": str(folder.path),
        "settings": info.settings.model_dump(mode="json") if info.settings else None,
        "faults": [asdict(fault) for fault in faults],
        "seconds_left": info.status.seconds_left,
        "heartbeat_age_s": None if info.heartbeat_age_s is None else round(info.heartbeat_age_s, 1),
    }


def fault_lines(faults: Sequence[FaultCount]) -> list[str]:
    """Each error with its number, last message and last raw response."""
    lines = []
    for fault in faults:
        lines += ["", f"{fault.number} x {fault.code}: {fault.sentence}", f"  {fault.key}  {one_line(fault.raw, 300)}"]
    return lines
