"""Records as rows: what is stored of each kind of value, what is read, and what happens on a conflict."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from store.rows import columns, insert, read
from store.sqlite import Database


@dataclass(frozen=True)
class Part:
    start: int
    name: str


@dataclass(frozen=True)
class Thing:
    id: str
    text: str | None
    flag: bool
    maybe: bool | None
    parts: tuple[Part, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)


class Pair(NamedTuple):
    id: str
    text: str


@pytest.fixture
def db() -> Database:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE things(id TEXT PRIMARY KEY, text, flag, maybe, parts, meta)")
    return Database(connection)


def stored(db: Database) -> list[Thing]:
    rows = db.conn.execute(f"SELECT {columns(Thing)} FROM things ORDER BY id")  # noqa: S608
    return [read(Thing, row) for row in rows]


def test_a_record_is_read_as_it_was_inserted(db: Database) -> None:
    thing = Thing("a", None, True, False, (Part(1, "x"), Part(2, "é")), MappingProxyType({"k": [1]}))
    assert insert(db, "things", [thing]) == 1
    assert stored(db) == [replace(thing, meta={"k": [1]})]
    assert db.conn.execute("SELECT parts FROM things").fetchone()[0] == '[[1, "x"], [2, "\\u00e9"]]'


def test_null_and_lone_surrogates(db: Database) -> None:
    insert(db, "things", [{"id": "a", "text": "x\ud800"}])
    assert stored(db) == [Thing("a", "x?", False, None)]


def test_parts_may_be_stored_as_mappings(db: Database) -> None:
    insert(db, "things", [{"id": "a", "parts": [{"start": 3, "name": "y"}]}])
    assert stored(db)[0].parts == (Part(3, "y"),)


def test_conflicts(db: Database) -> None:
    thing = Thing("a", "one", True, None)
    insert(db, "things", [thing])
    with pytest.raises(sqlite3.IntegrityError):
        insert(db, "things", [thing])
    assert insert(db, "things", [Pair("a", "two"), Pair("b", "two")], on_conflict="IGNORE") == 1
    insert(db, "things", [Pair("a", "three")], on_conflict="UPDATE")
    assert [(one.id, one.text, one.flag) for one in stored(db)] == [("a", "three", True), ("b", "two", False)]
    insert(db, "things", [Pair("a", "four")], on_conflict="REPLACE")
    assert stored(db)[0] == Thing("a", "four", False, None)
    assert insert(db, "things", []) == 0


def test_what_json_lacks_is_refused(db: Database) -> None:
    for value in ({1}, b"x", iter(())):
        with pytest.raises(TypeError, match="cannot be stored as JSON"):
            insert(db, "things", [Thing("t", None, True, None, meta={"a": value})])


def test_rows_may_name_their_columns_in_any_order(db: Database) -> None:
    insert(db, "things", [{"id": "a", "text": "one"}, {"text": "two", "id": "b"}])
    assert db.column("SELECT text FROM things ORDER BY id") == ["one", "two"]


def test_a_row_with_other_columns_than_the_first_is_refused(db: Database) -> None:
    db.execute("CREATE TABLE notes(id, text, note)")
    for other in ({"id": 2, "text": "b", "note": "lost"}, {"id": 2}):
        with pytest.raises(ValueError, match="Columns of a row of notes"):
            insert(db, "notes", [{"id": 1, "text": "a"}, other])
    assert db.execute("SELECT count(*) FROM notes").fetchone()[0] == 0
