"""Files into the lab: every row is accounted for as added, duplicate or rejected, and reported with its line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from o1lab.errors import UsageError
from o1lab.ingest.formats import FileOrigin, read_row
from o1lab.ingest.importers import RowError
from o1lab.ingest.reading import SourceRow, rows
from store import Store, problems, traces
from store.sqlite import Database

# What one transaction holds at most: enough to be fast, little enough to be lost when the power goes.
_BATCH_ROWS = 2000
_BATCH_BYTES = 16 << 20
_ERRORS_KEPT = 1000
_SUFFIXES = (".json", ".jsonl", ".ndjson", ".parquet")


@dataclass
class FileReport:
    """What became of one file's rows; ``rows`` = added + duplicates + rejected."""

    path: str
    format: str = "unknown"
    rows: int = 0
    added: int = 0
    duplicates: int = 0
    rejected: int = 0


@dataclass(frozen=True)
class RowFault:
    """A row that was not taken, and why."""

    path: str
    line: int
    reason: str


@dataclass
class ImportReport:
    """What an import did. ``errors`` holds the first thousand; ``rejected`` of each file counts them all."""

    files: list[FileReport] = field(default_factory=list)
    errors: list[RowFault] = field(default_factory=list)
    undone: bool = False  # --strict met a bad row: nothing was taken

    @property
    def failed(self) -> bool:
        return bool(self.errors)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is: bytes of all files."""

    path: str
    done: int
    total: int
    rows: int


class _StrictError(Exception):
    """A bad row under --strict: undo everything."""


def files_of(paths: Sequence[Path]) -> list[Path]:
    """The files meant by ``paths``: of a folder the JSON and Parquet files right in it, by name.

    Raises:
        UsageError: there is no such file, or nothing to import in a folder.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            try:
                inside = sorted(one for one in path.iterdir() if one.suffix in _SUFFIXES and one.is_file())
            except OSError as error:
                raise UsageError(f"The folder {path} cannot be read: {error.strerror}.", "Name the files.") from error
            if not inside:
                raise UsageError(f"The folder {path} holds no {', '.join(_SUFFIXES)} file.", "Name the files.")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise UsageError(f"There is no file {path}.", "Check the path.")
    return found


def import_files(
    store: Store,
    paths: Sequence[Path],
    *,
    source: str | None = None,
    licence: str | None = None,
    teacher: str | None = None,
    synthesis: str | None = None,
    strict: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> ImportReport:
    """Take the rows of ``paths`` into the lab, searchable at once; measuring is a pass of its own.

    Args:
        source, licence, teacher, synthesis: what the person says of rows that do not say it themselves; the source
            is the file's name without its ending when nobody says it.
        strict: one bad row, and nothing at all is taken.
        progress: called now and then from this thread.

    Raises:
        UsageError: a path names nothing.
        StoreError: the database refuses; what earlier batches brought stays (nothing, under ``strict``), and doing
            it again is safe.
    """
    files = files_of(paths)
    sizes = {path: path.stat().st_size for path in files}
    report = ImportReport()
    total, behind = sum(sizes.values()), 0
    db = store.db
    with store.explained():
        try:
            with db.atomic() if strict else nullcontext():
                for path in files:
                    provenance = FileOrigin(source or path.stem, licence, teacher, synthesis)
                    told = FileReport(str(path))
                    report.files.append(told)

                    def tell(position: int, told: FileReport = told, behind: int = behind) -> None:
                        if progress is not None:
                            progress(Progress(told.path, behind + position, total, told.rows))

                    _import_file(db, path, provenance, told, report, strict=strict, tell=tell)
                    behind += sizes[path]
                if strict and report.errors:
                    raise _StrictError  # noqa: TRY301 (leaving the block is what undoes it)
        except _StrictError:
            report.undone = True
            for told in report.files:
                told.added = told.duplicates = 0
                told.rejected = told.rows
    return report


def _import_file(
    db: Database,
    path: Path,
    provenance: FileOrigin,
    told: FileReport,
    report: ImportReport,
    *,
    strict: bool,
    tell: Callable[[int], None],
) -> None:
    formats: Counter[str] = Counter()
    try:
        for batch in _batches(rows(path)):
            with nullcontext() if strict else db.atomic():
                for row in batch:
                    told.rows += 1
                    reason = row.fault or _take(db, row, provenance, told, formats)
                    if reason:
                        told.rejected += 1
                        if len(report.errors) < _ERRORS_KEPT:
                            report.errors.append(RowFault(told.path, row.line, reason))
            tell(batch[-1].position)
    except OSError as error:
        report.errors.append(RowFault(told.path, 0, f"cannot be read: {error.strerror}"))
    told.format = formats.most_common(1)[0][0] if formats else "unknown"


def _batches(found: Iterator[SourceRow]) -> Iterator[list[SourceRow]]:
    batch: list[SourceRow] = []
    began = 0
    for row in found:
        batch.append(row)
        if len(batch) >= _BATCH_ROWS or row.position - began >= _BATCH_BYTES:
            yield batch
            began = row.position
            batch = []
    if batch:
        yield batch


def _take(db: Database, row: SourceRow, provenance: FileOrigin, told: FileReport, formats: Counter[str]) -> str:
    """Take one row; why not, if not."""
    data: dict[str, Any] = row.data or {}
    try:
        item = read_row(data, provenance, row.line)
    except RowError as error:
        return str(error)
    formats[item.format] += 1
    new = problems.add(db, [item.problem])
    if item.traces:
        new = traces.add(db, ((trace, item.problem.statement) for trace in item.traces))
    if new:
        told.added += 1
    else:
        told.duplicates += 1
    return ""
