"""Jobs of any kind as text: states, counts, bars, the reason for a stop, and failed calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.text import Text

from o1lab.format import duration
from o1lab.inference.journal import FaultCount
from o1lab.jobs.directory import CountedStatus, JobInfo
from o1lab.text import one_line, visible
from screens.jobs.kind import STOPPED_BY, Snapshot

# Each state has its own character; colour only repeats it.
SIGNS = {
    "queued": ("…", "yellow"),
    "starting": ("○", "cyan"),
    "running": ("▶", "bold cyan"),
    "paused": ("‖", "yellow"),
    "stopping": ("◼", "yellow"),
    "finished": ("✓", "green"),
    "stopped": ("■", "yellow"),
    "failed": ("✗", "bold red"),
    "dead": ("†", "bold red"),
    "no folder": ("∅", "yellow"),
}
BAR = 30
_RAW = 1500


def sign(state: str) -> tuple[str, str]:
    """Return the sign of a state and its style."""
    return SIGNS.get(state, ("?", ""))


def counts(noun: str, snapshot: Snapshot[Any, Any]) -> str:
    """Format the number of jobs: ``3 runs, 1 active``; empty without jobs."""
    number, listed = len(snapshot.known), len(snapshot.lines)
    if not number:
        return ""
    part = f"{listed:,} of " if listed != number else ""
    return f"{part}{number:,} {noun}{'s' if number != 1 else ''}, {snapshot.active or 'none'} active"


def bar(parts: Iterable[tuple[str, str, int]], total: int) -> Text:
    """Draw a bar of ``BAR`` cells; the rest is dots.

    Args:
        parts: (sign, style, number) of each part. A part above zero has at least one cell.
        total: the number that fills the bar.
    """
    text, drawn, so_far = Text("▕"), 0, 0
    for part, style, number in parts:
        so_far += number
        cells = so_far * BAR // max(total, so_far, 1) - drawn
        cells = max(cells, 1) if number and drawn < BAR else cells
        text.append(part * cells, style)
        drawn += cells
    return text.append("·" * (BAR - drawn), "dim").append("▏")


def add_progress(text: Text, done: int, requested: int, seconds_left: float | None) -> None:
    """Add the progress of a job and its remaining time."""
    share = f" ({100 * done // requested} %)" if requested else ""
    text.append(f" {done:,} of {requested:,} done{share}")
    if seconds_left is not None:
        text.append(f", {duration(seconds_left)} left", "bold")


def doing(info: JobInfo[Any, Any]) -> str:
    """Say what an active job is doing, to follow its state: ``: asking probes 3/8``; empty if that is not known."""
    message = one_line(info.status.message, 200).rstrip(".")
    if not (info.active and message) or info.status.hint:
        return ""
    return f": {message[:1].lower()}{message[1:]}"


def request_words(state: str, *, active: bool, pausing: bool) -> str:
    """Describe what a job does about a request to pause, stop or resume it; empty if there is none."""
    if not active:
        return ""
    if state == "stopping":
        return "after the calls in flight"
    if pausing and state != "paused":
        return "pausing after the calls in flight"
    return "resuming" if state == "paused" and not pausing else ""


def add_trouble(text: Text, state: str, status: CountedStatus) -> None:
    """Add what stopped a job that calls models, if anything did, and what to do."""
    if state == "dead":
        text.append("† Its process ended without writing a final status. ", "bold red")
        text.append("All received responses are kept. Press r to resume.\n")
    if status.stopped_by:
        why = STOPPED_BY.get(status.stopped_by, one_line(status.stopped_by.replace("_", " "), 40))
        text.append(f"■ Stopped by {why}.\n", "bold yellow")
    for words in (status.message, status.hint):
        if words:
            text.append(f"{one_line(words, 400)}\n")
    if state in ("stopped", "failed"):
        text.append("Press r to resume; answered samples are not asked again.\n", "dim")
    for note in status.notes:
        text.append("! ", "bold yellow").append(f"{one_line(note, 400)}\n")
    if text:
        text.append("\n")


def add_about(text: Text, info: JobInfo[Any, Any]) -> None:
    """Add what is damaged in the directory of a job, and the notes on it."""
    if info.unreadable:
        text.append(f"! unreadable: {one_line(info.unreadable, 400)}\n", "bold yellow")
    if info.hook_fault:
        text.append(f"! the hook failed: {one_line(info.hook_fault, 400)}\n", "bold yellow")
    if info.tags:
        text.append("tags  ", "dim").append(f"{', '.join(info.tags)}\n")
    for note in info.notes:
        text.append("note  ", "dim").append(f"{one_line(note, 400)}\n")


def add_faults(text: Text, faults: Sequence[FaultCount]) -> None:
    """Add the failed calls by error code, each with the last raw response."""
    if not faults:
        return
    text.append("\nfailed calls, with the last raw response\n", "bold")
    for fault in faults:
        text.append(f"{fault.number:>7,}  ").append(f"{one_line(fault.code, 40)}: ", "bold")
        text.append(f"{one_line(fault.sentence, 400)}\n")
        raw = visible(fault.raw[:_RAW]) + (f" … ({len(fault.raw):,} characters)" if len(fault.raw) > _RAW else "")
        text.append(f"         {one_line(fault.key, 100)}\n", "dim")
        text.append(f"{raw or '(no response)'}\n")
