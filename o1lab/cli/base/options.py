"""Command line options generated from a settings model, grouped in ``--help`` by the model's sections.

A command gets them with ``@verbs.command(settings="MODULE:CLASS")`` and reads the given values with :func:`given`. The
model is imported only when such a command is parsed: importing pydantic takes longer than most commands take to run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from o1lab.cli.base.naming import completing
from o1lab.cli.base.output import invocation
from o1lab.errors import UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel
    from typer._click import Parameter

    from o1lab.settings import Setting

AcceptTermsOption = Annotated[
    bool,
    typer.Option(
        "--accept-terms", help="I have read the teachers' terms of use and the licences; they allow what I do with it."
    ),
]


def model_option(help: str, *kinds: str, metavar: str | None = None) -> Any:
    """Return the option ``--model``.

    Args:
        help: its help.
        kinds: what its value names, for completion; bases and checkpoints if none are given.
        metavar: the placeholder of its value.
    """
    completion = completing(*(kinds or ("base", "checkpoint")))
    return typer.Option("--model", "-m", help=help, metavar=metavar, autocompletion=completion)


def given() -> dict[str, Any]:
    """Return the values given on the command line, by field of the settings model."""
    return dict(invocation().settings)


def whole_numbers(option: str, text: str) -> list[int]:
    """Return the numbers in a text such as ``50,100``.

    Raises:
        UsageError: a part is not a whole number.
    """
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not part.isdecimal():
            raise UsageError(f"{option}: '{part}' is not a whole number.", "Give numbers separated by commas: 50,100.")
    return [int(part) for part in parts]


def settings_parameters(model: type[BaseModel], only: Collection[str]) -> list[Parameter]:
    """Return a click parameter per field of a settings model.

    Args:
        model: the settings model.
        only: the fields that become options; empty for all.
    """
    from o1lab.settings import settings_of

    def fields() -> None:
        """Carry the signature below."""

    # A command with some of the options, or with a model without FIXED, makes no groups of jobs.
    fixed: Collection[str] | None = None if only else getattr(model, "FIXED", None)
    signature = inspect.Signature([
        _parameter(one, varies=fixed is not None and one.name not in fixed)
        for one in settings_of(model).values() if not only or one.name in only
    ])  # fmt: skip
    setattr(fields, "__signature__", signature)  # noqa: B010 - no type knows this attribute
    return parameters_of(fields)


def parameters_of(function: Callable[..., None]) -> list[Parameter]:
    """Return the click parameters that typer makes from the signature of a function."""
    maker = typer.Typer(add_completion=False, rich_markup_mode=None)
    maker.command()(function)
    return list(typer.main.get_command(maker).params)


def _parameter(setting: Setting, *, varies: bool) -> inspect.Parameter:
    """Return the parameter of a setting; if it ``varies``, a number or a choice takes several values by commas."""
    kind: Any = setting.kind
    choices = {str(choice): choice for choice in setting.choices}
    if choices:
        kind = Literal[tuple(choices)]
    elif kind is list:
        kind = list[str]

    def keep(value: Any) -> None:
        if value is not None:
            meant = [choices.get(one, one) for one in value] if isinstance(value, list) and choices else value
            invocation().settings[setting.name] = meant if isinstance(meant, list) else choices.get(meant, meant)

    notes = "; ".join(_notes(setting))
    help_text = f"{setting.full_help}  [{notes}]" if notes else setting.full_help
    metavar, panel = setting.display.metavar, setting.section
    completion = completing(*setting.display.names) if setting.display.names else None
    about: Any
    if setting.display.argument:
        about = typer.Argument(
            help=help_text, metavar=metavar, callback=keep, expose_value=False, show_default=False,
            autocompletion=completion,
        )  # fmt: skip
    else:
        name = setting.name.replace("_", "-")
        names = setting.display.options or (f"--{name}/--no-{name}" if kind is bool else f"--{name}",)
        parser = None
        if varies and setting.is_exact:
            parser, metavar = _several(kind, choices), metavar or _word(setting)
        about = typer.Option(
            *names, help=help_text, metavar=metavar, callback=keep, expose_value=False, rich_help_panel=panel,
            parser=parser, autocompletion=completion,
        )  # fmt: skip
    annotation: Any = Annotated[kind | None, about]
    return inspect.Parameter(setting.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _several(kind: Any, choices: Collection[str]) -> Callable[[str], Any]:
    """Return a parser of a number or a choice, or of a list of them separated by commas."""

    def one(text: str) -> Any:
        if choices:
            if text not in choices:
                raise typer.BadParameter(f"'{text}' is not one of {', '.join(choices)}.")
            return text
        try:
            return kind(text)
        except ValueError:
            word = "integer" if kind is int else "number"
            raise typer.BadParameter(f"'{text}' is not a valid {word}.") from None

    def parse(text: str) -> Any:
        parts = [part.strip() for part in text.split(",")]
        return one(parts[0]) if len(parts) == 1 else [one(part) for part in parts]

    return parse


def _word(setting: Setting) -> str:
    """Return the placeholder of a value that may be several."""
    return f"[{'|'.join(map(str, setting.choices))}],..." if setting.choices else f"<{setting.kind.__name__}>,..."


def _notes(setting: Setting) -> Iterator[str]:
    """Yield the notes that ``--help`` shows in brackets: the default, the range, and whether it may be repeated."""
    if setting.unset:
        yield f"default: {setting.unset}"
    if setting.bounds:
        yield setting.bounds
    if setting.kind is list:
        yield "may be repeated"
