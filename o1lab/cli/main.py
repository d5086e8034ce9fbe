"""Entry point of the program: open the app or run a command, and report errors as one sentence."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from itertools import pairwise
from pathlib import Path

from o1lab.errors import Interrupted, LabError, O1LabError, signal_status
from o1lab.files import protect_files
from o1lab.paths import find_lab, log_dir


def main(argv: list[str] | None = None) -> None:
    """Run the program and exit with one of the documented statuses."""
    arguments = sys.argv[1:] if argv is None else argv
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP
            signal.signal(number, _interrupt)
    status = run(arguments)
    try:
        sys.stdout.flush()
    except OSError:  # the terminal is closed; Python would flush again and exit with 120
        _drop_output()
    sys.exit(status)


def _interrupt(number: int, _frame: object) -> None:
    """End the command as Ctrl-C does, so that its files are closed and its results kept."""
    raise Interrupted(number)


def run(arguments: list[str]) -> int:
    """Run ``o1lab ARGUMENTS`` and return its exit status."""
    as_json = not {"--json", "--format=json"}.isdisjoint(arguments) or ("--format", "json") in pairwise(arguments)
    try:
        return _dispatch(arguments)
    except (KeyboardInterrupt, Interrupted) as error:
        from o1lab.cli.base.output import say

        with contextlib.suppress(OSError):  # the terminal may be closed
            say("Interrupted.")
        return error.status if isinstance(error, Interrupted) else signal_status(signal.SIGINT)
    except O1LabError as error:
        return _report(error, as_json=as_json)
    except BrokenPipeError:
        _drop_output()
        return 1
    except Exception as error:
        if os.environ.get("O1LAB_DEBUG"):
            raise
        return _report(_unexpected(error), as_json=as_json)


def _drop_output() -> None:
    """Redirect standard output, whose reader is gone, so that flushing it at exit does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(arguments: list[str]) -> int:
    """Open the app directly if no command is given: importing the commands and their options is slow."""
    if "_O1LAB_COMPLETE" not in os.environ:  # the shell does not ask for completions
        fresh = "--fresh" in arguments
        match [word for word in arguments if word != "--fresh"]:
            case []:
                return _open(None, fresh=fresh)
            case ["--lab", folder]:
                return _open(Path(folder), fresh=fresh)
    from o1lab.cli.verbs import run_command

    return run_command(arguments)


def _open(folder: Path | None, *, fresh: bool) -> int:
    """Open the app and return its exit status.

    Args:
        folder: the lab; None for the one that is found.
        fresh: whether the app opens without what it remembers of its screens.
    """
    gc.disable()  # imported modules stay alive, so collecting them is wasted time; the app enables it after start
    try:
        from o1lab.app import run_app
        from o1lab.chains.marks import use_marks_of

        lab = find_lab(folder)
        protect_files(lab.config)
        with contextlib.suppress(LabError):  # the screens that need the configuration report it
            use_marks_of(lab)
        return run_app(lab, fresh=fresh)
    finally:
        gc.enable()


def _report(error: O1LabError, *, as_json: bool) -> int:
    from o1lab.cli.base.output import print_json, say

    if as_json:
        print_json(error.as_json())
    else:
        hint = error.hint.replace("\n", "\n       ")
        say(f"o1lab: {error.message}" + (f"\n       {hint}" if hint else ""))
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
