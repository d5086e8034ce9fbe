"""The commands ``demo``, ``init``, ``doctor`` and ``keys``, and opening the app."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from o1lab.cli.base.command import Verbs
from o1lab.cli.base.listing import Column, emit_list
from o1lab.cli.base.output import emit, invocation, lab_if_any, say, wants_json
from o1lab.errors import LabError
from o1lab.text import one_line

verbs = Verbs()
DEMO_FOLDER = Path("o1lab-demo")


@verbs.command("demo", interactive=True)
def demo(
    lab_dir: Annotated[
        Path | None,
        typer.Option("--lab", help="Folder of the demo, created if it does not exist [default: ./o1lab-demo]."),
    ] = None,
    headless: Annotated[
        bool,
        typer.Option(
            "--headless", help="Without a screen: train, evaluate base, students and teacher, print the tables."
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
    report_dir: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="DIR",
            help="Write the report with its data, and repeat it in a fresh lab (headless only).",
        ),
    ] = None,
) -> int:
    """Open a seeded demo lab in the app. Without a terminal, run the whole loop and print the table.

    The headless demo trains two students, one of them with the base's own answers among its rows (replay). On two
    cores it takes ten to fifteen minutes with bfloat16 instructions, and 25 to 35 without. The exit status is 1 if a
    student misses its target, or if a part of the report is not the same in a fresh lab.

    Example: o1lab demo --headless --json

    Example: o1lab demo --headless --report report
    """
    folder = lab_dir or invocation().lab_dir or DEMO_FOLDER
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if headless or plumbing or wants_json() or steps is not None or report_dir is not None or not on_terminal:
        return _headless(folder, steps, plumbing=plumbing, report_dir=report_dir)

    from o1lab.app import run_app
    from o1lab.demo.seed import seed_demo
    from o1lab.models import STUDENT, resolve_base

    seeded = seed_demo(folder, progress=say)
    try:
        resolve_base(STUDENT, progress=say)
    except LabError as error:  # curating works without the student, so the app opens
        say(f"o1lab: {error.message}\n       {error.hint}")
    return run_app(seeded.lab)


def _headless(folder: Path, steps: int | None, *, plumbing: bool, report_dir: Path | None) -> int:
    """Run the demo without a screen, with its documents if they are wanted."""
    from o1lab.demo.headless import as_text, run_headless

    if report_dir is not None:
        from o1lab.transparency.report.writer import ensure_replaceable

        ensure_replaceable(report_dir)  # before the minutes that the demo takes
    report = run_headless(folder, steps, plumbing=plumbing, progress=say)
    data, text, ok = report.as_json(), as_text(report), report.met is not False
    if report_dir is not None:
        from o1lab.demo import documents

        made = documents.write_documents(folder, report.run_id, report_dir, progress=say)
        data |= {"report": made.as_json()}
        text += f"\n\n{documents.as_text(made)}"
        ok = ok and made.ok
    emit(data, text=text)
    return 0 if ok else 1


@verbs.command("init")
def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the new lab.")],
    name: Annotated[str | None, typer.Option(help="Name of the lab [default: the folder name].")] = None,
) -> None:
    """Create a lab: a folder with an o1lab.toml and a database.

    Example: o1lab init ~/labs/aime
    """
    from o1lab.config import init_lab
    from o1lab.labs import open_lab

    lab = init_lab(folder, name=name)
    open_lab(lab).close()
    text = f"Created a lab at {lab.root}. Next: o1lab --lab {lab.root} import FILE..."
    emit({"lab": str(lab.root)}, text=text)


@verbs.command("doctor")
def doctor() -> int:
    """Check this machine and this lab; each problem is listed with its fix.

    Example: o1lab doctor --json
    """
    from o1lab.health import examine

    checks = examine(lab_if_any())  # outside a lab, only the machine is checked
    ok = all(check.ok for check in checks)
    width = max(len(c.name) for c in checks)
    lines = [
        f"{'✓' if c.ok else '✗'} {c.name:{width}} {c.detail}" + ("" if c.ok else f"\n  {'':{width}} {c.fix}")
        for c in checks
    ]
    data = {
        "ok": ok,
        "checks": [{"name": c.name, "ok": c.ok, "detail": c.detail, "fix": "" if c.ok else c.fix} for c in checks],
    }
    emit(data, text=lines)
    return 0 if ok else 1


@verbs.command("keys", lists=True)
def keys() -> None:
    """List the keys of the app by screen, each with the id of its action.

    A line `ACTION = "KEY"` under [keys] in o1lab.toml changes the key of an action wherever it occurs; several keys are
    separated by commas. Texts that mention a key show its default. Problems are listed on standard error and under
    `warnings` in the JSON: an unknown action or key, one key for two actions, a key that tmux or screen takes. TAKEN BY
    names programs that may take a key before the app gets it. A key means the same on every screen.

    Example: o1lab keys
    """
    from o1lab.app import LabApp
    from o1lab.config import load_config
    from o1lab.keymap import all_keys, faults

    lab = lab_if_any()
    changes = load_config(lab).keys if lab is not None else {}
    found = all_keys(LabApp, changes)
    warnings = list(faults(found, changes))
    columns = (
        Column("screen", "screen"),
        Column("part", "part"),
        Column("key", lambda one: one["key"] + (" (changed)" if one["key"] != one["default"] else "")),
        Column("action", "action"),
        Column("what", lambda one: one_line(one["about"] or one["description"], 60)),
        Column("taken by", lambda one: ", ".join(one["taken"])),
    )
    emit_list([{**asdict(one), "taken": one.taken} for one in found], columns, more={"warnings": warnings})
    for warning in warnings:
        say(warning)
