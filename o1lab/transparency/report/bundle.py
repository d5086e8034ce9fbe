"""The data that accompanies a report: rows of its datasets, problems of its suites, and copies of imported files.

Rows and files without a licence (unless a person accepts that) and those with a private name or key are left out, and
the report lists why. Rows are never edited, since that would change their hashes.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from o1lab.distill.datasets import licences
from o1lab.evaluate.suites.loading import find_file
from o1lab.ingest.exporting import json_line
from o1lab.ingest.importer import hash_file
from o1lab.ingest.reading import container, rows
from o1lab.ingest.sources import Source, plain_name
from o1lab.transparency.lab_facts import LabFacts
from o1lab.transparency.report.manifest import PROBLEMS, TRACES, FileRecord, Manifest
from o1lab.transparency.report.redaction import Redact
from store import Store, dataset_facts, datasets, imports, problems, traces
from store.filters import ProblemQuery
from store.records import NewProblem, NewTrace

_CHUNK = 1 << 20
_OVERLAP = 256
NO_LICENCE = "without a recorded licence"
PRIVATE = "with a private name or key"


@dataclass(frozen=True)
class SavedProblem:
    """A problem with one of its sources, as in problems.jsonl."""

    statement: str
    source: str
    key: str
    answer: str | None
    solution: str | None
    licence: str | None
    meta: dict[str, Any]

    def restored(self) -> NewProblem:
        return NewProblem(**vars(self))


def add_data(facts: LabFacts, manifest: Manifest, folder: Path, redact: Redact, *, accept_terms: bool) -> Manifest:
    """Write the data into a report that is being built, and return the manifest that names it.

    Raises:
        OSError: a file cannot be written.
    """
    left_out: Counter[str] = Counter()
    names = [one.name for one in manifest.datasets]

    def lines(found: Iterable[tuple[str, dict[str, Any], bool]]) -> Iterator[bytes]:
        for what, row, licensed in found:
            line = json_line(row)
            text = line.decode()
            reason = PRIVATE if redact(text) != text else NO_LICENCE if not (licensed or accept_terms) else ""
            if reason:
                left_out[f"{what} {reason}"] += 1
            else:
                yield line

    (folder / "data").mkdir()
    with (folder / PROBLEMS).open("wb") as file:
        file.writelines(lines(_problems(facts, names)))
    with (folder / TRACES).open("wb") as file:
        file.writelines(lines(_traces(facts.store, names)))
    reasons = [f"{what}: {number:,}" for what, number in left_out.items()]
    files = []
    for number, (record, one) in enumerate(zip(manifest.imports, imports.everything(facts.store.db), strict=True), 1):
        source = str(one.options.get("source") or "") or plain_name(Path(one.path)).stem
        path = Path(one.path).expanduser()
        reason = _why_not(facts.store, path, record, source, redact, accept_terms=accept_terms)
        copy = "" if reason else f"data/imports/{number}-{record.name}"
        if reason:
            reasons.append(f"the file {record.name}: {reason}")
        else:
            (folder / copy).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, folder / copy)
        files.append(replace(record, copy=copy))
    copies = dict(_copy_items(facts, folder, redact, reasons, accept_terms=accept_terms))
    evaluated = [replace(one, suite_data=copies.get(one.suite, "")) for one in manifest.evaluations]
    return replace(manifest, imports=files, evaluations=evaluated, with_data=True, left_out=reasons)


def _copy_items(
    facts: LabFacts, folder: Path, redact: Redact, reasons: list[str], *, accept_terms: bool
) -> Iterator[tuple[str, str]]:
    """Copy the items of suites that are a file of the lab; yield the suite and the path of the copy."""
    for suite in {suite.name: suite for one in facts.of_student if (suite := facts.suite(one))}.values():
        name = suite.items.file
        path = None if name is None or Path(name).name != name else find_file(facts.lab, suite, name)
        if path is None or not path.is_relative_to(facts.lab.suites):
            continue
        licensed = accept_terms or licences.read(suite.licence).known
        if reason := NO_LICENCE if not licensed else PRIVATE if _holds_private(path, redact) else "":
            reasons.append(f"the items of the suite {suite.name}: a file {reason}")
            continue
        copy = f"data/suites/{name}"
        (folder / copy).parent.mkdir(exist_ok=True)
        shutil.copyfile(path, folder / copy)
        yield suite.name, copy


def _problems(facts: LabFacts, names: Iterable[str]) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Yield the problems of the datasets' rows and of the suites that ask problems of the lab."""
    db = facts.store.db
    wanted: dict[str, None] = {}
    for name in names:
        wanted.update(dict.fromkeys(row.problem_id for row in datasets.rows(db, name)))
    for one in facts.of_student:
        suite = facts.suite(one)
        if suite is not None and suite.items.problems:
            query = ProblemQuery.parse(suite.items.problems)
            wanted.update(dict.fromkeys(problem.id for problem in problems.select(db, query)))
    for problem in problems.several(db, wanted):
        for origin in problems.origins(db, problem.id):
            row = SavedProblem(
                problem.statement, origin.source, origin.key, problem.answer, problem.solution, origin.licence,
                dict(origin.meta),
            )  # fmt: skip
            yield "problems", asdict(row), licences.read(origin.licence).known


def _traces(store: Store, names: Iterable[str]) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Yield the traces of the datasets, each once, with the traces that they were made from before them."""
    done: set[str] = set()
    for name in names:
        for identity in dataset_facts.with_ancestors(store.db, name):
            if identity in done:
                continue
            done.add(identity)
            row, text = traces.get(store.db, identity), traces.text(store.db, identity)
            new = NewTrace(
                row.problem_id, row.model, text.raw, text.thought_span, text.solution_span, complete=row.complete,
                format=row.format, source=row.source, key=row.key, licence=row.licence, synthesis=row.synthesis,
                parent_id=row.parent_id, tokens=row.tokens, meta=text.meta, context=text.context, outside=text.outside,
            )  # fmt: skip
            values = asdict(new) | {"id": identity, "statement": text.statement}
            origins = problems.origins(store.db, row.problem_id)
            named = (row.licence, *(one.licence for one in origins))
            yield "rows", values, all(licences.read(licence).known for licence in named)


def _why_not(store: Store, path: Path, record: FileRecord, source: str, redact: Redact, *, accept_terms: bool) -> str:
    """Return why an imported file is not copied; empty if it is."""
    if not path.is_file():
        return "it is no longer where it was imported from"
    if hash_file(path) != record.sha256:
        return "it has changed since it was imported"
    if not accept_terms and not all(
        licences.read(licence).known for licence in dataset_facts.licences_of_source(store.db, source)
    ):
        return "it has no recorded licence"
    return "it holds a private name or key" if _holds_private(path, redact) else ""


def _holds_private(path: Path, redact: Redact) -> bool:
    return any(redact(text) != text for text in _texts(path))


def _texts(path: Path) -> Iterator[str]:
    """Yield the text of a file: its rows, or overlapping pieces of it."""
    if container(path) == "parquet":
        yield from (json.dumps(row.data, ensure_ascii=False, default=str) for row in rows(path))
        return
    with Source(path) as source:
        before = b""
        while found := source.stream.read(_CHUNK):
            yield (before + found).decode("utf-8", "replace")
            before = found[-_OVERLAP:]
