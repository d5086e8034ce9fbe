"""Run a job on models in a separate process, which imports torch and reports in lines of JSON.

The process reads the job from standard input and writes ``{"progress": SENTENCE}`` while it works, at last
``{"done": RESULT}`` or an error (see :func:`report_to_parent`).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from o1lab.errors import LabError, O1LabError, RefusedError
from o1lab.models.library_errors import explain, explained, last_error
from o1lab.process import QUIET_ENVIRONMENT


def run_child(
    module: str, job: str, *, doing: str, code: str, killed: str, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Run a job, and return its result.

    Args:
        module: the module of the process.
        job: the job as JSON.
        doing: what it does, as the first word of a sentence: "Merging".
        code: the code of an unknown error.
        killed: what to do if the process was killed.
        progress: called with sentences for people.

    Raises:
        RefusedError, LabError: what the process reports; or it failed.
    """
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output,
        subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            env=os.environ | QUIET_ENVIRONMENT | {"HF_HUB_OFFLINE": "1"},
        ) as process,
    ):
        assert process.stdin is not None and process.stdout is not None  # noqa: S101 - asked for above
        try:
            with contextlib.suppress(BrokenPipeError):  # it has ended: the reason is below
                process.stdin.write(job)
                process.stdin.close()
            for line in process.stdout:
                try:
                    found = json.loads(line)
                except ValueError:
                    continue  # a library printed it
                if "progress" in found:
                    progress(found["progress"])
                elif "done" in found:
                    return dict(found["done"])
                raise_reported(found)
            process.wait()
        except BaseException:
            process.kill()
            raise
        output.seek(0)
        text = last_error(output.read().splitlines())
    if process.returncode < 0:
        raise LabError(f"{doing} was killed (signal {-process.returncode}).", killed, code="out_of_memory")
    known = explain(text)
    raise known or LabError(f"{doing} failed: {text or 'no reason was given'}.", "See the message.", code=code)


def raise_reported(found: Mapping[str, Any]) -> None:
    """Raise the error that a line of a process reports, see :func:`error_report`; do nothing without one."""
    if "error" in found:
        error = found["error"]
        raise (RefusedError if found["refused"] else LabError)(error["message"], error["hint"], code=error["code"])


def error_report(error: O1LabError) -> dict[str, Any]:
    """Return the line with which a process reports an error."""
    return error.as_json() | {"refused": isinstance(error, RefusedError)}


def progress_to_parent(sentence: str) -> None:
    """Report to the parent process what this one is doing."""
    print(json.dumps({"progress": sentence}), flush=True)


def report_to_parent(work: Callable[[], dict[str, Any]], *, failed: str, hint: str) -> int:
    """Do the work of this process, and report its result or its error.

    Args:
        work: returns the result.
        failed: what failed, as a sentence without its full stop, for errors of libraries.
        hint: what to do about an unknown error.

    Returns:
        The exit status.
    """
    try:
        print(json.dumps({"done": work()}), flush=True)
    except O1LabError as error:
        print(json.dumps(error_report(error)), flush=True)
    except Exception as error:
        print(json.dumps(error_report(explained(error, failed, hint))), flush=True)
    else:
        return 0
    return 1
