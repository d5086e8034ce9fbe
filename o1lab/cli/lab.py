"""The lab itself: make one, look at its health, open the app, run the demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from o1lab.cli.output import JsonOption, context, emit


def register(app: typer.Typer) -> None:
    """Add the verbs to the program."""
    app.command("init")(init)


def init(
    folder: Annotated[Path, typer.Argument(help="The folder to make the lab in.")],
    name: Annotated[str | None, typer.Option(help="The lab's name [default: the folder's].")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a lab: a folder with an o1lab.toml and a database.

    Example: o1lab init ~/labs/aime
    """
    from o1lab.config import init_lab

    made = init_lab(folder, name=name)
    emit({"lab": str(made.root)}, as_json=as_json, text=f"A lab stands at {made.root}. Next: o1lab --lab {made.root}")


def open_app(ctx: typer.Context) -> None:
    """Open the laboratory."""
    from o1lab.app import run_app

    run_app(context(ctx).lab())
