"""The log of a job's worker: its end, and the error that ended the last session; and how calls of its hook went."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import IO

from o1lab.models.library_errors import explain, last_error
from o1lab.small_files import open_file
from o1lab.text import one_line

LINES = 400
"""Lines of a log that are searched for an error: warnings may follow it."""
KILLED_HINT = "Perhaps memory ran out."
_SESSION = "--- o1lab: a session starts, "


def begin_session(log: IO[bytes]) -> None:
    """Write a line that separates this session from the errors of earlier ones."""
    log.write(f"{_SESSION}{time.strftime('%Y-%m-%d %H:%M:%S')} ---\n".encode())
    log.flush()


def log_tail(path: Path, lines: int = 40, *, limit: int = 65_536) -> list[str]:
    """Return the last lines of a log; none if it cannot be read.

    Args:
        path: the log.
        lines: maximum number of lines.
        limit: maximum number of bytes to read from the end of the file.
    """
    try:
        with open_file(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - limit, 0))
            text = file.read(limit).decode("utf-8", "replace")
    except OSError:
        return []
    # A progress bar rewrites its line; only the last content is shown.
    found = [line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n")]
    if found and not found[-1]:
        found.pop()
    return found[-lines:]


def hook_fault(path: Path) -> str:
    """Return what went wrong when the hook was called for the last time; empty if nothing did.

    Args:
        path: hooks.jsonl of a job.
    """
    lines = log_tail(path, 1) if path.exists() else []
    try:
        last = json.loads(lines[0]) if lines else {}
    except ValueError:  # half a line: the next look sees the whole
        return ""
    fault = last.get("fault") if isinstance(last, dict) else None
    return one_line(fault, 300) if isinstance(fault, str) else ""


def cause_of_death(path: Path, heartbeat: float) -> tuple[str, str]:
    """Return why a process ended without a final status, as a message and a hint; the hint may be empty.

    Args:
        path: its log. Only errors of its last session count, and no line that is not an error.
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
