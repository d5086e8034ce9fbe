"""The log of a job's worker: its last lines, and the error that ended it; and the results of calls of its hook."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import IO

from o1lab.models.library_errors import explain, last_error
from o1lab.small_files import read_tail
from o1lab.text import one_line

LINES = 400
"""Lines of a log that are searched for an error: warnings may follow it."""
_TAIL_BYTES = 65_536
KILLED_HINT = "Perhaps memory ran out."
_SESSION = "--- o1lab: a session starts, "


def begin_session(log: IO[bytes]) -> None:
    """Write a line that separates this session from the errors of earlier ones."""
    log.write(f"{_SESSION}{time.strftime('%Y-%m-%d %H:%M:%S')} ---\n".encode())
    log.flush()


def log_tail(path: Path, lines: int = 40) -> list[str]:
    """Return the last lines of a log; none if it cannot be read."""
    tail = (line.decode("utf-8", "replace") for line in read_tail(path, _TAIL_BYTES))
    # A progress bar rewrites its line; only the last content is shown.
    found = [line.removesuffix("\r").rsplit("\r", 1)[-1] for line in tail]
    if found and not found[-1]:
        found.pop()
    return found[-lines:]


def hook_fault(path: Path) -> str:
    """Return the error of the last call of the hook; empty without one.

    Args:
        path: hooks.jsonl of a job.
    """
    lines = log_tail(path, 1) if path.exists() else []
    try:
        last = json.loads(lines[0]) if lines else {}
    except ValueError:  # half a line: the next call reads the whole
        return ""
    fault = last.get("fault") if isinstance(last, dict) else None
    return one_line(fault, 300) if isinstance(fault, str) else ""


def cause_of_death(path: Path, heartbeat: float) -> tuple[str, str]:
    """Return why a process ended without a final status, as a message and a hint; the hint may be empty.

    Args:
        path: its log. Only errors of its last session count.
        heartbeat: when it was last alive, in seconds since the epoch.
    """
    lines = [line.strip() for line in log_tail(path, LINES)]
    start = max((number for number, line in enumerate(lines) if line.startswith(_SESSION)), default=-1)
    last = last_error(lines[start + 1 :])
    if known := explain(last):
        return known.message, known.hint
    if last:
        first = last.partition("\n")[0].rstrip(".")
        return f"The process ended without reporting why. The last error in its log: {first}.", ""
    import psutil

    if heartbeat < psutil.boot_time():
        return "The machine was restarted while it was running.", ""
    return "The process was killed: it reported no error, and its log has none.", KILLED_HINT
