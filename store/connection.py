"""Opening a lab's database: one connection per thread, WAL where it is safe, pending migrations applied."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from store.errors import NewerSchemaError, NotFoundError, UnwritableError, explained
from store.records import scrubbed
from store.schema.migrations import migrations
from store.sqlite import Database

Options = ParamSpec("Options")
Result = TypeVar("Result")
BUSY_TIMEOUT_S = 15.0
# WAL keeps its index in shared memory, which these cannot share between hosts.
_NETWORK_FILE_SYSTEMS = (
    "nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "fuse.sshfs", "9p", "afs", "ceph", "fuse.juicefs",
)  # fmt: skip


class Store:
    """A lab's database; ``db`` is the connection of the calling thread."""

    def __init__(self, path: Path, *, annotator: str = "") -> None:
        self.path = path
        self.annotator = annotator
        """The current user: ``me()`` in statements."""
        self.read_only = not _is_writable(path)
        """Whether the database cannot be written; then every write raises ``UnwritableError``."""
        self.journal_mode = "delete" if on_network(path) else "wal"
        self._local = threading.local()

    @property
    def db(self) -> Database:
        """The calling thread's connection, opened on first use. Never hand it to another thread."""
        found: Database | None = getattr(self._local, "db", None)
        if found is None:
            found = self._local.db = self._connect()
        return found

    async def in_thread(
        self, query: Callable[Concatenate[Database, Options], Result], *args: Options.args, **kwargs: Options.kwargs
    ) -> Result:
        """Call ``query`` in a thread, with the connection of that thread as its first argument.

        Args:
            query: A function on a database, such as ``traces.text``.
            *args: Its other arguments.
            **kwargs: Its keyword arguments.
        """
        return await asyncio.to_thread(lambda: query(self.db, *args, **kwargs))

    @property
    def note(self) -> str:
        """A note for the user on the journal mode, or that nothing can be saved; usually empty."""
        if self.read_only:
            log = self.path.with_name(f"{self.path.name}-wal")
            unseen = " The last changes are in lab.db-wal and are not shown." if _has_content(log) else ""
            return f"The lab cannot be written: nothing that you do here is saved.{unseen}"
        if self.journal_mode == "wal":
            return ""
        return "The lab is on a network file system: SQLite runs in DELETE mode, which is slower but safe there."

    def data_version(self) -> int:
        """Return a number that changes when another connection has written."""
        return int(self.db.value("PRAGMA data_version"))

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Raise SQLite's errors within this block as ``StoreError``."""
        with explained(self.path):
            yield

    def close(self) -> None:
        """Close this thread's connection and drop those of other threads; the store must not be used afterwards.

        Closing a connection while its thread runs a statement can crash the process, so the other connections are
        closed when they are garbage collected. sqlite3 connections are reference cycles: ``gc.collect()`` helps.
        """
        found: Database | None = getattr(self._local, "db", None)
        if found is not None:
            found.conn.close()
        self._local = threading.local()

    def _connect(self) -> Database:
        with explained(self.path):
            # Each connection is used in one thread only, but may be collected in another after close().
            if self.read_only:
                # Immutable: the index of a WAL cannot be created beside the file.
                address = f"{self.path.absolute().as_uri()}?mode=ro&immutable=1"
                connection = sqlite3.connect(address, uri=True, check_same_thread=False)
            else:
                connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
                connection.execute(f"PRAGMA journal_mode={self.journal_mode}")
            # FULL: a commit is durable when it returns, so that a confirmed annotation survives a crash.
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("PRAGMA temp_store=MEMORY")
            connection.execute("PRAGMA cache_size=-16000")
            connection.create_function("me", 0, lambda: scrubbed(self.annotator), deterministic=True)
        return Database(connection)


def open_store(path: Path, *, create: bool = True, annotator: str = "") -> Store:
    """Open the database at ``path`` and migrate it. One that cannot be written is opened for reading.

    Args:
        path: The file.
        create: Whether a missing file is created.
        annotator: The current user.

    Raises:
        NewerSchemaError: A later version of o1lab wrote it; nothing is changed.
        UnwritableError: It does not exist or needs a migration, and cannot be written.
        NotFoundError: The file does not exist and ``create`` is false.
    """
    if not create and not path.exists():
        raise NotFoundError(f"There is no database at {path}.")
    store = Store(path, annotator=annotator)
    if store.read_only and not path.exists():
        raise UnwritableError(f"{path} cannot be written.", "Check the permissions of the lab's folder.")
    if not store.read_only:
        with suppress(OSError):  # SQLite reports it
            path.touch()  # SQLite would make it unreadable for the group of a shared lab
    with store.explained():
        known, applied = set(migrations.steps), set(migrations.applied(store.db))
        if newer := applied - known:
            store.close()
            raise NewerSchemaError(
                f"{path} was written by a newer o1lab (it knows {min(newer)}).",
                "Upgrade o1lab to open this lab; nothing was changed.",
            )
        if known - applied and store.read_only:
            store.close()
            raise UnwritableError(
                f"{path} was written by an older o1lab and cannot be written.", "Copy the lab to a writable folder."
            )
        if known - applied:
            _migrate(store.db)
    return store


def _migrate(db: Database) -> None:
    """Apply pending migrations under the write lock, so that two processes do not migrate at the same time."""
    db.conn.execute("BEGIN IMMEDIATE")
    try:
        migrations.apply(db)
    except BaseException:
        db.conn.rollback()
        raise
    db.conn.commit()


def _is_writable(path: Path) -> bool:
    """Whether a database can be written: the file, if there is one, and its folder for the journal."""
    return os.access(path.parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def on_network(path: Path) -> bool:
    """Whether ``path`` is on a file system that several hosts share (Linux; False elsewhere)."""
    try:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        target = path.resolve()
    except OSError:
        return False
    best, kind = "", ""
    for line in mounts:
        fields = line.split()
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ")
        if len(point) >= len(best) and target.is_relative_to(point):
            best, kind = point, fields[2]
    return kind.startswith(_NETWORK_FILE_SYSTEMS)
