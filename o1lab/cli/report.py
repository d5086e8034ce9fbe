"""The commands ``report``, the folder that documents a run, and ``lesson``, what distillation did to its student."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from o1lab.cli.output import JsonOption, context, emit, opened, say
from o1lab.cli.sheets import markdown_text

if TYPE_CHECKING:
    from o1lab.transparency.report.writer import WrittenReport
    from store import Store


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("report")(report)
    app.command("lesson")(lesson)


def report(
    ctx: typer.Context,
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="The run [default: the latest finished].")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder [default: LAB/exports/report-RUN].")
    ] = None,
    accept_terms: Annotated[
        bool, typer.Option("--accept-terms", help="The terms of use of the teachers allow what you do with the report.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the report of a run: data, prompts, recipes, compute, results, case studies, limitations and its TTI score.

    The folder holds report.md, a self-contained report.html, plots, LaTeX tables, a model card, dataset cards and
    CITATION.cff. Keys, home folders, user and host names are replaced.

    Example: o1lab report

    Example: o1lab report 3f9c --out paper/report
    """
    lab = context(ctx).lab()
    with opened(ctx) as store:
        written = _written(ctx, store, run, out, accept_terms=accept_terms)
    for note in written.notes:
        say(f"Left out: {note}")
    data = {
        "dir": str(written.folder), "files": list(written.files), "tti_total": written.score.total,
        "run": written.score.run_id, "left_out": list(written.notes), "lab": str(lab.root),
    }  # fmt: skip
    text = (
        f"The report of run {written.score.run_id} is in {written.folder}: {len(written.files)} files, "
        f"{written.score.total} of {written.score.framework.total} points."
    )
    emit(data, as_json=as_json, text=text)


def _written(
    ctx: typer.Context, store: Store, run: str | None, out: Path | None, *, accept_terms: bool
) -> WrittenReport:
    """Write the report; on a terminal, ask about terms of use first."""
    from o1lab.errors import RefusedError
    from o1lab.transparency.report.writer import write_report

    lab = context(ctx).lab()
    try:
        return write_report(lab, store, run, out, accept_terms=accept_terms)
    except RefusedError as error:
        if error.code != "terms" or not sys.stdin.isatty():
            raise
        say(error.message)
        if not typer.confirm("Do these terms allow what you do with the report?", err=True):
            raise
    return write_report(lab, store, run, out, accept_terms=True)


def lesson(
    ctx: typer.Context,
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]...", help="Runs [default: the latest finished].")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure what distillation did: the teacher as a ceiling, the suites that fell, and whose tokens were learned.

    The ceiling counts the items that only the student or only the teacher got right. Suites are compared with the base.

    Example: o1lab lesson

    Example: o1lab lesson 3f9c 81aa --json
    """
    from o1lab.transparency.lab_facts import collect
    from o1lab.transparency.lesson import as_markdown, learn

    with opened(ctx) as store:
        lab = context(ctx).lab()
        found = [learn(collect(lab, store, run)) for run in runs or (None,)]
    text = "" if as_json else markdown_text(as_markdown(found))
    emit({"runs": [one.as_json() for one in found]}, as_json=as_json, text=text)
