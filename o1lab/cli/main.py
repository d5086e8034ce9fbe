"""The program's entry: options before the verb, the verbs, and errors as one clear sentence."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from typer._click.exceptions import ClickException  # typer carries its own click and exports only parts of it

from o1lab import __version__
from o1lab.cli import curate, demo, lab, serving, training
from o1lab.cli.output import Context, emit, say
from o1lab.errors import O1LabError, UsageError, from_store
from o1lab.locations import log_dir
from store.errors import StoreError

app = typer.Typer(
    name="o1lab",
    help=(
        "A laboratory in the terminal: curate long-thought chains, fine-tune a student on them, "
        "and talk to teacher and student side by side.\n\n"
        "Without a verb the laboratory opens. Try `o1lab demo` first."
    ),
    invoke_without_command=True,
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
    epilog=(
        "Exit status: 0 done, 1 done with failures, 2 usage, 3 lab or environment, 4 no such id, "
        "5 refused by preflight or budget, 130 interrupted."
    ),
)


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"o1lab {__version__}\n")
        raise typer.Exit


@app.callback()
def top(
    ctx: typer.Context,
    lab_dir: Annotated[
        Path | None,
        typer.Option("--lab", help="The lab's folder [default: $O1LAB_LAB, else the nearest o1lab.toml]."),
    ] = None,
    _version_asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    ctx.obj = Context(lab_dir)
    if ctx.invoked_subcommand is None:
        lab.open_app(ctx)


for module in (demo, lab, curate, training, serving):
    module.register(app)


def main(argv: list[str] | None = None) -> None:
    """Run the program; every way out is one of the exit statuses of the contract."""
    arguments = sys.argv[1:] if argv is None else argv
    sys.exit(run(arguments))


def run(arguments: list[str]) -> int:
    """What ``o1lab ARGUMENTS`` returns as its exit status."""
    as_json = "--json" in arguments
    try:
        result = app(arguments, standalone_mode=False)
    except typer.Exit as finished:
        return finished.exit_code
    except (KeyboardInterrupt, typer.Abort):
        say("Interrupted.")
        return 130
    except O1LabError as error:
        return _report(error, as_json=as_json)
    except StoreError as error:
        return _report(from_store(error), as_json=as_json)
    except typer.TyperException as error:
        message = error.format_message() if isinstance(error, ClickException) else str(error)
        return _report(UsageError(message, "See `o1lab --help`."), as_json=as_json)
    except BrokenPipeError:
        # The reader of our pipe went away; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if os.environ.get("O1LAB_DEBUG"):
            raise
        return _report(_unexpected(error), as_json=as_json)
    return result if isinstance(result, int) else 0


def _report(error: O1LabError, *, as_json: bool) -> int:
    if as_json:
        emit(error.as_json(), as_json=True, text="")
    else:
        say(f"o1lab: {error.message}" + (f"\n       {error.hint}" if error.hint else ""))
    return error.exit_status


def _unexpected(error: Exception) -> O1LabError:
    """A fault of ours: the traceback goes to the log, the person gets a sentence."""
    path = log_dir() / "o1lab.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", errors="backslashreplace") as log:
            traceback.print_exception(error, file=log)
        where = f"The traceback is in {path}."
    except OSError:
        where = "Set O1LAB_DEBUG=1 to see the traceback."
    return O1LabError(f"Something went wrong: {type(error).__name__}: {error}.", where, code="internal")
