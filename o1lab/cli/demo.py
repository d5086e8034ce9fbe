"""The command ``demo``: open a seeded lab in the app, or run the whole loop without a screen."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from o1lab.cli.output import JsonOption, context, emit, say
from o1lab.errors import LabError

DEFAULT_FOLDER = Path("o1lab-demo")


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("demo")(demo)


def demo(
    ctx: typer.Context,
    lab_dir: Annotated[
        Path | None,
        typer.Option("--lab", help="Folder of the demo, created if it does not exist [default: ./o1lab-demo]."),
    ] = None,
    headless: Annotated[
        bool,
        typer.Option(
            "--headless", help="Without a screen: train, evaluate base, student and teacher, print the table."
        ),
    ] = False,
    steps: Annotated[
        int | None,
        typer.Option(
            help="Number of training steps, instead of the recipe's; disables the target (headless only).", min=1
        ),
    ] = None,
    plumbing: Annotated[
        bool,
        typer.Option(
            "--plumbing",
            help="Check that the parts work together, in a minute or two: few steps, few items, no target (headless "
            "only).",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Open a seeded demo lab in the app. Without a terminal, run the whole loop and print the table.

    The headless demo takes a few minutes on two cores. The exit status is 1 if the student misses its target.

    Example: o1lab demo --headless --json
    """
    folder = lab_dir or context(ctx).lab_dir or DEFAULT_FOLDER
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if headless or plumbing or as_json or steps is not None or not on_terminal:
        from o1lab.demo.headless import as_text, run_headless

        report = run_headless(folder, steps, plumbing=plumbing, progress=say)
        emit(report.as_json(), as_json=as_json, text=as_text(report))
        return 1 if report.met is False else 0

    from o1lab.app import run_app
    from o1lab.demo.seed import seed_demo
    from o1lab.models import STUDENT, resolve_base

    seeded = seed_demo(folder, progress=say)
    try:
        resolve_base(STUDENT, progress=say)
    except LabError as error:  # curating works without the student, so the app opens
        say(f"o1lab: {error.message}\n       {error.hint}")
    return run_app(seeded.lab)
