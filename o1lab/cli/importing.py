"""The `import` command."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from o1lab.cli.base.busy import advance
from o1lab.cli.base.command import Verbs
from o1lab.cli.base.output import emit, opened
from o1lab.text import one_line

if TYPE_CHECKING:
    from o1lab.ingest.importer import ImportReport, Progress, RowFault
    from o1lab.ingest.measuring import MeasureReport


verbs = Verbs()


@verbs.command("import")
def import_(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="JSON, JSON Lines or Parquet files, compressed or not, or folders."),
    ],
    strict: Annotated[bool, typer.Option("--strict", help="Import nothing if any row is invalid.")] = False,
    source: Annotated[str | None, typer.Option(help="Source of the rows [default: the file name].")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of rows that state none.")] = None,
    teacher: Annotated[str | None, typer.Option(help="Model that wrote the rows that name none.")] = None,
    synthesis: Annotated[
        Literal[
            "distilled",
            "reformatted",
            "translated",
            "solver",
            "tree search",
            "multi-agent",
            "rescued",
            "human",
            "replay",
            "unknown",
        ]
        | None,
        typer.Option(help="How the rows were made."),
    ] = None,
    mapped: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="COLUMN=ROLE",
            help="What a column is, if its name does not say so; can be repeated. Roles: problem, thought, response, "
            "solution, answer, reference, system, messages, history, input, background, chain, raw, image, model, key, "
            "licence, source, synthesis, finish, ignore.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Import nothing; show what each column would be taken for.")
    ] = False,
    measure: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Count moves and verify answers after the import.")
    ] = True,
) -> None:
    """Import traces and problems. The format is detected from the content of each file.

    Files may be compressed (gzip, bzip2, xz, zstd) and in UTF-8, UTF-16 or UTF-32. The JSON and Parquet files of
    a folder are imported, and skipped files are listed.

    The formats are conversations (messages, ShareGPT, prompt and completion), problems with one or several responses,
    with the thought inside or in its own column, search trees (a problem with nodes), and problems alone. Columns are
    recognised by their names; unused columns are reported. Rows that are already in the lab are skipped. The last
    answer of a conversation is the response, and the turns before it are kept as its context. Invalid rows are reported
    with the line of the first and their number, and the rest is imported (exit status 1).

    Examples: o1lab import chains.jsonl problems/ --licence MIT; o1lab import odd.jsonl --map cot2=thought --dry-run
    """
    from o1lab.ingest.columns_report import parse_mapping
    from o1lab.ingest.importer import import_files
    from o1lab.ingest.measuring import measure_pending

    mapping = parse_mapping(mapped or ())
    with opened() as store:
        report = import_files(
            store,
            files,
            source=source,
            licence=licence,
            teacher=teacher,
            synthesis=synthesis,
            mapping=mapping,
            strict=strict,
            dry_run=dry_run,
            progress=_read,
        )
        measured = None
        if measure and not (report.undone or report.dry):
            measured = measure_pending(store, progress=partial(advance, "measuring traces"))
    verdicts = dict(measured.verdicts) if measured else {}
    data = {
        "files": [file.as_json() for file in report.files],
        "columns": [file.columns.as_json(file.path) for file in report.files],
        "dry_run": report.dry,
        "errors": [asdict(fault) for fault in report.errors],
        "notices": [asdict(notice) for notice in report.notices.entries],
        "skipped": [asdict(one) for one in report.skipped],
        "measured": measured.measured if measured else 0,
        "verdicts": verdicts,
    }
    emit(data, text=_summary(report, measured))
    if report.failed:
        raise typer.Exit(1)


def _summary(report: ImportReport, measured: MeasureReport | None) -> str:
    from o1lab.ingest.columns_report import lines_of

    lines = []
    for file in report.files:
        lines.append(
            f"{file.path}: {file.format}, {file.rows:,} rows: {file.added:,} added, {file.duplicates:,} duplicates, "
            f"{file.rejected:,} rejected"
        )
        lines += lines_of(file.path, file.columns, every=report.dry)
    lines += [_fault(fault) for fault in report.errors]
    lines += [f"Notice: {_fault(notice)}" for notice in report.notices.entries]
    lines += [f"Skipped {one.path}: {one.reason}" for one in report.skipped]
    if report.dry:
        lines.append("Nothing was imported: this is a dry run.")
    elif report.undone:
        lines.append("Nothing was imported because of --strict. Without it, the valid rows are imported.")
    if measured and measured.measured:
        verdicts = ", ".join(f"{number:,} {verdict}" for verdict, number in sorted(measured.verdicts.items()))
        lines.append(f"Measured {measured.measured:,} traces: {verdicts}.")
    return "\n".join(lines)


def _fault(fault: RowFault) -> str:
    reason = one_line(fault.reason, 200)
    if not fault.line:
        return f"{fault.path}: {reason}"
    if fault.rows == 1:
        return f"{fault.path}:{fault.line}: {reason}"
    return f"{fault.path}: {fault.rows:,} rows: {reason}; first at line {fault.line:,}"


def _read(progress: Progress) -> None:
    done, total = (round(100 * progress.done / progress.total), 100) if progress.total else (progress.rows, 0)
    advance(f"importing {Path(progress.path).name}, {progress.rows:,} rows, percent", done, total)
