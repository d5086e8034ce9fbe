"""Call the hook of a lab: a command of o1lab.toml that is told of the events of jobs.

A worker starts a small process (``o1lab.jobs.hook_process``) that holds the other end of a pipe. The operating system
closes the pipe when the worker ends, however it ends, and the process then reads the final status and calls the hook.
So hooks work with the app closed and for a worker that was killed, and never delay a job. What went wrong with a hook
is in ``hooks.jsonl`` of the job, from where lists and the app show it.

Nobody calls the hook of a job whose machine went down, or whose worker could not even start.
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

from o1lab.config import NotifySettings, load_config, name_of
from o1lab.errors import LabError
from o1lab.jobs.directory import JobFolder
from o1lab.jobs.events import EventName
from o1lab.paths import Lab
from o1lab.text import one_line

_OUTPUT = 2_000
"""Bytes of a failed hook's output that are looked at."""


def lab_of(folder: JobFolder[Any, Any]) -> Lab:
    """Return the lab that a job belongs to."""
    return Lab(folder.path.parent.parent)


def settings_of(folder: JobFolder[Any, Any]) -> NotifySettings:
    """Return who is told of a job's events; nobody if o1lab.toml cannot be read."""
    try:
        return load_config(lab_of(folder)).notify
    except LabError:
        return NotifySettings(on=[])


class HookCaller:
    """The process that calls the hook for a job, as its worker sees it. It does nothing if the lab has no hook.

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

    def tell(self, event: EventName, cause: str) -> None:
        """Call the hook for an event during the job; a hook that is slow never delays it."""
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
    lab = lab_of(folder)
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
        "O1LAB_LAB": str(lab.root),
        "O1LAB_LAB_NAME": one_line(name_of(lab), 200),
    }


def call(folder: JobFolder[Any, Any], settings: NotifySettings, event: EventName, state: str, cause: str) -> str:
    """Call the hook if the settings want it for this event; return what went wrong, empty if nothing did."""
    if event not in settings.on or not settings.hook:
        return ""
    fault = _run(settings, os.environ | environment(folder, event, state, cause), lab_of(folder).root)
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
        said = one_line(output.read(_OUTPUT).decode("utf-8", "replace"), 200)
    how = f"it was ended by signal {-status}" if status < 0 else f"exit status {status}"
    return f"{how}{f': {said}' if said else ''}"


def record(folder: JobFolder[Any, Any], event: EventName, fault: str) -> None:
    """Write down how a call of the hook went."""
    line = {"event": event, "time": round(time.time(), 3), "ok": not fault, "fault": fault}
    with suppress(OSError), folder.hooks_file.open("a", encoding="utf-8") as file:  # a full disk cannot take it either
        file.write(json.dumps(line) + "\n")
