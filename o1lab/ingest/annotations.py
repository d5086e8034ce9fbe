"""Export annotations as JSON Lines, and merge those of another lab without duplicates."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from o1lab.errors import LabError, UsageError
from o1lab.files import atomic_write, writing
from store import annotations as annotation_log
from store import corrections, decisions, wrong_steps
from store.annotations import Merged
from store.connection import Store
from store.records import Annotation

_TEXTS = ("id", "trace_id", "kind", "value", "annotator", "created_at")
_OPTIONAL = ("target", "batch", "run_id")
_MAX_OFFSET = 1 << 40


def export_annotations(store: Store, folder: Path) -> tuple[Path, int]:
    """Write all annotations, including undos, to a new file in ``folder``; return its path and their number.

    Raises:
        LabError: the folder cannot be written.
    """
    path = folder / f"annotations-{datetime.now(UTC):%Y%m%dT%H%M%S}.jsonl"
    return path, write_annotations(store, path)


def write_annotations(store: Store, path: Path) -> int:
    """Write all annotations to ``path`` as JSON Lines, oldest first, and return their number.

    Raises:
        LabError: the file cannot be written; an existing file is not changed.
    """
    number = 0
    with writing(path, "Choose a folder you can write to."), atomic_write(path) as file:
        for record in annotation_log.everything(store.db):
            file.write(annotation_line(record))
            number += 1
    return number


def annotation_line(record: Annotation) -> str:
    """Return an annotation as one line of JSON."""
    return json.dumps(asdict(record), ensure_ascii=False) + "\n"


def merge_annotations(store: Store, path: Path) -> Merged:
    """Add the annotations in ``path`` to the lab; if a line is invalid, none are added.

    Raises:
        LabError: the file cannot be read.
        UsageError: a line is not a valid annotation.
    """
    try:
        with path.open(encoding="utf-8") as file:
            return annotation_log.merge(store.db, _read(path, file))
    except OSError as error:
        raise LabError(f"Cannot read {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text.", "Name a file of `o1lab annotations export`.") from error


def _read(path: Path, lines: Iterable[str]) -> Iterator[Annotation]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _annotation(json.loads(line))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UsageError(
                f"{path}:{number} is not a valid annotation: {error}.", "Nothing was merged from it.", code="bad_line"
            ) from error


def _annotation(data: Any) -> Annotation:
    if not isinstance(data, dict):
        raise TypeError("not a JSON object")
    for name in _TEXTS:
        if name not in data:
            raise ValueError(f"it has no {name}")
        if not isinstance(data[name], str):
            raise TypeError(f"{name} is not a string")
    for name in _OPTIONAL:
        if not isinstance(data.get(name), str | None):
            raise TypeError(f"{name} is not a string")
    for text in filter(None, map(data.get, (*_TEXTS, *_OPTIONAL))):
        text.encode("utf-8")  # raises ValueError for a lone surrogate, which the database cannot store
    _check_value(data["kind"], data["value"])
    created = datetime.fromisoformat(data["created_at"])
    if created.tzinfo is None:
        raise ValueError("its created_at has no time zone")
    span = data.get("span")
    if span is not None and not (
        len(span) == 2 and all(type(at) is int for at in span) and 0 <= span[0] <= span[1] < _MAX_OFFSET
    ):
        raise ValueError("its span is not two offsets in order")
    created_at = created.astimezone(UTC).isoformat(timespec="microseconds")
    return Annotation(
        data["id"], data["trace_id"], data["kind"], data["value"], None if span is None else (span[0], span[1]),
        data.get("target"), data.get("batch"), data["annotator"], created_at,
        data.get("run_id"),
    )  # fmt: skip


def _check_value(kind: str, value: str) -> None:
    if kind not in annotation_log.KINDS:
        raise ValueError(f"its kind is '{kind}'")
    if kind in ("decision", decisions.ADJUDICATION) and value not in decisions.DECISIONS:
        raise ValueError(f"its decision is '{value}'")
    if kind == "rating" and value not in ("0", "1", "2", "3", "4", "5"):
        raise ValueError(f"its rating is '{value}'")
    if kind == "wrong_step" and not wrong_steps.is_value(value):
        raise ValueError(f"its wrong step is '{value}'")
    if kind == "move" and not corrections.is_value(value):
        raise ValueError(f"its kind of a move is '{value}'")
