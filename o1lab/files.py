"""Atomic replacement of files (a reader sees either the old or the new content), and a cache of what was read."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from o1lab.errors import LabError

ValueT = TypeVar("ValueT")


def protect_files(config: Path) -> None:
    """Set the modes of all files and folders that this process and its children create, by an o1lab.toml.

    Only the owner can read and write them; with ``[lab] shared = true``, so can the group of the folder.
    """
    table = (first_settings(config) or {}).get("lab")
    shared = isinstance(table, dict) and table.get("shared") is True
    os.umask(0o007 if shared else 0o077)


def first_settings(config: Path) -> dict[str, Any] | None:
    """Read an o1lab.toml without validating it, which is faster.

    Returns:
        Its tables; None if it cannot be read, which is reported where the settings are needed.
    """
    import tomllib

    try:
        return tomllib.loads(config.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


@contextmanager
def atomic_path(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it replaces ``path``, on failure it is deleted.

    Missing parent folders are created.

    Args:
        path: the file to replace.
        durable: also survive a power cut: sync the file before the replacement and the folder after it.

    Yields:
        The hidden temporary file to write to. The caller creates it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(3)}")
    try:
        yield temporary
        if durable:
            _sync(temporary)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        _sync(path.parent)


@contextmanager
def atomic_write(path: Path, *, durable: bool = True, errors: str = "strict") -> Iterator[IO[str]]:
    """Open a UTF-8 text file that replaces ``path`` when the block ends without an error.

    Args:
        path: the file to replace; missing parent folders are created.
        durable: as for :func:`atomic_path`.
        errors: how characters that UTF-8 cannot encode are handled, as for :func:`open`.
    """
    with atomic_path(path, durable=durable) as temporary, temporary.open("w", encoding="utf-8", errors=errors) as file:
        yield file


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Replace a text file atomically. Lone surrogates are kept (``surrogatepass``)."""
    with atomic_write(path, durable=durable, errors="surrogatepass") as file:
        file.write(text)


def write_json(path: Path, values: Mapping[str, Any], *, durable: bool = True) -> None:
    """Replace a JSON file atomically, as indented UTF-8 text.

    Args:
        path: the file to replace.
        values: the object to write. Lone surrogates, which UTF-8 cannot encode, become escapes.
        durable: as for :func:`atomic_path`.
    """
    text = json.dumps(dict(values), ensure_ascii=False, indent=1)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(dict(values), indent=1)
    write_text(path, text + "\n", durable=durable)


@contextmanager
def writing(what: Path | str, hint: str = "Check the lab's disk and permissions.") -> Iterator[None]:
    """Report that the block cannot write a file or folder.

    Args:
        what: the file or folder, as the message names it.
        hint: what to do.

    Raises:
        LabError: the block raised an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        raise LabError(f"Cannot write {what}: {error.strerror or error}.", hint) from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock a file for the block; other programs and threads that lock it wait. It is created in an existing folder.

    On a file system without locks, the block runs without one.

    Args:
        path: the file to lock. It is not the file that the block replaces: a replaced file loses its lock.
    """
    with path.open("a") as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class StampedCache(Generic[ValueT]):
    """One value for each key, read again only when its stamp (a size, a time, a count) has changed."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[Hashable, ValueT]] = {}

    def get(self, key: str, stamp: Hashable, read: Callable[[], ValueT]) -> ValueT:
        """Return the value of ``key``, from ``read`` unless it was read under the same ``stamp``."""
        if key not in self._values or self._values[key][0] != stamp:
            self._values[key] = (stamp, read())
        return self._values[key][1]


def size_stamp(path: Path) -> int:
    """Return the size of a file that only grows; -1 without one."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def time_stamp(path: Path) -> int:
    """Return when a file was replaced last, in nanoseconds; -1 without one."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return -1
