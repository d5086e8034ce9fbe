"""sqlite-utils over a connection, imported where it is needed: reading a lab of today's schema needs none of it."""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite_utils
    from sqlite_utils.migrations import Migrations as AppliedByUtils


class Database:
    """One SQLite connection. Reading goes to it directly, everything else through ``utils``."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self.conn = conn

    @cached_property
    def utils(self) -> sqlite_utils.Database:
        """The same connection with all that sqlite-utils knows."""
        # No plugins: finding them reads every installed distribution, and none has business in a lab.
        made: sqlite_utils.Database = _sqlite_utils().Database(self.conn, execute_plugins=False)
        return made

    def execute(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> sqlite3.Cursor:
        """Run one statement; a write outside of ``atomic`` is committed at once."""
        if sql.lstrip().startswith(("SELECT", "PRAGMA")):
            return self.conn.execute(sql, parameters)
        return self.utils.execute(sql, parameters)  # type: ignore[arg-type]  # it passes any mapping on to sqlite3

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """A transaction, or a savepoint within one."""
        with self.utils.atomic():
            yield


class Migrations:
    """The steps of a schema by name, in order; sqlite-utils' ``Migrations`` of the same name applies them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.steps: dict[str, Callable[[Database], None]] = {}

    def __call__(self, *, name: str) -> Callable[[Callable[[Database], None]], Callable[[Database], None]]:
        """Add the decorated function as the next step."""

        def add(step: Callable[[Database], None]) -> Callable[[Database], None]:
            self.steps[name] = step
            return step

        return add

    def applied(self, db: Database) -> list[str]:
        """Names of the steps the database has behind it, in order."""
        table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_sqlite_migrations'"
        if db.execute(table).fetchone() is None:
            return []
        rows = db.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = ? ORDER BY rowid", [self.name])
        return [row[0] for row in rows]

    def apply(self, db: Database) -> None:
        """Apply the steps that are still to do, each in a transaction with the record of it."""
        applier: AppliedByUtils = _sqlite_utils().Migrations(self.name)
        for name, step in self.steps.items():
            applier(name=name)(_on(db, step))
        applier.apply(db.utils)


def prepare() -> None:
    """Import sqlite-utils ahead of the first write."""
    _sqlite_utils()


def _on(db: Database, step: Callable[[Database], None]) -> Callable[[Any], None]:
    def run(_: Any) -> None:
        step(db)

    return run


class _KeptOut:
    """For the thread that made it, pandas and numpy are not installed."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname in ("pandas", "numpy") and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(name=fullname)


def _sqlite_utils() -> Any:
    """The package, imported without what we never use of it.

    It imports pandas and numpy wherever they are installed (the train extra brings them), only to know their column
    types. That is more than a second, so for this import there are none.
    """
    finder = _KeptOut()
    sys.meta_path.insert(0, finder)
    try:
        import sqlite_utils
        import sqlite_utils.migrations
    finally:
        sys.meta_path.remove(finder)
    return sqlite_utils
