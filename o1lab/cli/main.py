"""Entry point of the program: open the app or run a command, and report errors as one sentence."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from pathlib import Path

from o1lab.errors import LabError, O1LabError, from_store
from o1lab.files import protect_files
from o1lab.paths import find_lab, log_dir
from store.errors import StoreError


def main(argv: list[str] | None = None) -> None:
    """Run the program and exit with one of the documented statuses."""
    arguments = sys.argv[1:] if argv is None else argv
    sys.exit(run(arguments))


def run(arguments: list[str]) -> int:
    """Run ``o1lab ARGUMENTS`` and return its exit status."""
    as_json = "--json" in arguments
    try:
        return _dispatch(arguments)
    except KeyboardInterrupt:
        from o1lab.cli.output import say

        say("Interrupted.")
        return 130
    except O1LabError as error:
        return _report(error, as_json=as_json)
    except StoreError as error:
        return _report(from_store(error), as_json=as_json)
    except BrokenPipeError:
        # The reader of the pipe is gone. Redirect stdout, so that flushing it at exit does not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if os.environ.get("O1LAB_DEBUG"):
            raise
        return _report(_unexpected(error), as_json=as_json)


def _dispatch(arguments: list[str]) -> int:
    """Open the app directly if no command is given: importing the commands and their options is slow."""
    completing = "_O1LAB_COMPLETE" in os.environ  # the shell asks for completions
    match arguments:
        case [] if not completing:
            return _open(None)
        case ["--lab", folder] if not completing:
            return _open(Path(folder))
    from o1lab.cli.verbs import run_command

    return run_command(arguments)


def _open(folder: Path | None) -> int:
    gc.disable()  # imported modules stay alive, so collecting them is wasted time; the app enables it after start
    try:
        from o1lab.app import run_app
        from o1lab.chains.marks import use_marks_of

        lab = find_lab(folder)
        protect_files(lab.config)
        with contextlib.suppress(LabError):  # the screens that need the configuration report it
            use_marks_of(lab)
        return run_app(lab)
    finally:
        gc.enable()


def _report(error: O1LabError, *, as_json: bool) -> int:
    from o1lab.cli.output import emit, say

    if as_json:
        emit(error.as_json(), as_json=True, text="")
    else:
        say(f"o1lab: {error.message}" + (f"\n       {error.hint}" if error.hint else ""))
    return error.exit_status


def _unexpected(error: Exception) -> O1LabError:
    """Write the traceback of a bug to the log and return an error with one sentence."""
    import traceback

    path = log_dir() / "o1lab.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", errors="backslashreplace") as log:
            traceback.print_exception(error, file=log)
        where = f"The traceback is in {path}."
    except OSError:
        where = "Set O1LAB_DEBUG=1 to see the traceback."
    return O1LabError(f"Something went wrong: {type(error).__name__}: {error}.", where, code="internal")
