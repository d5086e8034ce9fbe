"""The state that a lab keeps for its screens: small JSON files, each changed under a lock and replaced atomically.

``sessions/ANNOTATOR.json`` has what a person's screens looked like: filter, cursor, sizes, theme, mode. It also has the
filters that the person used earlier.
``filters.json`` has the filters with names, which all people in the lab share.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from o1lab.errors import LabError, NotFoundError, UsageError
from o1lab.files import locked, write_json
from o1lab.paths import Lab, file_name
from o1lab.text import parse_json
from store.filters import Query
from store.filters.saved import expand, names, uses_saved

Value = TypeVar("Value")
QueryT = TypeVar("QueryT", bound=Query)
KINDS = ("traces", "problems", "samples", "runs", "jobs")
"""The lists that have filters."""
NAME = re.compile(r"[\w.-]{1,60}")
NAME_RULE = "A name has up to 60 letters, digits, dots, dashes and underscores, without spaces."
LARGEST = 4 * 1024**2
"""Bytes of the largest file that is read."""
MOST_EARLIER = 200
"""Number of earlier filters that are kept for each kind of list."""


class DamagedError(LabError):
    """A file of this module cannot be used."""

    code = "unreadable"


class BadContentError(DamagedError):
    """A file was read, but its content is not what it must be."""


class RememberedFile:
    """One JSON object in a file. Its methods block: call them in a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Any]:
        """Return the object; empty without a file.

        Raises:
            BadContentError: The file is not a JSON object.
            DamagedError: The file cannot be read.
        """
        kind: type[DamagedError] = BadContentError
        try:
            is_large = self.path.stat().st_size > LARGEST
            found = None if is_large else parse_json(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            reason = str(error)
        except OSError as error:  # says nothing about the content
            kind, reason = DamagedError, error.strerror or str(error)
        else:
            if isinstance(found, dict):
                return found
            reason = "it is too large" if is_large else "it is not an object"
        raise kind(f"{self.path} cannot be read: {reason}.", "Correct or remove the file.")

    @contextmanager
    def changing(self, *, move_damaged: bool = False) -> Iterator[dict[str, Any]]:
        """Yield the object; at the end of the block it replaces the file. Other programs wait.

        Args:
            move_damaged: Yield an empty object for a file with bad content, and move that file aside at the end.

        Raises:
            DamagedError: The file cannot be used; it stays as it is.
            OSError: It cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path.with_name(f".{self.path.name}.lock")):
            is_damaged = False
            try:
                values = self.read()
            except BadContentError:
                if not move_damaged:
                    raise
                values, is_damaged = {}, True
            yield values
            if is_damaged:
                self._move_aside()
            write_json(self.path, values)

    def _move_aside(self) -> None:
        for number in count(1):
            aside = self.path.with_suffix(".damaged" if number == 1 else f".{number}.damaged")
            with suppress(FileExistsError):
                aside.open("x").close()  # takes the name: a damaged file from before stays
                break
        try:
            self.path.replace(aside)
        except BaseException:
            aside.unlink()
            raise


def _add_latest(texts: Any, latest: list[str]) -> list[str]:
    """Return filters with the latest at the end, each once and not too many; other values are left out."""
    found = texts if isinstance(texts, list) else []
    kept = dict.fromkeys(one for one in found if isinstance(one, str) and one not in latest)
    return [*kept, *latest][-MOST_EARLIER:]


class Session:
    """The state of one person's screens, by keys such as ``traces.filter``.

    ``get`` and ``set`` only use memory; ``save`` writes what was set since the last call, and may run in a thread.
    Values are copied, so that a list that its owner changes later is not written half changed.

    Attributes:
        fault: Why the file was ignored; empty if it was read.
    """

    def __init__(self, file: RememberedFile | None = None, *, fresh: bool = False) -> None:
        """Read a session.

        Args:
            file: Where it is kept; None keeps it in memory only.
            fresh: Start without what the file says, except the earlier filters, which a person typed.
        """
        self.file = file
        self.fault = ""
        self._values: dict[str, Any] = {}
        self._changed: dict[str, Any] = {}
        self._used: dict[str, list[str]] = {}  # the filters that were used since the last save, by key
        self._saving = threading.Lock()
        self._changing = threading.Lock()  # of what was set; never held while the file is written
        if file is not None:
            try:
                self._values = file.read()
            except DamagedError as error:
                self.fault = error.message
        if fresh:
            self._values = {key: value for key, value in self._values.items() if key.startswith("earlier.")}

    def get(self, key: str, default: Value) -> Value:
        """Return a value; the default if there is none or it has another type."""
        found = self._values.get(key)
        return deepcopy(found) if isinstance(found, type(default)) else default

    def set(self, key: str, value: Any) -> None:
        """Remember a JSON value."""
        if self._values.get(key) != value:
            with self._changing:
                self._values[key] = self._changed[key] = deepcopy(value)

    @property
    def unsaved(self) -> bool:
        """Whether something was set since the last ``save``."""
        return bool(self._changed or self._used)

    def save(self) -> None:
        """Write what was set; another program's values of other keys stay, and so do the earlier filters that it added.

        If the file could not be read at the start, and its content is bad now, it is moved aside.

        Raises:
            DamagedError: The file cannot be used; it stays as it is, and what was set is kept for the next call.
            OSError: The file cannot be written; what was set is kept for the next call.
        """
        with self._saving:  # the save of an app that closes waits for one that is running
            self._save()

    def _save(self) -> None:
        with self._changing:
            changed, self._changed = self._changed, {}
            used, self._used = self._used, {}
        if self.file is None or not (changed or used):
            return
        try:
            with self.file.changing(move_damaged=bool(self.fault)) as values:
                values.update(changed)
                for key, texts in used.items():
                    values[key] = _add_latest(values.get(key), texts)
            self.fault = ""
        except BaseException:
            with self._changing:
                self._changed = {**changed, **self._changed}
                self._used = used | {key: _add_latest(used.get(key), texts) for key, texts in self._used.items()}
            raise

    def earlier(self, kind: str) -> list[str]:
        """Return the earlier filters of a kind of list, the latest last."""
        found: list[Any] = self.get(f"earlier.{kind}", [])
        return [one for one in found if isinstance(one, str)]

    def add_earlier(self, kind: str, text: str) -> None:
        """Remember a filter that was used; an equal earlier one moves to the end."""
        key = f"earlier.{kind}"
        with self._changing:
            self._values[key] = _add_latest(self._values.get(key), [text])
            self._used[key] = _add_latest(self._used.get(key), [text])


class SavedFilters:
    """The filters with names of a lab, for each kind of list. The methods block: call them in a thread."""

    def __init__(self, lab: Lab) -> None:
        self.file = RememberedFile(lab.filters)

    def all(self) -> dict[str, dict[str, str]]:
        """Return the filters of each kind by name.

        Raises:
            DamagedError: The file cannot be read.
        """
        values = self.file.read()
        return {kind: self._texts(values, kind) for kind in KINDS}

    def of(self, kind: str) -> dict[str, str]:
        """Return the filters of one kind by name.

        Raises:
            DamagedError: The file cannot be read.
        """
        return self.all()[kind]

    def parse(self, query: type[QueryT], text: str) -> QueryT:
        """Parse a filter that may contain ``saved:NAME``. The file is only read if it does.

        Raises:
            QueryError: The filter is not valid, or has an unknown name.
            DamagedError: The file cannot be read.
        """
        return query.parse(expand(text, self.of(query.NAME)) if uses_saved(text) else text)

    def save(self, query: type[Query], name: str, text: str) -> str:
        """Save a filter under a name; an earlier one of this name is replaced.

        Returns:
            What was saved: the text, with other saved filters in it replaced by theirs.

        Raises:
            UsageError: The name is not valid, or the filter is empty.
            QueryError: The filter is not valid.
            DamagedError: The file cannot be read.
        """
        if not NAME.fullmatch(name):
            raise UsageError(f"'{name}' is not a valid name of a filter.", NAME_RULE)
        if not text.strip():
            raise UsageError("An empty filter cannot be saved.", "Give a filter, such as verdict:wrong.")
        text = self.parse(query, text.strip()).source

        def put(filters: dict[str, str]) -> None:
            filters[name] = text

        self._change(query.NAME, put)
        return text

    def delete(self, kind: str, name: str) -> str:
        """Delete a filter and return its text.

        Raises:
            NotFoundError: There is none of this name.
            DamagedError: The file cannot be read.
        """

        def drop(filters: dict[str, str]) -> None:
            if name not in filters:
                raise NotFoundError(f"There is no saved filter '{name}' of {kind}.", names(filters))
            gone.append(filters.pop(name))

        gone: list[str] = []
        self._change(kind, drop)
        return gone[0]

    def _change(self, kind: str, change: Callable[[dict[str, str]], None]) -> None:
        with self.file.changing() as values:
            filters = self._texts(values, kind)
            change(filters)
            values[kind] = dict(sorted(filters.items()))

    def _texts(self, values: Mapping[str, Any], kind: str) -> dict[str, str]:
        found = values.get(kind, {})
        if isinstance(found, dict) and all(isinstance(text, str) for text in found.values()):
            return dict(found)
        raise DamagedError(f"{self.file.path} cannot be read: '{kind}' is not an object of texts.", "Correct the file.")


def session_file(lab: Lab, annotator: str) -> RememberedFile:
    """Return the file of a person's session."""
    return RememberedFile(lab.sessions / f"{file_name(annotator)}.json")
