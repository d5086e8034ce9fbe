"""The typer application: global options and all commands."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer
from typer._click.exceptions import ClickException, NoArgsIsHelpError  # typer exports only parts of its click

from o1lab import __version__
from o1lab.cli import annotation_files, datasets, demo, distill, importing, lab, problems, serve, traces, train
from o1lab.cli.evaluate import run
from o1lab.cli.output import Context, say
from o1lab.errors import UsageError
from o1lab.registry import PluginWarning

app = typer.Typer(
    name="o1lab",
    help=(
        "A laboratory in the terminal: curate long-thought chains, fine-tune a student on them, "
        "and compare teacher and student side by side.\n\n"
        "Without a command, the app opens. Try `o1lab demo` first."
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


def _version(requested: bool) -> None:
    if requested:
        sys.stdout.write(f"o1lab {__version__}\n")
        raise typer.Exit


@app.callback()
def top(
    ctx: typer.Context,
    lab_dir: Annotated[
        Path | None,
        typer.Option("--lab", help="Folder of the lab [default: $O1LAB_LAB, else the nearest o1lab.toml]."),
    ] = None,
    _version_requested: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    ctx.obj = Context(lab_dir)
    if ctx.invoked_subcommand is None:
        raise typer.Exit(lab.open_app(ctx))


for module in (demo, lab, importing, problems, traces, annotation_files, datasets, distill, train, run, serve):
    module.register(app)


@contextmanager
def _plugin_warnings() -> Iterator[None]:
    """Print plugin warnings as plain sentences; other warnings keep their file and line."""
    before = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, PluginWarning):
            say(f"o1lab: {message}")
        else:
            before(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


def run_command(arguments: list[str]) -> int:
    """Run ``o1lab ARGUMENTS`` and return its exit status.

    Raises:
        UsageError: the arguments are invalid.
        KeyboardInterrupt: the command was aborted.
    """
    try:
        with _plugin_warnings():
            result = app(arguments, standalone_mode=False)
    except typer.Exit as finished:
        return finished.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    except NoArgsIsHelpError as error:  # its message is the help of the command
        say(error.format_message())
        return UsageError.exit_status
    except typer.TyperException as error:
        message = error.format_message() if isinstance(error, ClickException) else str(error)
        message = message.replace(": Value error, ", ": ")  # the prefix that pydantic gives to a ValueError
        where = getattr(error, "ctx", None)  # the context of the command, if parsing got that far
        raise UsageError(message, f"See `{where.command_path if where else 'o1lab'} --help`.") from None
    return result if isinstance(result, int) else 0
