"""Command line options generated from a settings model, grouped in ``--help`` by the model's sections.

A command gets them with ``cls=command_with(model)`` or ``cls=group_with(model)`` and reads the given values with
:func:`given`. The model is imported only when such a command is parsed, because importing pydantic takes longer than
most verbs take to run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from pydantic import BaseModel
    from typer._click import Context, HelpFormatter, Parameter
    from typer._click.core import Command

    from o1lab.settings import Setting

    Base = Command
else:
    Base = object

_KEY = "o1lab.settings"
LoadModel = Callable[[], "type[BaseModel]"]


class _WithSettings(Base):
    """A command whose parameters begin with those of a settings model."""

    load_model: LoadModel
    only: Collection[str] = ()
    _loaded = False

    def get_params(self, ctx: Context) -> list[Parameter]:
        if not self._loaded:
            self._loaded = True
            self.params[:0] = _parameters(self.load_model(), self.only)
        return super().get_params(ctx)

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if (record := param.get_help_record(ctx)) is not None:
                argument = param.param_type_name == "argument"
                section = "Arguments" if argument else getattr(param, "rich_help_panel", None) or "Options"
                sections.setdefault(section, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)
        if isinstance(self, TyperGroup):
            self.format_commands(ctx, formatter)


def command_with(model: LoadModel, only: Collection[str] = ()) -> type[TyperCommand]:
    """Return a command class that adds the options of a settings model.

    Args:
        model: loads the settings model.
        only: the fields that become options; empty for all.
    """
    return type("SettingsCommand", (_WithSettings, TyperCommand), {"load_model": staticmethod(model), "only": only})


def group_with(model: LoadModel) -> type[TyperGroup]:
    """Return a command group class that adds the options of a settings model to the group itself."""
    return type("SettingsGroup", (_WithSettings, TyperGroup), {"load_model": staticmethod(model)})


def given(ctx: typer.Context) -> dict[str, Any]:
    """Return the values given on the command line, by field of the settings model."""
    return dict(ctx.meta.get(_KEY, {}))


def _parameters(model: type[BaseModel], only: Collection[str]) -> list[Parameter]:
    """Return a click parameter per field, which typer makes from the signature of a function."""
    from o1lab.settings import settings_of

    def fields() -> None:
        """Carry the signature below."""

    signature = inspect.Signature(
        [_parameter(one) for one in settings_of(model).values() if not only or one.name in only]
    )
    setattr(fields, "__signature__", signature)  # noqa: B010 - no type knows this attribute
    maker = typer.Typer(add_completion=False, rich_markup_mode=None)
    maker.command()(fields)
    return list(typer.main.get_command(maker).params)


def _parameter(setting: Setting) -> inspect.Parameter:
    kind: Any = setting.kind
    choices = {str(choice): choice for choice in setting.choices}
    if choices:
        kind = Literal[tuple(choices)]
    elif kind is list:
        kind = list[str]

    def keep(ctx: typer.Context, value: Any) -> None:
        if value is not None:
            ctx.meta.setdefault(_KEY, {})[setting.name] = choices.get(value, value) if choices else value

    notes = "; ".join(_notes(setting))
    help_text = f"{setting.help}  [{notes}]" if notes else setting.help
    metavar, panel = setting.display.metavar, setting.section
    about: Any
    if setting.display.argument:
        about = typer.Argument(help=help_text, metavar=metavar, callback=keep, expose_value=False, show_default=False)
    else:
        name = setting.name.replace("_", "-")
        names = setting.display.options or (f"--{name}/--no-{name}" if kind is bool else f"--{name}",)
        about = typer.Option(
            *names, help=help_text, metavar=metavar, callback=keep, expose_value=False, rich_help_panel=panel
        )
    annotation: Any = Annotated[kind | None, about]
    return inspect.Parameter(setting.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _notes(setting: Setting) -> Iterator[str]:
    """Yield the notes that ``--help`` shows in brackets: the default, the range, and whether it may be repeated."""
    if setting.unset:
        yield f"default: {setting.unset}"
    if setting.bounds:
        yield setting.bounds
    if setting.kind is list:
        yield "may be repeated"
