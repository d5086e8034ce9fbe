"""The command ``report``: the folder that documents a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from o1lab.cli.base.command import Verbs
from o1lab.cli.base.naming import completing
from o1lab.cli.base.options import AcceptTermsOption
from o1lab.cli.base.output import current_lab, emit, opened, say, with_terms

verbs = Verbs()


@verbs.command("report")
def report(
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="The run [default: the latest finished].", autocompletion=completing("run")),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder [default: LAB/exports/report-RUN].")
    ] = None,
    with_data: Annotated[
        bool,
        typer.Option(
            "--with-data", help="Add the datasets' rows and copies of imported files, for `o1lab reproduce` elsewhere."
        ),
    ] = False,
    as_pdf: Annotated[bool, typer.Option("--pdf", help="Also write report.pdf, by a headless Chromium.")] = False,
    accept_terms: AcceptTermsOption = False,
) -> None:
    """Write the report of a run: data, prompts, recipes, compute, results, case studies, limitations and its TTI score.

    The folder holds report.md, a self-contained report.html, plots, LaTeX tables, a model card, dataset cards,
    CITATION.cff, and report.json for `o1lab reproduce`. Keys, home folders, user and host names are replaced. Rows and
    files without a licence, or that contain such a name, are left out of the data and listed.

    Example: o1lab report

    Example: o1lab report 3f9c --out paper/report --with-data --pdf
    """
    from o1lab.transparency.report.writer import write_report

    lab = current_lab()
    with opened() as store:
        written = with_terms(
            lambda accepted: write_report(
                lab, store, run, out, accept_terms=accepted, with_data=with_data, as_pdf=as_pdf
            ),
            accepted=accept_terms,
        )
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
    emit(data, text=text)
