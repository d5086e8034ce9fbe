"""Read the small files of a lab (JSON, YAML, TOML) and validate them.

Anything that is wrong with such a file raises one kind of error: it is missing, a folder, not UTF-8, not in its format,
nested too deeply, or has a value of the wrong type. A list can then show the error in the row of that file.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from o1lab.errors import LabError
from o1lab.text import one_line, parse_json

if TYPE_CHECKING:
    import yaml

Kind = TypeVar("Kind")
LARGEST = 64 * 1024**2
"""Bytes of the largest file that is read whole."""
_MOST_VALUES = 1_000_000
"""Values of a YAML file with its aliases expanded."""
_MOST_LEVELS = 100
"""Lists and objects of a YAML file inside one another."""
_MOST_MERGED = 10_000
"""Pairs that the merge keys of one YAML mapping add."""


class UnreadableError(LabError, ValueError):
    """A file cannot be used.

    Args:
        path: the file.
        reason: what is wrong with it, without a full stop.
        hint: what to do.
    """

    code = "unreadable"

    def __init__(self, path: Path, reason: str, hint: str = "Correct or remove the file.") -> None:
        super().__init__(f"{path} cannot be read: {reason}.", hint)
        self.path, self.reason = path, reason

    @property
    def brief(self) -> str:
        """The name of the file and the reason, for a row of a list."""
        return f"{self.path.name}: {self.reason}"


def read_text(path: Path) -> str:
    """Read a UTF-8 file.

    Raises:
        UnreadableError: it is missing, not a regular file, too large, or not UTF-8.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait
            raise UnreadableError(path, "it is a folder" if stat.S_ISDIR(found.st_mode) else "it is not a regular file")
        if found.st_size > LARGEST:
            raise UnreadableError(path, "it is too large")
        return path.read_text("utf-8")
    except FileNotFoundError as error:
        raise UnreadableError(path, "it is missing") from error
    except OSError as error:
        raise UnreadableError(path, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise UnreadableError(path, f"it is not UTF-8 (byte {error.start + 1})") from error


def open_file(path: Path) -> IO[bytes]:
    """Open a regular file for reading. Opening a pipe would wait for a writer.

    Raises:
        OSError: it is missing, a folder, a pipe or a device.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return path.open("rb")


def read_tail(path: Path, limit: int) -> list[bytes]:
    """Return the lines at the end of a file; the last one is what follows the last line break.

    Args:
        path: the file; one that is missing, or not a regular file, has no lines.
        limit: maximum number of bytes to read. If the file is longer, the first line may lack its beginning.
    """
    try:
        with open_file(path) as file:
            file.seek(max(file.seek(0, os.SEEK_END) - limit, 0))
            return file.read(limit).split(b"\n")
    except OSError:
        return []


def read_json(path: Path, kind: type[Kind]) -> Kind:
    """Read a JSON file as ``kind``: a model, a dataclass or a plain type. Unknown keys of a dataclass are ignored.

    Raises:
        UnreadableError: it cannot be read, or is not of this kind.
    """
    try:
        values = parse_json(read_text(path))
    except UnreadableError:
        raise
    except ValueError as error:
        raise UnreadableError(path, str(error)) from error
    return validated(path, values, kind)


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object that only adds facts; empty if the file is missing or damaged."""
    try:
        return read_json(path, dict[str, Any])
    except UnreadableError:
        return {}


def read_yaml(path: Path) -> Any:
    """Read a YAML file; a key that is given twice is an error.

    Raises:
        UnreadableError: it cannot be read, or expands to too many values.
    """
    return parse_yaml(path, read_text(path))


def parse_yaml(path: Path, text: str) -> Any:
    """Parse YAML that was read from ``path``; raises like :func:`read_yaml`."""
    import yaml

    try:
        values = _load_yaml(text)
    except yaml.MarkedYAMLError as error:
        where = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise UnreadableError(path, f"it is not YAML: {one_line(error.problem or str(error), 120)}{where}") from error
    except RecursionError as error:
        raise UnreadableError(path, "it is nested too deeply") from error
    except Exception as error:  # an impossible date or number raises an error of any type
        raise UnreadableError(path, f"it is not YAML: {one_line(str(error), 120)}") from error
    if not _is_small(values):
        raise UnreadableError(path, "its aliases expand to too many values")
    if _levels(values) > _MOST_LEVELS:
        raise UnreadableError(path, "it is nested too deeply")
    return values


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        UnreadableError: it cannot be read.
    """
    import tomllib

    try:
        return tomllib.loads(read_text(path))
    except UnreadableError:
        raise
    except RecursionError as error:
        raise UnreadableError(path, "it is nested too deeply") from error
    except ValueError as error:  # TOMLDecodeError, and a number that is too long
        raise UnreadableError(path, f"it is not TOML: {one_line(str(error), 120)}") from error


def validated(path: Path, values: Any, kind: type[Kind]) -> Kind:
    """Return values read from ``path`` as ``kind``.

    Raises:
        UnreadableError: they are not of this kind; the reason names the field.
    """
    try:
        return as_kind(values, kind)
    except ValueError as error:
        raise UnreadableError(path, str(error)) from error


def as_kind(values: Any, kind: type[Kind]) -> Kind:
    """Return plain values as a model, a dataclass or another type; unknown keys of a dataclass are ignored.

    Raises:
        ValueError: they are not of this kind.
    """
    try:
        return cast(Kind, _adapter(kind).validate_python(values))
    except ValidationError as error:
        raise ValueError(first_fault(error)) from error


def first_fault(error: ValidationError) -> str:
    """Return the first fault as ``field: message``, and the number of further ones."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    where = ".".join(str(step) for step in found[0]["loc"])
    message = found[0]["msg"].removeprefix("Value error, ")
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return one_line(f"{where}: {message}" if where else message, 200) + more


def _adapter(kind: Any) -> TypeAdapter[Any]:
    found = _adapters.get(kind)
    if found is None:
        found = _adapters[kind] = TypeAdapter(kind)
    return found


_adapters: dict[Any, TypeAdapter[Any]] = {}


def _load_yaml(text: str) -> Any:
    """Parse YAML with libyaml, ten times as fast; what it refuses with the parser that explains errors better.

    A PyYAML without libyaml parses the same way, but refuses tabs in some places where libyaml takes them.

    Raises:
        RecursionError: it is nested deeply, for which libyaml takes quadratic time or ends the process.
    """
    import yaml

    quickest = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    try:
        _refuse_deep(text, quickest)
        return yaml.load(text, _strict_loader(quickest))  # noqa: S506 - a SafeLoader
    except RecursionError:
        raise
    except Exception:
        return yaml.load(text, _strict_loader(yaml.SafeLoader))  # noqa: S506 - a SafeLoader


def _refuse_deep(text: str, loader: type[Any]) -> None:
    import yaml

    depth = 0
    for event in yaml.parse(text, loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MOST_LEVELS:
            raise RecursionError


@cache
def _strict_loader(base: type[Any]) -> type[Any]:
    import yaml

    class Loader(base):  # type: ignore[misc]  # one of two
        """Rejects duplicate keys, of which YAML keeps only the last."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if len(set(keys)) < len(keys):
                twice = next(key for key in keys if keys.count(key) > 1)
                problem = f"the key '{twice}' is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
            found: dict[Any, Any] = super().construct_mapping(node, deep)
            return found

        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            """Resolve merge keys (``<<``), which double the pairs of each mapping that names the one before twice."""
            pairs = 0
            for key, value in node.value:
                if key.tag != "tag:yaml.org,2002:merge":
                    continue
                for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if isinstance(part, yaml.MappingNode):
                        self.flatten_mapping(part)
                        pairs += len(part.value)
                    if pairs > _MOST_MERGED:
                        problem = "its merge keys expand to too many values"
                        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
            super().flatten_mapping(node)

    return Loader


def _levels(value: Any) -> int:
    """Return how deep a value is nested, aliases included."""
    levels, inner = 0, [value]
    while inner := [part for one in inner for part in _parts(one)]:
        levels += 1
    return levels


def _parts(value: Any) -> Sequence[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()


def _is_small(value: Any) -> bool:
    """Whether a value has few parts, counting one that aliases repeat each time. False for a cycle."""
    waiting, left = [value], _MOST_VALUES
    while waiting and left > 0:
        one = waiting.pop()
        parts = _parts(one)
        left -= 1 + len(parts)
        if left > 0:
            waiting.extend(parts)
    return left > 0
