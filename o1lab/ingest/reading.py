"""Read the rows of a JSON Lines, JSON or Parquet file one at a time. The file name does not matter.

Memory use is constant: only the current row is in memory (for Parquet, one small batch).
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

_PARQUET = b"PAR1"
_BOM = codecs.BOM_UTF8
_CHUNK = 1 << 20
_LONGEST_ROW = 1 << 28
_PARQUET_ROWS = 32
_SPACE = re.compile(r"[ \t\r\n]*")
_TOO_LONG = "a number in it has thousands of digits"  # Python rejects those, because parsing them is quadratic
_BETWEEN = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row of a file.

    Attributes:
        line: the line it starts on, from 1; in Parquet, the number of the row.
        data: the row, or None if it could not be read.
        position: bytes of the file that are read, for progress.
        fault: why it could not be read, in a few words.
        text: the row, if it is a string instead of an object.
    """

    line: int
    data: dict[str, Any] | None
    position: int
    fault: str = ""
    text: str | None = None


def container(path: Path) -> str:
    """Return the kind of file by its first bytes: ``parquet``, ``json`` (array or object), ``jsonl`` or ``unknown``.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(4)
        if head == _PARQUET:
            return "parquet"
        file.seek(0)
        line, found = b"", b""
        while not line and (found := file.readline(_CHUNK)):
            line = found.removeprefix(_BOM).strip()
        if line.startswith(b"["):
            return "json"
        if not line.startswith(b"{"):
            return "unknown" if b"\0" in line or not _is_text(line) else "jsonl"
        return "jsonl" if _parses(line) or len(found) == _CHUNK or _lines_begin_objects(file) else "json"


def rows(path: Path, *, texts: str | None = None) -> Iterator[SourceRow]:
    """Yield the rows of ``path`` in order, including invalid ones.

    Args:
        path: the file.
        texts: if given, a row that is a string becomes an object with the string under this key.

    Raises:
        OSError: it cannot be read.
    """
    kind = container(path)
    if kind == "parquet":
        yield from _parquet(path)
    elif kind == "json":
        yield from _named(_json(path), texts)
    elif kind == "jsonl":
        yield from _named(_json_lines(path), texts)
    else:
        yield SourceRow(1, None, path.stat().st_size, "the file is not JSON, JSON Lines or Parquet")


def _is_text(line: bytes) -> bool:
    """Return whether ``line``, which may end in the middle of a character, is UTF-8."""
    try:
        codecs.getincrementaldecoder("utf-8")("surrogatepass").decode(line)
    except UnicodeDecodeError:
        return False
    return True


def _parses(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _lines_begin_objects(file: BinaryIO) -> bool:
    """Return whether the next non-empty line starts an object: then the first line is an invalid row."""
    while found := file.readline(_CHUNK):
        if line := found.strip():
            return line.startswith(b"{")
    return False


def _json_lines(path: Path) -> Iterator[SourceRow]:
    position = 0
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_LONGEST_ROW):
            number += 1
            position += len(line)
            if len(line) == _LONGEST_ROW and not line.endswith(b"\n"):
                while (rest := file.readline(_CHUNK)) and not rest.endswith(b"\n"):
                    position += len(rest)
                position += len(rest)
                yield SourceRow(number, None, position, f"the line is longer than {_LONGEST_ROW >> 20} MB")
                continue
            if number == 1:
                line = line.removeprefix(_BOM)
            if not line.isspace():
                yield _row(number, line, position)


def _row(number: int, line: bytes, position: int) -> SourceRow:
    try:
        data = json.loads(line)
    except UnicodeDecodeError as error:
        return SourceRow(number, None, position, f"not UTF-8 (byte {error.start + 1} of the line)")
    except json.JSONDecodeError as error:
        return SourceRow(number, None, position, f"not JSON: {error.msg} (column {error.colno})")
    except RecursionError:
        return SourceRow(number, None, position, "not JSON: nested too deeply")
    except ValueError:
        return SourceRow(number, None, position, _TOO_LONG)
    return _checked(number, data, position)


def _named(found: Iterator[SourceRow], name: str | None) -> Iterator[SourceRow]:
    """Yield the rows, with strings as objects that hold the string under ``name``."""
    for row in found:
        text = row.text
        yield row if name is None or text is None else SourceRow(row.line, {name: text}, row.position)


def _checked(number: int, data: Any, position: int) -> SourceRow:
    if isinstance(data, dict):
        return SourceRow(number, data, position)
    fault = f"the row is {_NAMES.get(type(data), 'null')}, not an object"
    return SourceRow(number, None, position, fault, data if isinstance(data, str) else None)


_NAMES = {list: "a list", str: "a string", int: "a number", float: "a number", bool: "true or false"}


class _Text:
    """A file as text, read in chunks as needed; text before the position is dropped."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")
        self.buffer = ""
        self.at = 0
        self.line = 1
        self.ended = False

    def more(self, size: int = _CHUNK) -> bool:
        """Read the next chunk; False at the end of the file."""
        if self.ended:
            return False
        data = self._file.read(size)
        self.ended = not data
        self.buffer = self.buffer[self.at :] + self._decoder.decode(data, final=self.ended)
        self.at = 0
        return not self.ended

    def move(self, to: int) -> None:
        self.line += self.buffer.count("\n", self.at, to)
        self.at = to

    def skip(self, pattern: re.Pattern[str]) -> bool:
        """Skip ``pattern`` if it matches here; return whether it does."""
        while True:
            match = pattern.match(self.buffer, self.at)
            if match and (match.end() < len(self.buffer) or self.ended):
                self.move(match.end())
                return True
            if not self.more():
                if match:
                    self.move(match.end())
                return match is not None

    @property
    def position(self) -> int:
        return self._file.tell()


def _json(path: Path) -> Iterator[SourceRow]:
    """Yield the elements of an array, or one object (or the elements of the only list of objects in it)."""
    with path.open("rb") as file:
        text = _Text(file)
        try:
            text.more()
            if text.buffer.startswith("\ufeff"):
                text.at = 1
            text.skip(_SPACE)
            if text.buffer[text.at : text.at + 1] == "[":
                text.move(text.at + 1)
                yield from _elements(text)
            else:
                value = _value(text)
                inner = [table for table in value.values() if _is_table(table)] if isinstance(value, dict) else []
                for data in inner[0] if len(inner) == 1 else [value]:
                    yield _checked(1, data, text.position)
        except UnicodeDecodeError:
            yield SourceRow(text.line, None, text.position, "not UTF-8; the rest of the file cannot be read")
        except _BrokenError as broken:
            yield SourceRow(
                broken.line, None, text.position, f"not JSON: {broken}; the rest of the file cannot be read"
            )


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(element, dict) for element in value)


def _elements(text: _Text) -> Iterator[SourceRow]:
    text.skip(_SPACE)
    if text.buffer[text.at : text.at + 1] == "]":
        return
    while True:
        line = text.line
        value = _value(text)
        yield _checked(line, value, text.position)
        if not text.skip(_BETWEEN):
            text.skip(_SPACE)
            if text.buffer[text.at : text.at + 1] == "]":
                return
            raise _BrokenError("a comma or the array's end is missing", text.line)


class _BrokenError(Exception):
    def __init__(self, reason: str, line: int) -> None:
        super().__init__(reason)
        self.line = line


def _value(text: _Text) -> Any:
    """Return the JSON value that starts here. Each try reads twice as much, so a long value takes linear time."""
    decoder = json.JSONDecoder()
    size = _CHUNK
    while True:
        try:
            value, end = decoder.raw_decode(text.buffer, text.at)
        except RecursionError as error:
            raise _BrokenError("nested too deeply", text.line) from error
        except json.JSONDecodeError as error:
            # Truncated at the end of the buffer, or invalid? An unterminated string may end in the next chunk.
            cut = error.msg.startswith("Unterminated") or error.pos >= len(text.buffer) - len("Infinity")
            if cut and not text.ended and len(text.buffer) - text.at < _LONGEST_ROW:
                text.more(size)
                size *= 2
                continue
            line = text.line + text.buffer.count("\n", text.at, error.pos)
            raise _BrokenError(error.msg, line) from error
        except ValueError as error:
            raise _BrokenError(_TOO_LONG, text.line) from error
        if end == len(text.buffer) and not text.ended:
            text.more(size)  # a number may continue
            continue
        text.move(end)
        return value


def _parquet(path: Path) -> Iterator[SourceRow]:
    import pyarrow
    import pyarrow.parquet

    size = path.stat().st_size
    number = 0
    try:
        file = pyarrow.parquet.ParquetFile(path)
        total = max(file.metadata.num_rows, 1)
        for batch in file.iter_batches(batch_size=_PARQUET_ROWS):
            for data in batch.to_pylist():
                number += 1
                yield _checked(number, data, size * number // total)
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        first = str(error).splitlines()[0]
        yield SourceRow(number + 1, None, size, f"damaged Parquet: {first}")
