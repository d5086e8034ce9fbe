"""The `import` command."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from o1lab.cli.opening import opened
from o1lab.cli.output import JsonOption, emit
from o1lab.text import one_line

if TYPE_CHECKING:
    from o1lab.ingest.importer import ImportReport, Progress
    from o1lab.ingest.measuring import MeasureReport


def register(app: typer.Typer) -> None:
    """Add the verbs to the program."""
    app.command("import")(import_)


def import_(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="JSON, JSON Lines or Parquet; or a folder.")],
    strict: Annotated[bool, typer.Option("--strict", help="Take nothing at all if one row is bad.")] = False,
    source: Annotated[str | None, typer.Option(help="Where the rows come from [default: the file's name].")] = None,
    licence: Annotated[str | None, typer.Option(help="Their licence, where a row names none.")] = None,
    teacher: Annotated[str | None, typer.Option(help="The model that wrote them, where a row names none.")] = None,
    synthesis: Annotated[
        str | None,
        typer.Option(
            help="How they were made: distilled, reformatted, translated, solver, tree search, multi-agent, human, "
            "unknown."
        ),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Count moves and verify answers after the import.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Import traces and problems; what a file holds is told by its content.

    Taken are Sky-T1, R1, s1 and Marco-o1 chains, ShareGPT conversations, messages (with reasoning_content too),
    Alpaca, and problems with answers. A row that is in the lab already is not taken twice. Of a conversation the
    first question and its answer are taken. A bad row is reported with its line and the rest goes in (status 1).

    Example: o1lab import chains.jsonl problems/ --licence Apache-2.0
    """
    from o1lab.errors import UsageError
    from o1lab.ingest.formats import SYNTHESES
    from o1lab.ingest.importer import import_files
    from o1lab.ingest.measuring import measure_pending

    if synthesis is not None and synthesis not in SYNTHESES:
        raise UsageError(f"There is no synthesis '{synthesis}'.", f"It is one of {', '.join(SYNTHESES)}.")
    with opened(ctx) as store:
        watch = _Watch()
        report = import_files(
            store,
            files,
            source=source,
            licence=licence,
            teacher=teacher,
            synthesis=synthesis,
            strict=strict,
            progress=watch.rows,
        )
        measured = None
        if measure and not report.undone:
            measured = measure_pending(store, progress=watch.traces)
        watch.done()
    verdicts = dict(measured.verdicts) if measured else {}
    data = {
        "files": [asdict(told) for told in report.files],
        "errors": [asdict(fault) for fault in report.errors],
        "measured": measured.measured if measured else 0,
        "verdicts": verdicts,
    }
    emit(data, as_json=as_json, text=_told(report, measured))
    if report.failed:
        raise typer.Exit(1)


def _told(report: ImportReport, measured: MeasureReport | None) -> str:
    lines = [
        f"{told.path}: {told.format}, {told.rows:,} rows: {told.added:,} added, {told.duplicates:,} here already, "
        f"{told.rejected:,} rejected"
        for told in report.files
    ]
    lines += [f"{fault.path}:{fault.line}: {one_line(fault.reason, 200)}" for fault in report.errors]
    if (unsaid := sum(told.rejected for told in report.files) - len(report.errors)) > 0 and not report.undone:
        lines.append(f"… and {unsaid:,} more rows were rejected.")
    if report.undone:
        lines.append("Nothing was taken, because --strict was asked for. Without it the good rows go in.")
    if measured and measured.measured:
        verdicts = ", ".join(f"{number:,} {verdict}" for verdict, number in sorted(measured.verdicts.items()))
        lines.append(f"Measured {measured.measured:,} traces: {verdicts}.")
    return "\n".join(lines)


class _Watch:
    """Progress for a person at a terminal: one line of standard error, written over itself."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()

    def rows(self, progress: Progress) -> None:
        share = progress.done / progress.total if progress.total else 1.0
        self._show(f"importing {share:4.0%}  {Path(progress.path).name}  {progress.rows:,} rows")

    def traces(self, done: int, total: int) -> None:
        self._show(f"measuring {done / total:4.0%}  {done:,} of {total:,} traces")

    def done(self) -> None:
        self._show("")

    def _show(self, text: str) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K" + one_line(text, 78))
            sys.stderr.flush()
