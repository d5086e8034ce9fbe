"""The command lines that texts contain, and whether the program knows their verbs and options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

from o1lab.cli.verbs import program

PROGRAM: Any = program()
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_IN_BLOCKS = frozenset({"sh", "console", ""})
_PLACEHOLDER = re.compile(r"\$\(.*?\)")


def commands(command: Any = PROGRAM, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield every command by its words, groups included."""
    yield " ".join(path), command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


def indented(text: str) -> list[str]:
    """Return the command lines after ``o1lab`` in indented blocks, or after ``Example:``."""
    found = re.findall(r"^(?: {4}|\t|.*Example: )o1lab(?:[ \t]+(.*))?$", text, re.MULTILINE)
    return [_bare(line) for line in found if not line.startswith("#")]


def fenced(text: str) -> list[str]:
    """Return the command lines after ``o1lab`` in fenced blocks of shell commands."""
    blocks = [body.replace("\\\n", " ") for language, body in _BLOCK.findall(text) if language in _IN_BLOCKS]
    return [_bare(line or "") for body in blocks for line in re.findall(r"^o1lab(?:[ \t]+(.*))?$", body, re.MULTILINE)]


def inline(text: str) -> list[str]:
    """Return what follows ``o1lab`` in code within sentences."""
    prose = _BLOCK.sub("", text)
    return [_bare(" ".join(line.split())) for line in re.findall(r"`o1lab ([^`]+)`", prose)]


def _bare(line: str) -> str:
    """Return a line without its comment, its pipe and what a shell would put in."""
    return re.split(r"\s+#\s|\s[|>&]|`", _PLACEHOLDER.sub("ID", line))[0].strip()


def parse(line: str) -> None:
    """Parse a command line as the program does.

    Raises:
        AssertionError: words are left over.
        typer.TyperException: a verb, option or value does not exist.
    """
    arguments, command, context = shlex.split(line), PROGRAM, None
    while True:
        context = command.make_context(command.name or "o1lab", arguments, parent=context)
        rest = [*context._protected_args, *context.args]
        if not rest or not hasattr(command, "commands"):
            break
        _, command, arguments = command.resolve_command(context, rest)
    assert not context.args, f"left over: {context.args}"


def unknown(line: str) -> list[str]:
    """Return the first word that is no verb, and the options that do not exist. Values may be missing or made up."""
    try:
        words = shlex.split(line.replace("...", " "))
    except ValueError:
        words = line.split()
    command, known, wrong = PROGRAM, set(_options(PROGRAM)), []
    for word in words:
        inner = getattr(command, "commands", {})
        if word.startswith("-"):
            wrong += [word] if word.partition("=")[0] not in known else []
        elif word in inner:
            command = inner[word]
            known |= set(_options(command))
        elif command is PROGRAM:
            return [word]
        elif default := getattr(command, "default_verb", ""):
            command = inner[default]
            known |= set(_options(command))
    return wrong


def all_options() -> set[str]:
    """Return every option of the program."""
    return {name for _, command in commands() for name in _options(command)}


def _options(command: Any) -> Iterator[str]:
    context = command.context_class(command, info_name="o1lab")
    for param in command.get_params(context):
        yield from (*param.opts, *param.secondary_opts)
