"""Reads the rows of a data file one at a time: JSON, JSON Lines, Parquet, CSV, TSV, or text with one item per line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from o1lab.ingest import reading

TEXT = "text"
"""The column name used where a file has no columns: a line of text, a string in a JSON array."""

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_TEXT_SUFFIXES = (".txt", ".text")
_LONGEST_CELL = 1 << 26
_BOM = b"\xef\xbb\xbf"


class RowError(Exception):
    """A row is invalid: where it is, what is wrong, and what to do."""

    def __init__(self, place: str, reason: str, hint: str = "") -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Record:
    """A row: its number from 1, its place in the file for messages, and its columns."""

    number: int
    place: str
    data: dict[str, Any]


def read_rows(path: Path) -> Iterator[Record]:
    """Yield the rows of a file in order. CSV, TSV and text are recognised by suffix, other formats by content.

    Raises:
        RowError: a row cannot be read; reading ends there.
        OSError: the file cannot be read.
    """
    kind = path.suffix.lower()
    if kind in _DELIMITERS:
        yield from _table(path, _DELIMITERS[kind])
    elif kind in _TEXT_SUFFIXES:
        with path.open("rb") as file:
            lines = ((line, text.strip()) for line, text in _lines(file))
            for number, (line, text) in enumerate(((line, text) for line, text in lines if text), 1):
                yield Record(number, f"line {line}", {TEXT: text})
    else:
        word = "row" if reading.container(path) == "parquet" else "line"
        for number, row in enumerate(reading.rows(path, texts=TEXT), 1):
            if row.data is None:
                raise RowError(f"{word} {row.line}", row.fault, "Correct that line.")
            yield Record(number, f"{word} {row.line}", row.data)


def _table(path: Path, delimiter: str) -> Iterator[Record]:
    """Yield the rows of a CSV or TSV file with a header."""
    csv.field_size_limit(_LONGEST_CELL)
    with path.open("rb") as file:
        # A cell may span several lines, so the number of a row is not that of its line.
        reader = csv.reader((text for _, text in _lines(file)), delimiter=delimiter, strict=True)
        header: list[str] = []
        number = 0
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise RowError(f"line {line}", f"not {path.suffix[1:].upper()}: {error}") from error
            if not cells:
                continue
            if not header:
                header = _header(cells, line)
                continue
            number += 1
            place = f"row {number} (line {line})"
            if len(cells) != len(header):
                raise RowError(
                    place,
                    f"it has {len(cells)} cells, but the header has {len(header)}",
                    "Put cells that contain a comma, a quote or a line break in double quotes.",
                )
            yield Record(number, place, dict(zip(header, cells, strict=True)))


def _header(cells: list[str], line: int) -> list[str]:
    names = [cell.strip() for cell in cells]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise RowError(
            f"line {line}", f"the header names the column '{twice}' twice", "Give every column a unique name."
        )
    return names


def _lines(file: BinaryIO) -> Iterator[tuple[int, str]]:
    """Yield (number, text) of each line, decoded one by one so that an error names its line."""
    for number, line in enumerate(file, 1):
        data = line.removeprefix(_BOM) if number == 1 else line
        try:
            yield number, data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise RowError(
                f"line {number}", f"not UTF-8 (byte {error.start + 1} of the line)", "Save the file as UTF-8."
            ) from error
