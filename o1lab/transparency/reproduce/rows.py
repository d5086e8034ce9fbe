"""Repeats the imports of a report, and restores the rows that it contains."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from o1lab.errors import LabError
from o1lab.ingest.importer import hash_file, import_files
from o1lab.ingest.sources import plain_name
from o1lab.small_files import UnreadableError, as_kind
from o1lab.text import parse_json
from o1lab.transparency.report.bundle import SavedProblem
from o1lab.transparency.report.manifest import PROBLEMS, TRACES, FileRecord, Manifest
from o1lab.transparency.reproduce.outcome import Outcome, compared, compared_counts, impossible
from store import Store, problems, traces
from store.batches import batched
from store.records import NewTrace

_BATCH = 500


def inside(folder: Path, name: str) -> Path:
    """Return the path of a file that a report names.

    Raises:
        UnreadableError: it would be outside the report.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UnreadableError(folder, f"it names a file outside itself: {name}", "Do not trust this report.")
    return path


def repeat_imports(store: Store, manifest: Manifest, folder: Path, files: Path | None) -> Iterator[Outcome]:
    """Import each file again, with its options and in order, and compare the counts.

    Args:
        store: the database of the fresh lab.
        manifest: what the report says.
        folder: the report.
        files: a folder with the imported files, by name.
    """
    for record in manifest.imports:
        what = f"import of {record.name}"
        path = _find(record, folder, files)
        if path is None:
            why = "the report has no copy of it" if not record.copy else "its copy is gone from the report"
            yield impossible(what, record.sha256[:16], f"the file is missing: {why}; --files names a folder with it")
            continue
        digest = hash_file(path)
        if digest != record.sha256:
            yield Outcome(
                what, "different", record.sha256[:16], digest[:16], f"{path.name} is not the file that was imported"
            )
            continue
        yield _import(store, record, path, what)


def _import(store: Store, record: FileRecord, path: Path, what: str) -> Outcome:
    given = dict(record.options)
    given.setdefault("source", plain_name(Path(record.name)).stem)
    try:
        given["mapping"] = tuple((str(column), str(role)) for column, role in given.get("mapping", ()))
        report = import_files(store, [path], **given)
    except (TypeError, ValueError) as error:
        return impossible(what, record.sha256[:16], f"its options are not known to this o1lab: {error}")
    found = report.files[0].as_json()
    return compared_counts(what, dict(record.counts), found)


def _find(record: FileRecord, folder: Path, files: Path | None) -> Path | None:
    places = [inside(folder, record.copy)] if record.copy else []
    if files is not None:
        places.append(files / Path(record.name).name)
    return next((path for path in places if path.is_file()), None)


def restore_rows(store: Store, manifest: Manifest, folder: Path) -> Iterator[Outcome]:
    """Add the problems and rows of the report that no import has added; each row must have the id that it states."""
    if not manifest.with_data:
        return
    for batch in batched(_objects(inside(folder, PROBLEMS)), _BATCH):
        with store.db.atomic():
            problems.add(store.db, [as_kind(row, SavedProblem).restored() for row in batch])
    total = right = 0
    for batch in batched(_objects(inside(folder, TRACES)), _BATCH):
        with store.db.atomic():
            found = [_trace(folder, row) for row in batch]
            known = {one.id for one in problems.several(store.db, [trace.problem_id for trace, _, _ in found])}
            whole = [(trace, statement) for trace, statement, _ in found if trace.problem_id in known]
            traces.add(store.db, whole)
        total += len(found)
        right += sum(trace.id == stated and trace.problem_id in known for trace, _, stated in found)
    reason = "" if right == total else f"{total - right:,} rows do not match their ids"
    yield compared("rows of the report", f"{total:,} rows", f"{right:,} rows", reason=reason)


def _trace(folder: Path, row: dict[str, Any]) -> tuple[NewTrace, str, str]:
    """Return a row as a trace, the statement of its problem, and the id that the report states."""
    try:
        values = dict(row)
        stated, statement = str(values.pop("id")), str(values.pop("statement"))
        return as_kind(values, NewTrace), statement, stated
    except (KeyError, ValueError) as error:
        raise UnreadableError(folder / TRACES, f"a row is not complete: {error}", "Write the report again.") from error


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    again, number = "Write the report again, with --with-data.", 0
    try:
        with path.open("rb") as file:
            for line in file:
                number += 1
                yield as_kind(parse_json(line), dict[str, Any])
    except FileNotFoundError as error:
        raise UnreadableError(path, "it is missing", again) from error
    except ValueError as error:
        raise UnreadableError(path, f"line {number}: {error}", again) from error
    except OSError as error:
        raise LabError(f"{path} cannot be read: {error.strerror}.", "Check the report's folder.") from error
