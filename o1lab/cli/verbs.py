"""The typer application: global options and commands. Only the module of the command that is called is imported."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer._click import Command, Context
from typer._click.exceptions import ClickException, NoArgsIsHelpError  # typer exports only parts of its click
from typer.core import TyperGroup

from o1lab import __version__
from o1lab.cli.base.command import use_lab
from o1lab.cli.base.output import current_lab, invoked, say
from o1lab.errors import EXIT_STATUSES, UsageError
from o1lab.registry import PluginWarning


class _Program(TyperGroup):
    """The help lists commands before groups of commands."""

    def list_commands(self, ctx: Context) -> list[str]:
        return sorted(self.commands, key=lambda name: isinstance(self.commands[name], TyperGroup))


PARTS: dict[str, tuple[str, ...]] = {
    "lab": ("demo", "init", "doctor", "keys"),
    "models": ("models",),
    "importing": ("import",),
    "problems": ("problems",),
    "traces": ("annotate", "traces", "annotations", "labels"),
    "moves": ("moves",),
    "filters": ("filters",),
    "trees": ("trees",),
    "datasets": ("dataset",),
    "distill": ("distill",),
    "train": ("train", "runs"),
    "evaluate.run": ("eval",),
    "serve": ("serve", "web", "chat"),
    "compare": ("compare",),
    "tti": ("tti", "methods"),
    "report": ("report",),
    "lens": ("lens",),
    "suitability": ("suitability",),
    "lesson": ("lesson",),
    "reproduce": ("reproduce",),
    "jobs.waiting": ("status", "hardware"),
    "manual": ("man",),
    "converge": ("converge",),
    "anchors": ("anchors",),
}
"""The commands of each module of ``o1lab.cli``, in the order of the help."""


def program(words: Sequence[str] = ()) -> Command:
    """Return the program.

    Making it takes longer than most commands, so each choice of modules is made once per process.

    Args:
        words: the command line. If its first word that is not a global option is a command, the program has only the
            commands of its module; else it has all of them, for the help, suggestions and completion.
    """
    called = _command(words)
    return _program(tuple(part for part, commands in PARTS.items() if called in commands) or tuple(PARTS))


@cache
def _program(parts: tuple[str, ...]) -> Command:
    made = typer.Typer(
        cls=_Program,
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
        epilog="Exit status: " + ", ".join(f"{status} {meaning}" for status, meaning in EXIT_STATUSES.items()) + ".",
    )
    made.callback()(top)
    for part in parts:
        made.add_typer(import_module(f"o1lab.cli.{part}").verbs)
    return typer.main.get_command(made)


def _command(words: Sequence[str]) -> str:
    """Return the first word that is not a global option; empty if there is none."""
    rest = iter(words)
    for word in rest:
        if word == "--lab":
            next(rest, None)
        elif not word.startswith("-"):
            return word
    return ""


def _version(requested: bool) -> None:
    if requested:
        sys.stdout.write(f"o1lab {__version__}\n")
        raise typer.Exit


def top(
    ctx: typer.Context,
    _lab: Annotated[
        Path | None,
        typer.Option(
            "--lab", expose_value=False, callback=use_lab,
            help="Folder of the lab, before or after the command [default: $O1LAB_LAB, else the nearest o1lab.toml].",
        ),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Open the app without the filters, positions, sizes and theme that it remembers."),
    ] = False,
    _version_requested: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:  # fmt: skip
    if ctx.invoked_subcommand is None:
        from o1lab.app import run_app

        raise typer.Exit(run_app(current_lab(), fresh=fresh))
    if fresh:
        raise UsageError("--fresh is only for the app.", "Leave it out, or give no command: o1lab --fresh")


@contextmanager
def _plugin_warnings() -> Iterator[None]:
    """Print plugin warnings as plain sentences; other warnings keep their file and line."""
    show_other = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, PluginWarning):
            say(f"o1lab: {message}")
        else:
            show_other(message, category, *where, **more)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def run_command(arguments: list[str]) -> int:
    """Run ``o1lab ARGUMENTS`` and return its exit status.

    Raises:
        UsageError: the arguments are invalid.
        KeyboardInterrupt: the command was aborted.
    """
    try:
        with _plugin_warnings(), invoked():
            result = program(arguments)(arguments, standalone_mode=False)
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
