"""The output of jobs that ask models: a progress line on standard error, errors, and the exit status."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from o1lab.cli.busy import hold
from o1lab.errors import signal_status
from o1lab.format import duration, money
from o1lab.text import one_line, visible

if TYPE_CHECKING:
    from o1lab.inference.journal import FaultCount
    from o1lab.jobs.directory import CountedStatus, JobFolder, JobInfo


class ProgressLine:
    """A progress line, rewritten in place on a terminal; elsewhere a new line is printed at every tenth, and when
    the job waits for something else."""

    def __init__(self) -> None:
        hold()
        self._live = sys.stderr.isatty()
        self._last = (-1, "", "")

    def show(self, status: CountedStatus) -> None:
        with contextlib.suppress(OSError):  # the terminal may be closed; the job continues
            self._show(status)

    def _show(self, status: CountedStatus) -> None:
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\x1b[K{one_line(text_of(status), width)}")
        else:
            ended = status.done + status.failed
            tenth = 10 * ended // status.requested if status.requested else 0
            now = (tenth, status.state, re.sub(r"\d+", "", status.message))
            if now == self._last:
                return
            self._last = now
            sys.stderr.write(visible(text_of(status)) + "\n")
        sys.stderr.flush()

    def end(self) -> None:
        if self._live:
            with contextlib.suppress(OSError):
                sys.stderr.write("\n")
                sys.stderr.flush()


_MORE_COUNTS = {"incomplete": "cut off", "unextracted": "no answer", "unscored": "unscored", "cached": "reused"}
"""Further counts of an evaluation, by field; shown if they are not zero."""


def text_of(status: CountedStatus) -> str:
    """Return the progress line: state, done, right, wrong, failed, tokens, cost and time left."""
    parts = [
        f"{status.state} {status.done}/{status.requested}",
        f"right {status.correct}",
        f"wrong {status.incorrect}",
        *(f"{word} {number}" for name, word in _MORE_COUNTS.items() if (number := getattr(status, name, 0))),
        f"failed {status.failed}",
        f"{status.input_tokens + status.output_tokens:,} tokens",
    ]
    if status.priced and status.cost_usd:
        parts.append(money(status.cost_usd))
    if status.seconds_left is not None:
        parts.append(f"{duration(status.seconds_left)} left")
    if status.state == "running" and status.message:
        parts.append(status.message)
    return "  ".join(parts)


def exit_status(stopped_by: str | None, failed: int, number: int = signal.SIGINT) -> int:
    """Return the exit status of a job.

    Args:
        stopped_by: the reason why it stopped; None if it ran to its end.
        failed: number of samples that failed.
        number: the signal that stopped it, if one did.
    """
    match stopped_by:
        case "budget_usd" | "budget_tokens":
            return 5
        case "interrupt":
            return signal_status(number)
        case "stop":
            return signal_status(signal.SIGINT)
        case "option" | "max_tokens":
            return 2
        case "key" | "quota" | "no_model" | "failures":
            return 3
    return 1 if failed else 0


def job_details(folder: JobFolder[Any, Any], info: JobInfo[Any, Any], faults: Sequence[FaultCount]) -> dict[str, Any]:
    """Return the keys that `show --json` adds for a job that asks models."""
    return {
        "dir": str(folder.path),
        "settings": info.settings.model_dump(mode="json") if info.settings else None,
        "faults": [asdict(fault) for fault in faults],
        "seconds_left": info.status.seconds_left,
        "heartbeat_age_s": None if info.heartbeat_age_s is None else round(info.heartbeat_age_s, 1),
    }


def fault_summary(faults: Sequence[FaultCount], failed: int) -> list[str]:
    """Return one line for each of the most frequent errors of a job with failed samples."""
    return [f"{fault.number} x {fault.code}: {fault.sentence}" for fault in faults[:3]] if failed else []


def fault_lines(faults: Sequence[FaultCount]) -> list[str]:
    """Return the lines of `show` for each error: its count, last message and last raw response."""
    lines = []
    for fault in faults:
        lines += ["", f"{fault.number} x {fault.code}: {fault.sentence}", f"  {fault.key}  {one_line(fault.raw, 300)}"]
    return lines
