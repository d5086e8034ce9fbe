"""Read the rows of a JSON Lines, JSON or Parquet file one at a time, compressed or not. The file name does not matter.

Memory use is constant: only the current row is in memory (for Parquet, one small batch).
"""

from __future__ import annotations

import codecs
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pydantic_core import from_json

from o1lab.ingest import parquet
from o1lab.ingest.importers.roles import role_of
from o1lab.ingest.sources import Source
from o1lab.text import one_line

_PARQUET = b"PAR1"
_CHUNK = 1 << 20
_LONGEST_ROW = 1 << 28
_SPACE = re.compile(r"[ \t\r\n]*")
_TOO_LONG = "a number in it has thousands of digits"  # Python rejects those, because parsing them is quadratic
_BETWEEN = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")


class SourceRow(NamedTuple):
    """One row of a file.

    Attributes:
        line: the line it starts on, from 1; in Parquet, the number of the row.
        data: the row, or None if it could not be read.
        position: bytes of the file that are read, for progress.
        fault: why it could not be read, in a few words.
        text: the row, if it is a string instead of an object.
        size: bytes of the row once it is decompressed, roughly.
        note: what is missing from a row that was read otherwise.
        rows: how many rows a fault stands for.
    """

    line: int
    data: dict[str, Any] | None
    position: int
    fault: str = ""
    text: str | None = None
    size: int = 0
    note: str = ""
    rows: int = 1


def container(path: Path) -> str:
    """Return the kind of file by its first bytes: ``parquet``, ``json`` (array or object), ``jsonl`` or ``unknown``.

    Raises:
        OSError: it cannot be read.
    """
    with Source(path) as source:
        return _container(source.stream)


def _container(file: BinaryIO) -> str:
    line, found = b"", b""
    while not line and (found := file.readline(_CHUNK)):
        if found.startswith(_PARQUET):
            return "parquet"
        line = found.strip()
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
    with Source(path) as source:
        if kind == "parquet":
            yield from _parquet(source, path.stat().st_size)
        elif kind == "json":
            yield from _named(_json(source), texts)
        elif kind == "jsonl":
            yield from _named(_of_object(_json_lines(source)), texts)
        elif archive := source.archive():
            yield SourceRow(1, None, path.stat().st_size, f"the file is {archive}; unpack it and import what is inside")
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


def _json_lines(source: Source) -> Iterator[SourceRow]:
    number = 0
    file = source.stream
    while line := file.readline(_LONGEST_ROW):
        number += 1
        if len(line) == _LONGEST_ROW and not line.endswith(b"\n"):
            while (rest := file.readline(_CHUNK)) and not rest.endswith(b"\n"):
                pass
            yield SourceRow(number, None, source.position, f"the line is longer than {_LONGEST_ROW >> 20} MB")
            continue
        if not line.isspace():
            row = _row(number, line, source.position)
            if row.fault and source.fault and not line.endswith(b"\n"):
                number -= 1  # the line is cut off where the file is damaged
                break
            yield row
    if source.fault:
        yield SourceRow(number + 1, None, source.position, source.fault)


def _of_object(found: Iterator[SourceRow]) -> Iterator[SourceRow]:
    """Yield rows. A file of one line may be an object that holds the rows, as one over several lines may."""
    first, second = next(found, None), next(found, None)
    if first is None:
        return
    table, note = ([first.data], "") if second is not None or first.data is None else _unwrapped(first.data)
    if len(table) == 1 and table[0] is first.data:
        yield first
    else:
        size = first.size // len(table)
        for number, data in enumerate(table):
            yield _checked(first.line, data, first.position, size)._replace(note="" if number else note)
    if second is not None:
        yield second
        yield from found


def _row(number: int, line: bytes, position: int) -> SourceRow:
    try:
        data = _decoded(line)
    except UnicodeDecodeError as error:
        return SourceRow(number, None, position, f"not UTF-8 (byte {error.start + 1} of the line)")
    except json.JSONDecodeError as error:
        return SourceRow(number, None, position, f"not JSON: {error.msg} (column {error.pos + 1})")
    except RecursionError:
        return SourceRow(number, None, position, "not JSON: nested too deeply")
    except ValueError:
        return SourceRow(number, None, position, _TOO_LONG)
    return _checked(number, data, position, len(line))


def _decoded(line: bytes) -> Any:
    """Return the JSON value of a line.

    The parser of pydantic is faster than that of Python and agrees with it, except that it rejects lone surrogates and
    deep nesting. Python's decides in these cases, and its errors are shown.
    """
    try:
        return from_json(line)
    except ValueError:
        return json.loads(line)


def _named(found: Iterator[SourceRow], name: str | None) -> Iterator[SourceRow]:
    """Yield the rows, with strings as objects that hold the string under ``name``."""
    for row in found:
        text = row.text
        yield row if name is None or text is None else row._replace(data={name: text}, fault="", text=None)


def _checked(number: int, data: Any, position: int, size: int) -> SourceRow:
    if isinstance(data, dict):
        return SourceRow(number, data, position, size=size)
    fault = f"the row is {_NAMES.get(type(data), 'null')}, not an object"
    return SourceRow(number, None, position, fault, data if isinstance(data, str) else None, size)


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


def _json(source: Source) -> Iterator[SourceRow]:
    """Yield the rows of each value of the file; most files have one."""
    text = _Text(source.stream)
    try:
        text.more()
        text.skip(_SPACE)
        while text.at < len(text.buffer):
            for line, value, size, note in _rows_of_value(text):
                yield _checked(line, value, source.position, size)._replace(note=note)
            text.skip(_SPACE)
    except UnicodeDecodeError:
        fault = source.fault or "not UTF-8; the rest of the file cannot be read"
        yield SourceRow(text.line, None, source.position, fault)
    except _BrokenError as broken:
        fault = source.fault or f"not JSON: {broken}; the rest of the file cannot be read"
        yield SourceRow(broken.line, None, source.position, fault)
    else:
        if source.fault:
            yield SourceRow(text.line, None, source.position, source.fault)


def _rows_of_value(text: _Text) -> Iterator[tuple[int, Any, int, str]]:
    """Yield the line, the value, the length and a note of the rows in the value that starts here.

    They are the elements of an array, or one object (or the elements of the only list of objects in it). The note of
    the first element names the other keys of that object, which are not used.
    """
    if text.buffer[text.at] == "[":
        text.move(text.at + 1)
        yield from ((*element, "") for element in _elements(text))
        return
    line = text.line
    value, size = _value(text)
    table, note = _unwrapped(value)
    for number, data in enumerate(table):
        yield line, data, size // len(table), "" if number else note


def _unwrapped(value: Any) -> tuple[list[Any], str]:
    """Return the rows in the only value of a file, and a note that names what else the value holds."""
    inner = [table for key, table in value.items() if _is_table(key, table)] if isinstance(value, dict) else []
    if len(inner) != 1 or any(isinstance(held, str) and role_of(key)[0] == "problem" for key, held in value.items()):
        return [value], ""
    others = ", ".join(key for key, held in value.items() if held is not inner[0])
    note = f"the file is an object; besides its rows it has {one_line(others, 200)}, which is not used"
    return inner[0], note if others else ""


def _is_table(key: str, value: Any) -> bool:
    """Return whether a value is a list of rows: objects that are not the turns of a conversation or nodes of a tree."""
    if key == "nodes" or not isinstance(value, list) or not value:
        return False
    return all(isinstance(element, dict) and not element.keys() & {"role", "from"} for element in value)


def _elements(text: _Text) -> Iterator[tuple[int, Any, int]]:
    """Yield the line, the value and the length of each element of an array, and skip its end."""
    text.skip(_SPACE)
    if text.buffer[text.at : text.at + 1] != "]":
        yield (text.line, *_value(text))
        while text.skip(_BETWEEN):
            yield (text.line, *_value(text))
        text.skip(_SPACE)
        if text.buffer[text.at : text.at + 1] != "]":
            raise _BrokenError("a comma or the array's end is missing", text.line)
    text.move(text.at + 1)


class _BrokenError(Exception):
    def __init__(self, reason: str, line: int) -> None:
        super().__init__(reason)
        self.line = line


def _value(text: _Text) -> tuple[Any, int]:
    """Return the JSON value that starts here and its length.

    Each try reads twice as much, so a long value takes linear time.
    """
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
        size = end - text.at
        text.move(end)
        return value, size


def _parquet(source: Source, size: int) -> Iterator[SourceRow]:
    with ExitStack() as stack:
        file = source.stream
        if source.compression:  # Parquet is read from its end
            file = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(source.stream, file, _CHUNK)
        for found in parquet.rows(file):
            position = size * (found.first + found.rows - 1) // found.total
            fault = source.fault or found.fault if found.data is None else ""
            yield SourceRow(found.first, found.data, position, fault, size=found.size, note=found.note, rows=found.rows)
