"""Import files into the lab. Every row counts as added, duplicate or rejected; rejected rows are reported by line."""

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

# Maximum size of a transaction: large enough to be fast, small enough to lose in a power cut.
_BATCH_ROWS = 2000
_BATCH_BYTES = 16 << 20
_ERRORS_KEPT = 1000
_SUFFIXES = (".json", ".jsonl", ".ndjson", ".parquet")


@dataclass
class FileReport:
    """The rows of one file; ``rows`` = added + duplicates + rejected."""

    path: str
    format: str = "unknown"
    rows: int = 0
    added: int = 0
    duplicates: int = 0
    rejected: int = 0


@dataclass(frozen=True)
class RowFault:
    """A row that was not imported, and the reason."""

    path: str
    line: int
    reason: str


@dataclass
class ImportReport:
    """The result of an import. ``errors`` has the first thousand; ``rejected`` of each file counts all."""

    files: list[FileReport] = field(default_factory=list)
    errors: list[RowFault] = field(default_factory=list)
    undone: bool = False  # --strict found an invalid row: nothing was imported

    @property
    def failed(self) -> bool:
        return bool(self.errors)


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of an import: ``done`` of ``total`` bytes of all files, ``rows`` of the file ``path``."""

    path: str
    done: int
    total: int
    rows: int


class _StrictError(Exception):
    """Raised for an invalid row under --strict, to roll everything back."""


def files_of(paths: Sequence[Path]) -> list[Path]:
    """Return the files of ``paths``. A folder stands for its JSON and Parquet files (not in subfolders), by name.

    Raises:
        UsageError: a file does not exist, or a folder has no file to import.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            try:
                inside = sorted(one for one in path.iterdir() if one.suffix in _SUFFIXES and one.is_file())
            except OSError as error:
                raise UsageError(f"The folder {path} cannot be read: {error.strerror}.", "Name the files.") from error
            if not inside:
                raise UsageError(f"The folder {path} has no {', '.join(_SUFFIXES)} file.", "Name the files.")
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
    """Import the rows of ``paths``. They are searchable at once; measuring them is a separate pass.

    Args:
        store: the lab's database.
        paths: files and folders.
        source: the source of the rows; the file name without suffix if None.
        licence: the licence of rows that name none.
        teacher: the model of rows that name none.
        synthesis: how rows that do not name it were made.
        strict: import nothing if one row is invalid.
        progress: called after each batch, from this thread.

    Raises:
        UsageError: a path does not exist.
        StoreError: the database failed. Earlier batches are kept (none under ``strict``), and the import can be
            repeated.
    """
    files = files_of(paths)
    sizes = {path: path.stat().st_size for path in files}
    report = ImportReport()
    total, bytes_before = sum(sizes.values()), 0
    db = store.db
    with store.explained():
        try:
            with db.atomic() if strict else nullcontext():
                for path in files:
                    provenance = FileOrigin(source or path.stem, licence, teacher, synthesis)
                    file_report = FileReport(str(path))
                    report.files.append(file_report)

                    def tell(position: int, file: FileReport = file_report, before: int = bytes_before) -> None:
                        if progress is not None:
                            progress(Progress(file.path, before + position, total, file.rows))

                    _import_file(db, path, provenance, file_report, report, strict=strict, tell=tell)
                    bytes_before += sizes[path]
                if strict and report.errors:
                    raise _StrictError  # noqa: TRY301 (leaving the block rolls the transaction back)
        except _StrictError:
            report.undone = True
            for file in report.files:
                file.added = file.duplicates = 0
                file.rejected = file.rows
    return report


def _import_file(
    db: Database,
    path: Path,
    provenance: FileOrigin,
    file: FileReport,
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
                    file.rows += 1
                    reason = row.fault or _import_row(db, row, provenance, file, formats)
                    if reason:
                        file.rejected += 1
                        if len(report.errors) < _ERRORS_KEPT:
                            report.errors.append(RowFault(file.path, row.line, reason))
            tell(batch[-1].position)
    except OSError as error:
        report.errors.append(RowFault(file.path, 0, f"cannot be read: {error.strerror}"))
    file.format = formats.most_common(1)[0][0] if formats else "unknown"


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


def _import_row(db: Database, row: SourceRow, provenance: FileOrigin, file: FileReport, formats: Counter[str]) -> str:
    """Import one row; return the reason if it is rejected, else an empty string."""
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
        file.added += 1
    else:
        file.duplicates += 1
    return ""
