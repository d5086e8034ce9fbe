"""Import files into the lab. Every row counts as added, duplicate or rejected.

Rejected rows are reported with their reason; equal reasons of a file are one entry with the number of rows.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from o1lab.errors import UsageError
from o1lab.ingest.columns_report import Columns, unknown_columns
from o1lab.ingest.formats import FileOrigin, ParsedRow, read_row
from o1lab.ingest.importers import RowError
from o1lab.ingest.reading import SourceRow, rows
from o1lab.ingest.sources import plain_name
from store import Store, imports, problems, traces, trees
from store.imports import ImportedFile
from store.sqlite import Database

# Maximum size of a transaction: large enough to be fast, small enough to lose in a power cut. A batch is written while
# the next one is read, so the first is small.
_FIRST_ROWS = 500
_BATCH_ROWS = 4000
_BATCH_BYTES = 32 << 20
_ERRORS_KEPT = 1000
_SUFFIXES = (".json", ".jsonl", ".ndjson", ".parquet")
_NUMBER = re.compile(r"\d+")


@dataclass
class FileReport:
    """The rows of one file; ``rows`` = added + duplicates + rejected."""

    path: str
    format: str = "unknown"
    rows: int = 0
    added: int = 0
    duplicates: int = 0
    rejected: int = 0
    columns: Columns = field(default_factory=Columns, compare=False)

    def as_json(self) -> dict[str, Any]:
        """Return the counts; those of the columns are in ``columns``."""
        return {name: value for name, value in vars(self).items() if name != "columns"}


@dataclass
class RowFault:
    """Rows of a file with the same trouble: the first line, the reason and the number of rows.

    Numbers in the reason are shown as "…" where they differ between the rows.
    """

    path: str
    line: int
    reason: str
    rows: int = 1


@dataclass(frozen=True)
class Skipped:
    """A file or folder inside a named folder that was not imported, and why."""

    path: str
    reason: str


class Faults:
    """What happened to rows, with equal reasons of a file as one entry.

    After a thousand entries, further reasons of a file share one entry.
    """

    def __init__(self) -> None:
        self.entries: list[RowFault] = []
        self._by_reason: dict[tuple[str, str], RowFault] = {}

    def add(self, path: str, line: int, reason: str, rows: int = 1) -> None:
        general = _NUMBER.sub("…", reason)
        if len(self.entries) >= _ERRORS_KEPT and (path, general) not in self._by_reason:
            reason = general = "other reasons, which are too many to list"
        found = self._by_reason.get((path, general))
        if found is not None:
            found.rows += rows
            found.reason = reason if found.reason == reason else general
        else:
            found = self._by_reason[path, general] = RowFault(path, line, reason, rows)
            self.entries.append(found)


@dataclass
class ImportReport:
    """The result of an import.

    Attributes:
        files: the counts of each file.
        faults: rows that were not imported.
        notices: what is missing from rows that were imported.
        skipped: what was left out of the named folders.
        undone: ``strict`` found an invalid row, so nothing was imported.
        dry: nothing was imported, because only a report was asked for.
    """

    files: list[FileReport] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)
    notices: Faults = field(default_factory=Faults)
    skipped: list[Skipped] = field(default_factory=list)
    undone: bool = False
    dry: bool = False

    @property
    def errors(self) -> list[RowFault]:
        return self.faults.entries

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


class _UndoError(Exception):
    """Raised to roll everything back: for an invalid row under ``strict``, and at the end of a dry run."""


def files_of(paths: Sequence[Path]) -> tuple[list[Path], list[Skipped]]:
    """Return the files of ``paths`` to import, and what was left out of folders.

    A folder stands for its JSON and Parquet files, compressed or not, by name; subfolders are left out.

    Raises:
        UsageError: a file does not exist, or a folder has no file to import.
    """
    found: list[Path] = []
    skipped: list[Skipped] = []
    for path in paths:
        if path.is_dir():
            try:
                inside = {one: _why_not(one) for one in sorted(path.iterdir())}
            except OSError as error:
                raise UsageError(f"The folder {path} cannot be read: {error.strerror}.", "Name the files.") from error
            if all(inside.values()):
                raise UsageError(
                    f"The folder {path} has no {', '.join(_SUFFIXES)} file, compressed or not.", "Name the files."
                )
            found += [one for one, reason in inside.items() if not reason]
            skipped += [Skipped(str(one), reason) for one, reason in inside.items() if reason]
        elif path.exists():
            found.append(path)
        else:
            raise UsageError(f"There is no file {path}.", "Check the path.")
    return found, skipped


def _why_not(path: Path) -> str:
    """Return why a folder's entry is not imported, empty if it is."""
    if path.is_dir():
        return "a folder inside the folder: name it to import its files"
    if path.name.startswith("."):
        return "a hidden file: name it to import it"
    if plain_name(path).suffix.lower() not in _SUFFIXES:
        return "its name is not that of a JSON or Parquet file: name it to import it"
    return _no_row(path) if path.is_file() else "not a regular file"


def _no_row(path: Path) -> str:
    """Return why a JSON file holds no data: it is one object that no importer knows, such as ``dataset_infos.json``."""
    try:
        first = list(islice(rows(path), 2)) if plain_name(path).suffix.lower() == ".json" else []
        if len(first) == 1 and first[0].data is not None:
            read_row(first[0].data, FileOrigin(""), 1)
    except RowError as error:
        return f"one JSON object that is not a row: {error}"
    except OSError:
        pass  # the import reports it
    return ""


def import_files(
    store: Store,
    paths: Sequence[Path],
    *,
    source: str | None = None,
    licence: str | None = None,
    teacher: str | None = None,
    synthesis: str | None = None,
    mapping: tuple[tuple[str, str], ...] = (),
    strict: bool = False,
    dry_run: bool = False,
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
        mapping: pairs of a column and its role, see :data:`~o1lab.ingest.importers.roles.ROLES`.
        strict: import nothing if one row is invalid.
        dry_run: import nothing; the report is that of an import.
        progress: called after each batch, from this thread.

    Raises:
        UsageError: a path does not exist.
        StoreError: the database failed. Earlier batches are kept (none under ``strict``), and the import can be
            repeated.
    """
    files, skipped = files_of(paths)
    sizes = {path: path.stat().st_size for path in files}
    given = {
        "source": source, "licence": licence, "teacher": teacher, "synthesis": synthesis,
        "mapping": [list(pair) for pair in mapping],
    }  # fmt: skip
    options = {name: value for name, value in given.items() if value}
    report = ImportReport(skipped=skipped, dry=dry_run)
    total, bytes_before = sum(sizes.values()), 0
    db = store.db
    with store.explained():
        try:
            with db.atomic() if strict or dry_run else nullcontext():
                for path in files:
                    provenance = FileOrigin(source or plain_name(path).stem, licence, teacher, synthesis, mapping)
                    file_report = FileReport(str(path))
                    report.files.append(file_report)

                    def tell(position: int, file: FileReport = file_report, before: int = bytes_before) -> None:
                        if progress is not None:
                            progress(Progress(file.path, before + position, total, file.rows))

                    digest = "" if dry_run else hash_file(path)
                    _import_file(db, path, provenance, file_report, report, whole=strict or dry_run, tell=tell)
                    if digest:
                        counts = {name: value for name, value in file_report.as_json().items() if name != "path"}
                        imports.add(db, ImportedFile(short_path(path), digest, sizes[path], options, counts))
                    bytes_before += sizes[path]
                if dry_run or (strict and report.errors):
                    raise _UndoError  # noqa: TRY301 (leaving the block rolls the transaction back)
        except _UndoError:
            report.undone = bool(strict and report.errors)
            for file in report.files if report.undone else ():
                file.added = file.duplicates = 0
                file.rejected = file.rows
    for column in unknown_columns(mapping, (file.columns for file in report.files)):
        report.notices.add("--map", 0, f"no row has a column {column} with a text", 0)
    return report


def short_path(path: Path) -> str:
    """Return an absolute path with the home folder written as ``~``."""
    absolute = path.absolute()
    with suppress(ValueError, RuntimeError):  # it is elsewhere, or this user has no home folder
        return str("~" / absolute.relative_to(Path.home()))
    return str(absolute)


def hash_file(path: Path) -> str:
    """Return the hash of a file; empty if it cannot be read, which the import itself reports."""
    if not path.is_file():  # opening a pipe would wait for a writer
        return ""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _import_file(
    db: Database,
    path: Path,
    provenance: FileOrigin,
    file: FileReport,
    report: ImportReport,
    *,
    whole: bool,
    tell: Callable[[int], None],
) -> None:
    formats: Counter[str] = Counter()
    batches = _batches(rows(path), provenance)
    try:
        with ThreadPoolExecutor(1, "reading") as reader:
            pending = reader.submit(next, batches, None)
            while (batch := pending.result()) is not None:
                found: list[ParsedRow] = []
                for row, read in batch:
                    file.rows += row.rows
                    if row.note:
                        report.notices.add(file.path, row.line, row.note)
                    if isinstance(read, str):
                        file.rejected += row.rows
                        report.faults.add(file.path, row.line, read, row.rows)
                        continue
                    for note in read.notes:
                        report.notices.add(file.path, row.line, note)
                    found.append(read)

                def read_on() -> None:
                    nonlocal pending
                    pending = reader.submit(next, batches, None)

                with nullcontext() if whole else db.atomic():
                    added = _add(db, found, read_on)
                file.added += added
                file.duplicates += len(found) - added
                formats.update(one.format for one in found)
                for one in found:
                    file.columns.add(one)
                tell(batch[-1][0].position)
    except OSError as error:
        report.faults.add(file.path, 0, f"cannot be read: {error.strerror or error}", 0)
    else:
        if not file.rows:
            report.notices.add(file.path, 0, "the file has no rows", 0)
    file.columns.close()
    file.format = formats.most_common(1)[0][0] if formats else "unknown"


_ReadRow = tuple[SourceRow, "ParsedRow | str"]
"""A row of a file, and its problem and traces or the reason why it is rejected."""


def _batches(found: Iterator[SourceRow], provenance: FileOrigin) -> Iterator[list[_ReadRow]]:
    """Parse rows and group them for transactions. If reading fails, the rows before are yielded first."""
    batch: list[_ReadRow] = []
    size, most = 0, _FIRST_ROWS
    failure: OSError | None = None
    try:
        for row in found:
            batch.append((row, row.fault or _parsed(row, provenance)))
            size += row.size
            if len(batch) >= most or size >= _BATCH_BYTES:
                yield batch
                batch, size, most = [], 0, _BATCH_ROWS
    except OSError as error:
        failure = error
    if batch:
        yield batch
    if failure is not None:
        raise failure


def _parsed(row: SourceRow, provenance: FileOrigin) -> ParsedRow | str:
    """Return the problem and traces of a row, or the reason why it is rejected."""
    try:
        found = read_row(row.data or {}, provenance, row.line)
    except RowError as error:
        return str(error)
    except RecursionError:
        return "nested too deeply"
    _ = [one.id for one in found.traces]  # hashed here, where it does not keep the database waiting
    return found


def _add(db: Database, found: Sequence[ParsedRow], indexing: Callable[[], None]) -> int:
    """Add the problems and traces of a batch, and return the number of rows that brought something new.

    ``indexing`` is called before SQLite indexes the texts.
    """
    new_problems = set(problems.add(db, (row.problem for row in found)))
    new = ((one, row.problem.statement) for row in found for one in row.traces)
    new_traces = set(traces.add(db, new, indexing=indexing))
    new_trees = set(trees.add(db, (row.tree for row in found if row.tree is not None)))
    trees.add_walks(db, ((row.traces[0].id, row.walk) for row in found if row.walk is not None))
    added = 0
    for row in found:  # what two rows bring is new in the first of them
        is_new = row.problem.id in new_problems
        new_problems.discard(row.problem.id)
        if row.traces:
            brought = {one.id for one in row.traces} & new_traces
            new_traces -= brought
            is_new = bool(brought)
        if row.tree is not None and row.tree.id in new_trees:
            new_trees.discard(row.tree.id)
            is_new = True
        added += is_new
    return added
