"""The tree of commands, and the parts of their help texts: what the man pages and the documentation are made from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typer._click import Context

_EXAMPLE = re.compile(r"^Examples?: ", re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """One command or group of commands.

    Attributes:
        words: what is typed, such as ``o1lab traces ls``.
        group: whether other commands follow it.
    """

    words: str
    context: Context
    group: bool

    @property
    def help(self) -> str:
        return str(self.context.command.help or "")

    @property
    def summary(self) -> str:
        """The first sentence or two of the help."""
        return " ".join(paragraphs(self.help)[0].split()) if self.help else ""

    @property
    def anchor(self) -> str:
        """Its name in links and as a man page, such as ``o1lab-traces-ls``."""
        return self.words.replace(" ", "-")

    @property
    def runs(self) -> bool:
        """Whether it does something without a further command."""
        return not self.group or bool(getattr(self.context.command, "invoke_without_command", False))

    @property
    def usage(self) -> str:
        return str(self.context.command.get_usage(self.context)).removeprefix("Usage: ")

    def options(self) -> dict[str, list[tuple[str, str]]]:
        """Return the arguments and options that the help shows, by their headings: how each is typed, and its help."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.context.command.get_params(self.context):
            record = param.get_help_record(self.context)
            if record is None or "--help" in param.opts:
                continue
            title = "Argument" if param.param_type_name == "argument" else getattr(param, "rich_help_panel", None)
            sections.setdefault(title or "Option", []).append(record)
        return sections

    def parts(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the paragraphs of the help, each with no examples or with the examples that it consists of."""
        for part in paragraphs(self.help):
            if _EXAMPLE.match(part):
                yield "", [line.strip() for line in " ".join(_EXAMPLE.sub("", part).split()).split("; ")]
            else:
                yield part, []


def paragraphs(text: str) -> list[str]:
    """Split a text at its empty lines."""
    return [part for part in re.split(r"\n\s*\n", text.strip()) if part]


def commands() -> Iterator[Command]:
    """Yield the program and all commands that the help shows, in its order."""
    from typer._click import Context

    from o1lab.cli.verbs import program

    yield from _below(Context(program(), info_name="o1lab"))


def _below(context: Context) -> Iterator[Command]:
    from typer._click import Context

    command: Any = context.command
    names = command.list_commands(context) if hasattr(command, "list_commands") else []
    yield Command(context.command_path, context, bool(names))
    for name in names:
        if not (child := command.get_command(context, name)).hidden:
            yield from _below(Context(child, info_name=name, parent=context))
