"""The output of jobs that ask models: a progress line on standard error, errors, and the exit status."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Self

from o1lab.cli.base.busy import remove_line
from o1lab.cli.base.output import emit, say
from o1lab.errors import Interrupted, signal_status
from o1lab.format import duration, money
from o1lab.text import one_line, visible

if TYPE_CHECKING:
    from o1lab.inference.directory import AskingFolder
    from o1lab.inference.journal import FaultCount
    from o1lab.jobs.directory import CountedStatus, JobFolder, JobInfo
    from o1lab.jobs.runner import JobRunner


class ProgressLine:
    """A progress line for the duration of a block.

    It is rewritten in place on a terminal; elsewhere a new line is printed at every tenth, and when the job waits for
    something else.
    """

    def __init__(self) -> None:
        remove_line()
        self._live = sys.stderr.isatty()
        self._last = (-1, "", "")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._live:
            with contextlib.suppress(OSError):
                sys.stderr.write("\n")
                sys.stderr.flush()

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


def run_job(
    folder: AskingFolder[Any, Any],
    runner: Callable[..., JobRunner[Any, Any]],
    summary: Callable[[], dict[str, Any]],
    lines: Callable[[dict[str, Any]], list[str]],
) -> int:
    """Run a job that asks models to its end in this process, print the result, and return the exit status.

    Args:
        folder: the job.
        runner: makes the session of the job; called with its lab and directory, and ``watch``, which shows its status.
        summary: returns the JSON of the job.
        lines: returns the lines for people, from the JSON.
    """
    from o1lab.jobs.worker import Signals, run_here

    title = f"{folder.noun.capitalize()} {folder.id}"
    say(f"{title} (after an interruption, resume with: {folder.verb} resume {folder.id})")
    signals, given_up = Signals(), False
    with ProgressLine() as line:
        try:
            run_here(runner(folder.lab, folder, watch=line.show), signals)
        except Interrupted:  # the second Ctrl-C: still print the final status
            given_up = True
    item = summary()
    stopped_by, failed = "interrupt" if given_up else item["stopped_by"], item["failed"]
    # One line for each of the most frequent errors.
    why = [f"{fault.number} x {fault.code}: {fault.sentence}" for fault in folder.faults()[:3]] if failed else []
    emit(item, text=[*lines(item), *result_notes(item), *why])
    return exit_status(stopped_by, failed, signals.first)


def counted_json(info: JobInfo[Any, Any]) -> dict[str, Any]:
    """Return the JSON of a job that asks models. ``cost_usd`` is null if the price is not known."""
    status = info.status
    names = ("requested", "done", "correct", "incorrect", "failed", "input_tokens", "output_tokens")
    return {
        "id": info.id,
        "name": info.name,
        "state": info.state,
        "unreadable": info.unreadable or None,
        **{name: getattr(status, name) for name in (*names, "stopped_by", "message", "hint", "notes")},
        "cost_usd": status.cost_usd if status.priced else None,
    }


def result_notes(item: dict[str, Any]) -> list[str]:
    """Return the message, the hint and the notes of a job, from its JSON."""
    return [*filter(None, (item["message"], item["hint"])), *item["notes"]]


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


def fault_lines(faults: Sequence[FaultCount]) -> list[str]:
    """Return the lines of `show` for each error: its count, last message and last raw response."""
    lines = []
    for fault in faults:
        lines += ["", f"{fault.number} x {fault.code}: {fault.sentence}", f"  {fault.key}  {one_line(fault.raw, 300)}"]
    return lines
