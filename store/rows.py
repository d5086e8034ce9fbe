"""Records as rows of tables: columns have the names of fields, and collections are stored as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import astuple, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from store.records import scrubbed
from store.sqlite import Database

Record = TypeVar("Record")
OnConflict = Literal["ABORT", "IGNORE", "REPLACE", "UPDATE"]
_COLLECTIONS = (Mapping, list, tuple)


@cache
def names(kind: Any) -> tuple[str, ...]:
    """Return the names of the fields of a dataclass or named tuple."""
    return tuple(one.name for one in fields(kind)) if is_dataclass(kind) else kind._fields


def columns(kind: type) -> str:
    """Return the columns of a kind of record, for a statement."""
    return ", ".join(names(kind))


def values(record: Any) -> dict[str, Any]:
    """Return the fields of a dataclass or named tuple by name."""
    kind: Any = type(record)
    return {name: getattr(record, name) for name in names(kind)}


def insert(db: Database, table: str, rows: Iterable[Any], *, on_conflict: OnConflict = "ABORT") -> int:
    """Insert rows inside the caller's transaction and return the number of rows that were inserted or replaced.

    Args:
        db: The lab's database.
        table: The table.
        rows: Mappings from columns to values, all with the same columns; or dataclasses or named tuples.
        on_conflict: What happens if a row with the same key exists. ``UPDATE`` replaces the given columns only.

    Raises:
        ValueError: A row has other columns than the first one.
    """
    given = [row if isinstance(row, Mapping) else values(row) for row in rows]
    if not given:
        return 0
    if (other := next((row for row in given if row.keys() != given[0].keys()), None)) is not None:
        raise ValueError(f"Columns of a row of {table}: {sorted(other)}, of the first: {sorted(given[0])}.")
    statement = insertion(table, tuple(given[0]), on_conflict)
    return db.conn.executemany(statement, [parameters({one: row[one] for one in given[0]}) for row in given]).rowcount


@cache
def insertion(table: str, columns: tuple[str, ...], on_conflict: OnConflict = "ABORT") -> str:
    """Return the statement that inserts a row, with a parameter for each column."""
    values = f"INTO {table}({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    if on_conflict == "UPDATE":
        return f"INSERT {values} ON CONFLICT DO UPDATE SET {', '.join(f'{one} = excluded.{one}' for one in columns)}"
    return f"INSERT OR {on_conflict} {values}"


def parameters(row: Mapping[str, Any]) -> list[Any]:
    """Return the values of a row as they are stored: text that SQLite can encode, and JSON of collections."""
    return [_stored(value) for value in row.values()]


def _stored(value: Any) -> Any:
    if isinstance(value, str):
        return scrubbed(value)
    if isinstance(value, _COLLECTIONS):
        return json.dumps(value, default=_plain)
    return value


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return astuple(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be stored as JSON")


def read_all(
    db: Database, kind: type[Record], rest: str, parameters: Sequence[Any] | Mapping[str, Any] = ()
) -> list[Record]:
    """Return the records that a query finds; ``rest`` is its text after the columns, from ``FROM`` on."""
    return [read(kind, row) for row in db.execute(f"SELECT {columns(kind)} {rest}", parameters)]


def read(kind: type[Record], row: Iterable[Any]) -> Record:
    """Make a record of the values of its columns, in the order of its fields."""
    read = list(row)
    for position, decode in _decoders(cast(Any, kind)):
        read[position] = decode(read[position])
    return kind(*read)


@cache
def _decoders(kind: Any) -> list[tuple[int, Callable[[Any], Any]]]:
    hints = get_type_hints(kind)
    found = ((position, _decoder(hints[name])) for position, name in enumerate(names(kind)))
    return [(position, decode) for position, decode in found if decode is not None]


def _decoder(hint: Any) -> Callable[[Any], Any] | None:
    """Return what makes the value of a field from that of its column; None if they are the same."""
    if hint is bool:
        return bool
    if bool in get_args(hint):
        return lambda value: None if value is None else bool(value)
    kind = get_origin(hint)
    if kind is tuple:
        [item, *_] = get_args(hint)
        return lambda value: tuple(_item(item, one) for one in json.loads(value)) if value else ()
    if isinstance(kind, type) and issubclass(kind, Collection):
        return lambda value: json.loads(value) if value else {}
    return None


def _item(kind: Any, stored: Any) -> Any:
    """Return an item of a tuple: a dataclass is stored as the list or mapping of its fields."""
    if not is_dataclass(kind):
        return stored
    make = cast(Callable[..., Any], kind)
    return make(**stored) if isinstance(stored, dict) else make(*stored)
