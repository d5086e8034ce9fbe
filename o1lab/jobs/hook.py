"""Call the hook of a lab: a command of o1lab.toml that is run for events of jobs.

A worker starts a small process (``o1lab.jobs.hook_process``) that holds the other end of a pipe. The operating system
closes the pipe when the worker ends, however it ends, and the process then reads the final status and calls the hook.
So hooks run with the app closed and after a worker was killed, and never delay a job. Errors of a hook are in
``hooks.jsonl`` of the job; lists and the app show them.

The hook is not called if the machine went down, or if the worker could not start.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from o1lab.config import EventName, NotifySettings, load_config, name_of
from o1lab.errors import LabError
from o1lab.jobs.directory import CountedStatus, JobFolder, JobStatus
from o1lab.text import one_line

_OUTPUT = 2_000
"""Bytes of a failed hook's output that are read."""
_BY_A_PERSON = (None, "stop", "interrupt")


def event_of_end(state: str, status: JobStatus) -> EventName | None:
    """Return the event for the end of a job; None without one, or if the job is active.

    Args:
        state: the state of the job, which may be ``dead``.
        status: its last status.
    """
    if state in ("finished", "failed", "dead"):
        return state  # type: ignore[return-value]  # one of these three
    if state != "stopped" or not isinstance(status, CountedStatus) or status.stopped_by in _BY_A_PERSON:
        return None
    return "budget" if status.stopped_by in ("budget_usd", "budget_tokens") else "failed"


def settings_of(folder: JobFolder[Any, Any]) -> NotifySettings:
    """Return the notification settings of the job's lab; no events if o1lab.toml cannot be read."""
    try:
        return load_config(folder.lab).notify
    except LabError:
        return NotifySettings(on=[])


class HookCaller:
    """Reports events of a job to the process that calls the hook. It does nothing if the lab has no hook.

    Args:
        folder: the job, which this process works on.
    """

    def __init__(self, folder: JobFolder[Any, Any]) -> None:
        self._pipe: int | None = None
        settings = settings_of(folder)
        if not settings.hook or not settings.on:
            return
        kind = type(folder)
        words = [f"{kind.__module__}:{kind.__qualname__}", str(folder.path.absolute()), str(os.getpid())]
        try:
            reader, writer = os.pipe()
            try:
                subprocess.Popen(
                    [sys.executable, "-P", "-m", "o1lab.jobs.hook_process", *words], stdin=reader,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
                )  # fmt: skip
            except OSError:
                os.close(writer)
                raise
            finally:
                os.close(reader)
        except OSError as error:
            record(folder, "finished", f"the hook process cannot be started: {error.strerror}")
            return
        os.set_blocking(writer, False)
        self._pipe = writer  # closed by the operating system when this process ends

    def send(self, event: EventName, cause: str) -> None:
        """Call the hook for an event during the job, without waiting for the hook."""
        if self._pipe is not None:
            line = json.dumps({"event": event, "cause": one_line(cause, 400)}) + "\n"
            with suppress(OSError):  # the process is gone, or far behind
                os.write(self._pipe, line.encode())

    def close(self) -> None:
        """End it before this process ends: the job has its final status."""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


def environment(folder: JobFolder[Any, Any], event: EventName, state: str, cause: str) -> dict[str, str]:
    """Return the variables that a hook gets in addition to its environment."""
    try:
        name = folder.about().name
    except LabError:
        name = ""
    return {
        "O1LAB_EVENT": event,
        "O1LAB_KIND": folder.noun,
        "O1LAB_RUN": folder.id,
        "O1LAB_NAME": one_line(name, 200),
        "O1LAB_STATE": state,
        "O1LAB_CAUSE": one_line(cause, 1_000),
        "O1LAB_DIR": str(folder.path),
        "O1LAB_LAB": str(folder.lab.root),
        "O1LAB_LAB_NAME": one_line(name_of(folder.lab), 200),
    }


def call(folder: JobFolder[Any, Any], settings: NotifySettings, event: EventName, state: str, cause: str) -> str:
    """Call the hook if the settings want it for this event; return what went wrong, empty if nothing did."""
    if event not in settings.on or not settings.hook:
        return ""
    fault = _run(settings, os.environ | environment(folder, event, state, cause), folder.lab.root)
    record(folder, event, fault)
    return fault


def _run(settings: NotifySettings, env: dict[str, str], cwd: Path) -> str:
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                settings.hook, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            return f"{settings.hook[0]} cannot be started: {error.strerror}"
        try:
            status = process.wait(settings.hook_timeout_s)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):  # it has ended just now
                os.killpg(process.pid, signal.SIGKILL)  # also the commands that a shell started
            process.wait()
            return f"it did not end within {settings.hook_timeout_s:g} s"
        if not status:
            return ""
        output.seek(0)
        printed = one_line(output.read(_OUTPUT).decode("utf-8", "replace"), 200)
    how = f"it was ended by signal {-status}" if status < 0 else f"exit status {status}"
    return f"{how}{f': {printed}' if printed else ''}"


def record(folder: JobFolder[Any, Any], event: EventName, fault: str) -> None:
    """Record the result of a call of the hook."""
    line = {"event": event, "time": round(time.time(), 3), "ok": not fault, "fault": fault}
    with suppress(OSError), folder.hooks_file.open("a", encoding="utf-8") as file:  # a full disk cannot take it either
        file.write(json.dumps(line) + "\n")
