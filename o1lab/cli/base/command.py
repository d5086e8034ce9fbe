"""The base of all commands: a module declares its :class:`Verbs` and decorates functions with ``@verbs.command``.

A command declares its own options and gets those that all commands share: ``--json``, ``--lab`` (hidden, since the help
of the program lists it) and, if it lists things, ``--format``. Their values are in the invocation of `output.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from o1lab.cli.base.busy import working
from o1lab.cli.base.options import parameters_of, settings_parameters
from o1lab.cli.base.output import Format, invocation

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter, Parameter
    from typer._click.core import Command

    Base = Command
else:
    Base = object

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def use_lab(folder: Path | None) -> None:
    """Store the value of ``--lab``; the one nearest to the verb counts."""
    if folder is not None:
        invocation().lab_dir = folder


def _use_json(wanted: bool) -> None:
    invocation().as_json |= wanted


def _use_form(form: Format | None) -> None:
    if form is not None:
        invocation().form = form


def _shared(
    _lab: Annotated[
        Path | None, typer.Option("--lab", hidden=True, is_eager=True, expose_value=False, callback=use_lab)
    ] = None,
    _form: Annotated[
        Format | None,
        typer.Option(
            "--format", show_default=False, expose_value=False, callback=_use_form,
            help="table, json (the same as --json) or csv.",
        ),
    ] = None,
    _as_json: Annotated[
        bool,
        typer.Option(
            "--json", expose_value=False, callback=_use_json, help="Print one JSON object on standard output."
        ),
    ] = False,
) -> None:  # fmt: skip
    """Carry the options of :class:`_Verb` in its signature."""


_SHARED = parameters_of(_shared)


class _Verb(Base):
    """A command with the shared options, after its own, and the options of a settings model, before its own.

    A shared option that the command declares itself is left out.
    """

    lists = False
    interactive = False
    settings: str | None = None
    only: Collection[str] = ()
    _loaded = False

    def __init__(self, **about: Any) -> None:
        super().__init__(**about)
        taken = {name for param in self.params for name in param.opts} | (set() if self.lists else {"--format"})
        self.params += [param for param in _SHARED if not taken.intersection(param.opts)]

    def get_params(self, ctx: Context) -> list[Parameter]:
        if self.settings is not None and not self._loaded:
            self._loaded = True
            self.params[:0] = settings_parameters(resolve_name(self.settings), self.only)
        return super().get_params(ctx)

    def invoke(self, ctx: Context) -> Any:
        """Run the command, and show what it does if that takes long."""
        if self.interactive or (isinstance(self, TyperGroup) and ctx._protected_args):
            return super().invoke(ctx)
        with working(ctx.command_path):
            return super().invoke(ctx)

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the options under the headings of the settings model."""
        if self.settings is None:
            super().format_options(ctx, formatter)  # type: ignore[safe-super]  # abstract for mypy; the class it is mixed into has it
            return
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


class _Group(TyperGroup):
    """A group of commands that accepts ``--lab`` between its name and that of the command."""

    def __init__(self, **about: Any) -> None:
        super().__init__(**about)
        self.params += [param for param in _SHARED if "--lab" in param.opts]


def group_with_default(verb: str) -> type[TyperGroup]:
    """Return a class of groups in which ``verb`` is called if the first word is not a command."""

    class Group(_Group):
        default_verb = verb

        def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
            at = 0
            while at < len(args) and args[at].partition("=")[0] == "--lab":
                at += 1 if "=" in args[at] else 2
            if at >= len(args) or (args[at] not in self.commands and args[at] != "--help"):
                args = [*args[:at], verb, *args[at:]]
            return super().parse_args(ctx, args)

    return Group


class Verbs(typer.Typer):
    """Commands of one module.

    Args:
        name: the word before them; None if they are added to the program itself.
        help: the help of the group.
        cls: the class of the group.
        alone: whether the group is a command itself: its callback gets the shared options.
        lists: whether that command lists things.
        settings: the settings model whose fields become options of that command, as ``MODULE:CLASS``.
    """

    def __init__(
        self, name: str | None = None, help: str | None = None, *, cls: type[TyperGroup] = _Group,
        alone: bool = False, lists: bool = False, settings: str | None = None,
    ) -> None:  # fmt: skip
        if alone:
            cls = _with_options(TyperGroup, lists=lists, settings=settings)
        about: dict[str, Any] = {} if help is None else {"help": help}  # without it, the help is that of the callback
        super().__init__(
            name=name, cls=cls, invoke_without_command=alone, no_args_is_help=not alone and cls is _Group,
            rich_markup_mode=None, **about,
        )  # fmt: skip

    def command(
        self, name: str | None = None, *, lists: bool = False, settings: str | None = None,
        only: Collection[str] = (), interactive: bool = False, **about: Any,
    ) -> Callable[[FunctionT], FunctionT]:  # fmt: skip
        """Add the decorated function as a command.

        Args:
            name: its name.
            lists: whether it lists things, and so has ``--format``.
            settings: a settings model whose fields become options, as ``MODULE:CLASS``; :func:`options.given` returns
                the values.
            only: the fields that become options; empty for all.
            interactive: whether it takes over the terminal, and so shows no line of progress of its own.
            about: further arguments of typer.
        """
        made = _with_options(TyperCommand, lists=lists, settings=settings, only=only, interactive=interactive)
        return super().command(name, cls=made, **about)


def _with_options(base: type[Any], **options: Any) -> type[Any]:
    return type("Verb", (_Verb, base), options)
