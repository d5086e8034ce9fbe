"""A SQLite connection with sqlite-utils, which is imported by the first write: reading does not need it."""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from store import policy

if TYPE_CHECKING:
    import sqlite_utils
    from sqlite_utils.migrations import Migrations as AppliedByUtils


class Database:
    """One SQLite connection. Reads go to it directly, writes through ``utils``."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self.conn = conn

    @cached_property
    def utils(self) -> sqlite_utils.Database:
        """The same connection as a sqlite-utils database."""
        # Without plugins: finding them reads the metadata of every installed distribution.
        database: sqlite_utils.Database = _sqlite_utils().Database(self.conn, execute_plugins=False)
        return database

    def execute(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> sqlite3.Cursor:
        """Run one statement, under the lab's policy on decisions; a write outside ``atomic`` is committed at once."""
        if policy.names_decisions(sql):
            sql = policy.read_as(sql, self.conn.execute("SELECT policy FROM decision_policy").fetchone()[0])
        if sql.lstrip().startswith(("SELECT", "PRAGMA")):
            return self.conn.execute(sql, parameters)
        return self.utils.execute(sql, parameters)  # type: ignore[arg-type]  # any mapping works

    def column(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        """Return the first column of the rows of a query."""
        return [row[0] for row in self.execute(sql, parameters)]

    def value(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Any:
        """Return the first column of the first row of a query; None if it has no row."""
        row = self.execute(sql, parameters).fetchone()
        return None if row is None else row[0]

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """A transaction, or a savepoint within one.

        A transaction takes the write lock at its begin. If it read first, another writer in between would make its
        first write fail at once, without the busy timeout.
        """
        if not self.conn.in_transaction:
            _ = self.utils  # its import takes time: not while the lab is locked
            self.conn.execute("BEGIN IMMEDIATE")
            with self.conn:  # commits, or rolls back after an error
                yield
        else:
            with self.utils.atomic():
                yield


class Migrations:
    """The migrations of a schema by name, in order.

    Which of them are pending is found without sqlite-utils; its ``Migrations`` of the same name applies them.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.steps: dict[str, Callable[[Database], None]] = {}

    def __call__(self, *, name: str) -> Callable[[Callable[[Database], None]], Callable[[Database], None]]:
        """Register the decorated function as the next migration."""

        def add(step: Callable[[Database], None]) -> Callable[[Database], None]:
            self.steps[name] = step
            return step

        return add

    def applied(self, db: Database) -> list[str]:
        """Return the names of the migrations that the database has, in order."""
        table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_sqlite_migrations'"
        if db.execute(table).fetchone() is None:
            return []
        rows = db.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = ? ORDER BY rowid", [self.name])
        return [row[0] for row in rows]

    def apply(self, db: Database) -> None:
        """Apply the pending migrations, each in one transaction with its record."""
        applier: AppliedByUtils = _sqlite_utils().Migrations(self.name)
        for name, step in self.steps.items():
            applier(name=name)(lambda _, step=step: step(db))
        applier.apply(db.utils)


def prepare() -> None:
    """Import sqlite-utils ahead of the first write."""
    _sqlite_utils()


def _sqlite_utils() -> Any:
    """Import sqlite-utils without pandas and numpy.

    It imports both where they are installed, only to map their types to column types. That takes 0.9 s instead of
    0.2 s (measured), so they are hidden from this thread during the import; other threads still find them.
    """
    thread = threading.get_ident()

    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        if name in ("pandas", "numpy") and threading.get_ident() == thread:
            raise ModuleNotFoundError(name=name)

    hook: Any = SimpleNamespace(find_spec=find_spec)
    sys.meta_path.insert(0, hook)
    try:
        import sqlite_utils
        import sqlite_utils.migrations
    finally:
        sys.meta_path.remove(hook)
    return sqlite_utils
