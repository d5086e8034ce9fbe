"""The command ``reproduce``: repeat the work of a report in a fresh lab and compare."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from o1lab.cli.base.command import Verbs
from o1lab.cli.base.output import emit, invocation, say
from o1lab.errors import UsageError

if TYPE_CHECKING:
    from o1lab.transparency.reproduce.replay import Reproduction


verbs = Verbs()


@verbs.command("reproduce")
def reproduce(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a report, from `o1lab report`.")],
    lab_dir: Annotated[
        Path | None,
        typer.Option("--lab", metavar="NEW", help="Repeat it in this new lab and keep it [default: a temporary lab]."),
    ] = None,
    files: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder with imported files that the report has no copy of.")
    ] = None,
    train: Annotated[bool, typer.Option("--train", help="Also train and evaluate again.")] = False,
    budget_usd: Annotated[
        float | None,
        typer.Option(
            metavar="X", min=0, help="With --train: ask models on other servers too, for at most X US dollars."
        ),
    ] = None,
) -> int:
    """Repeat a report in a fresh lab: imports, rules, datasets, recipes; with --train also training and evaluations.

    Each part is identical (by its hash or counts), equal (within the interval that the report states), different, or
    not possible here, with the reason. No model on another server is asked without --budget-usd; name it in the
    o1lab.toml of the new lab. The exit status is 1 if a part is different or was not possible.

    Example: o1lab reproduce paper/report

    Example: o1lab reproduce paper/report --lab again --train --json
    """
    from o1lab.transparency.report.manifest import MANIFEST
    from o1lab.transparency.reproduce.replay import Options
    from o1lab.transparency.reproduce.replay import reproduce as repeat

    if not (folder / MANIFEST).is_file():
        raise UsageError(
            f"{folder} is not a report: it has no {MANIFEST}.", "Write one with: o1lab report RUN --out DIR"
        )
    if budget_usd is not None and not train:
        raise UsageError("--budget-usd needs --train.", "Without it no model is asked.")
    named = lab_dir or invocation().lab_dir
    place = nullcontext(str(named)) if named else tempfile.TemporaryDirectory(prefix="o1lab-reproduce-")
    with place as root:
        done = repeat(folder, Path(root), Options(files, train, budget_usd), on_progress=say)
    emit(
        {"ok": done.ok, "run": done.run, "items": [one.as_json() for one in done.outcomes], "notes": list(done.notes)},
        text=as_text(done),
    )
    return 0 if done.ok else 1


def as_text(done: Reproduction) -> str:
    """Return the outcomes as lines of text, and the notes."""
    from o1lab.transparency.reproduce.outcome import WORDS

    lines = []
    for one in done.outcomes:
        lines.append(f"{WORDS[one.state]:<17} {one.what}")
        if one.state == "identical":
            lines[-1] += f"  ({one.found})"
        elif one.state in ("equal", "different"):
            lines.append(f"{'':<17} {one.found or 'nothing'}; the report says {one.expected}")
        if one.reason:
            lines.append(f"{'':<17} {one.reason}")
    return "\n".join([*lines, *done.notes])
