"""The verb ``demo``: a seeded lab in the app, or once round the loop without a screen."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from o1lab.cli.output import JsonOption, context, emit, say
from o1lab.errors import LabError

DEFAULT_FOLDER = Path("o1lab-demo")


def register(app: typer.Typer) -> None:
    """Add the verb to the program."""
    app.command("demo")(demo)


def demo(
    ctx: typer.Context,
    lab_dir: Annotated[
        Path | None, typer.Option("--lab", help="The demo's folder, made if need be [default: ./o1lab-demo].")
    ] = None,
    headless: Annotated[
        bool, typer.Option("--headless", help="No screen: train, ask base, student and teacher, print the table.")
    ] = False,
    steps: Annotated[
        int | None,
        typer.Option(
            help="Training steps instead of the recipe's; then there is no target to miss (headless only).", min=1
        ),
    ] = None,
    plumbing: Annotated[
        bool,
        typer.Option(
            "--plumbing",
            help="Check in a minute or two that the parts work together: few steps, few questions, no target "
            "(headless only).",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Try the laboratory: a seeded lab in the app. Without a terminal, once round the loop and the table.

    The headless demo takes some minutes on two cores. Exit status 1 if the student stays below its target.

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
    run_app(seeded.lab)
    return 0
