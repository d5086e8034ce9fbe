"""The command lines of the README and the example of each verb: they exist, and their options parse."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from o1lab.cli.verbs import app
from o1lab.config import init_lab

ROOT = Path(__file__).parents[3]
PROGRAM: Any = typer.main.get_command(app)


def commands(command: Any = PROGRAM, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield every command by its words, groups included."""
    yield " ".join(path), command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


def lines(text: str) -> list[str]:
    """Return the command lines in a text: what follows ``o1lab`` at the start of a line or after ``Example:``."""
    found = re.findall(r"^(?: {4}|\t|.*Example: )o1lab(?:[ \t]+(.*))?$", text, re.MULTILINE)
    found = [re.sub(r"\$\(.*?\)", "ID", line) for line in found if not line.startswith("#")]
    return [re.split(r"\s{2,}#|\s[|>&]|`", line)[0].strip() for line in found]


README = lines((ROOT / "README.md").read_text("utf-8"))
EXAMPLES = [line for _, command in commands() for line in lines(command.help or "")]


def test_there_are_examples() -> None:
    assert len(README) > 25
    assert len(EXAMPLES) > 20


@pytest.mark.parametrize("line", dict.fromkeys([*README, *EXAMPLES]))
def test_it_parses(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    init_lab(tmp_path)
    for name in ("chains.jsonl", "two-phases.yaml", "recipe.yaml"):
        (tmp_path / name).write_text("{}")
    monkeypatch.chdir(tmp_path)
    arguments, command, context = shlex.split(line), PROGRAM, None
    while True:
        context = command.make_context(command.name or "o1lab", arguments, parent=context)
        rest = [*context._protected_args, *context.args]
        if not rest or not hasattr(command, "commands"):
            break
        _, command, arguments = command.resolve_command(context, rest)
    assert not context.args, f"left over: {context.args}"
