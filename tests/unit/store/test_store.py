"""The store: opening, migrating, adding, searching, filtering."""

from __future__ import annotations

import gc
import gzip
import os
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import Store, calibrations, conversations, evaluations, open_store, problems, ratings, search, traces
from store.connection import on_network
from store.errors import BusyError, DiskFullError, NewerSchemaError, NotFoundError, UnwritableError
from store.filters import TraceQuery
from store.records import Measured, NewProblem, NewTrace, problem_id

LABS = Path(__file__).parents[2] / "fixtures" / "labs"


def add_chain(
    store: Store, statement: str, thought: str, solution: str = "42", *, model: str = "r1", **more: object
) -> str:
    problem = NewProblem(statement, "test", answer="42")
    raw = f"<think>{thought}</think>{solution}"
    end = 7 + len(thought)
    trace = NewTrace(problem.id, model, raw, (7, end), (end + 8, len(raw)), True, "r1", "test", **more)  # type: ignore[arg-type]
    with store.db.atomic():
        problems.add(store.db, [problem])
        traces.add(store.db, [(trace, statement)])
    return trace.id


def found(store: Store, text: str) -> list[str]:
    return traces.ids(store.db, TraceQuery.parse(text))


def test_a_fresh_lab_has_the_schema_and_opens_again(tmp_path: Path) -> None:
    first = open_store(tmp_path / "lab.db")
    assert first.db.utils.journal_mode == "wal"
    assert first.db.execute("PRAGMA synchronous").fetchone()[0] == 2
    schema = first.db.utils.schema
    first.close()
    again = open_store(tmp_path / "lab.db")
    assert again.db.utils.schema == schema
    again.close()


@pytest.mark.parametrize("released", sorted(LABS.glob("*.db.gz")), ids=lambda path: path.name)
def test_every_released_lab_migrates_and_keeps_its_rows(released: Path, tmp_path: Path) -> None:
    path = tmp_path / "lab.db"
    path.write_bytes(gzip.decompress(released.read_bytes()))
    old = open_store(path)
    fresh = open_store(tmp_path / "fresh.db")
    assert sorted(old.db.utils.schema.split(";")) == sorted(fresh.db.utils.schema.split(";"))
    index = "SELECT k, v FROM traces_fts_config"
    assert set(old.db.execute(index)) == set(fresh.db.execute(index)) >= {("hashsize", 32 << 20), ("automerge", 8)}
    row = traces.page(old.db, TraceQuery.parse("tag:kept decision:accept"))[0]
    assert "等等" in traces.text(old.db, row.id).thought
    assert [hit.trace_id for hit in search.hits(old.db, "等等")[0]] == [row.id]
    if released.name >= "0004":
        assert evaluations.tally(old.db, "e1", "math@1").outcomes["correct"] == 1
        assert [mark for _, _, mark in ratings.marks(old.db, ["e1"])] == [80]
    if released.name >= "0009":
        assert list(calibrations.labels(old.db, "e1", "math@1", "fixture").values()) == ["correct"]
    old.close()
    fresh.close()


def test_released_labs_are_kept() -> None:
    assert list(LABS.glob("*.db.gz"))


def test_a_newer_lab_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "lab.db"
    store = open_store(path)
    with store.db.atomic():
        store.db.execute("INSERT INTO _sqlite_migrations(migration_set, name, applied_at) VALUES ('o1lab', '9999', '')")
    store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    before = path.read_bytes()
    with pytest.raises(NewerSchemaError, match="newer o1lab"):
        open_store(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("place", ["missing/lab.db", "/proc/lab.db"])
def test_an_unwritable_lab_says_so(tmp_path: Path, place: str) -> None:
    with pytest.raises(UnwritableError, match="cannot be"):
        open_store(tmp_path / place)


def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "lab.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(Exception, match="damaged or not a database"):
        open_store(tmp_path / "lab.db")


def test_a_full_disk_is_named_and_nothing_half_is_kept(store: Store) -> None:
    pages = store.db.execute("PRAGMA page_count").fetchone()[0]
    store.db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(DiskFullError, match="full"), store.explained():
        add_chain(store, "big", "x" * 100_000)
    assert problems.count(store.db) == 0


def test_a_lab_that_another_holds_is_busy(tmp_path: Path) -> None:
    store = open_store(tmp_path / "lab.db")
    store.db.execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(tmp_path / "lab.db")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(BusyError, match="busy"), store.explained():
        add_chain(store, "s", "t")
    other.rollback()
    other.close()
    store.close()


def test_who_holds_a_busy_lab_is_said(store: Store) -> None:
    code = "import sqlite3, sys; it = sqlite3.connect(sys.argv[1]); it.execute('BEGIN IMMEDIATE'); print(flush=True)"
    code += "; input()"
    command = [sys.executable, "-c", code, str(store.path), "o1lab import"]
    store.db.execute("PRAGMA busy_timeout = 1")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(BusyError) as caught, store.explained():
            add_chain(store, "s", "t")
        other.communicate(b"\n")
    assert f"process {other.pid} (" in caught.value.message
    assert "Nothing of this was saved" in caught.value.message
    assert "end it" in caught.value.hint
    with store.explained():
        add_chain(store, "s", "t")  # it has ended


def test_two_first_openings_at_once_both_work(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from store import open_store; open_store(Path(sys.argv[1])).close()"
    opening = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "lab.db")]) for _ in range(4)]
    assert [process.wait(60) for process in opening] == [0, 0, 0, 0]


def test_each_thread_has_its_own_connection(store: Store) -> None:
    seen: list[object] = [store.db]
    thread = threading.Thread(target=lambda: seen.append(store.db))
    thread.start()
    thread.join()
    assert seen[0] is not seen[1]
    assert seen[0] is store.db


def test_network_file_systems_are_told_by_the_mount_table(tmp_path: Path) -> None:
    assert not on_network(tmp_path / "lab.db")


def test_identity_ignores_white_space_and_unicode_form() -> None:
    assert problem_id("What  is\n½ + é?") == problem_id("What is 1⁄2 + e\u0301?")
    assert problem_id("What is 1 + 2?") != problem_id("What is 1 + 3?")


def test_adding_twice_changes_nothing(store: Store) -> None:
    first = add_chain(store, "s", "t")
    assert add_chain(store, "s", "t") == first
    assert traces.count(store.db, TraceQuery.parse("")) == 1
    assert store.db.execute("SELECT count(*) FROM traces_fts WHERE traces_fts MATCH 't'").fetchone()[0] == 1


@settings(max_examples=60)
@given(thought=st.text(st.characters(codec=None)), solution=st.text(st.characters(codec=None)))
def test_whatever_a_model_wrote_comes_back_as_it_was(store: Store, thought: str, solution: str) -> None:
    identity = add_chain(store, "any", thought, solution)
    text = traces.text(store.db, identity)
    assert (text.thought, text.solution) == (thought, solution)
    assert text.raw == f"<think>{thought}</think>{solution}"


def test_an_unknown_trace_is_missing(store: Store) -> None:
    for identity in ("", "zz", "0123"):
        with pytest.raises(NotFoundError):
            traces.get(store.db, identity)


def test_a_new_source_fills_in_the_gold_answer_and_never_takes_it(store: Store) -> None:
    with store.db.atomic():
        problems.add(
            store.db, [NewProblem("s", "a"), NewProblem("s", "b", answer="1"), NewProblem("s", "c", answer="2")]
        )
    assert problems.find(store.db, " s ").answer == "1"  # type: ignore[union-attr]
    assert problems.count(store.db, source="c") == 1


CLOSED_WHILE_ASKED = """
import sys, threading
from contextlib import suppress
from pathlib import Path
from store import open_store

store = open_store(Path(sys.argv[1]))
inside, closed, answer = threading.Event(), threading.Event(), []

def gate(number):
    inside.set()
    assert closed.wait(30)
    return number

def ask():
    store.db.conn.create_function("gate", 1, gate)
    answer.extend(store.db.execute("SELECT gate(value) FROM json_each('[1, 2, 3]')"))

thread = threading.Thread(target=ask)
thread.start()
assert inside.wait(30)
store.close()
closed.set()
thread.join()
print(answer)
"""


def test_a_store_closed_under_a_question_lets_it_end(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", CLOSED_WHILE_ASKED, str(tmp_path / "lab.db")], capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stdout) == (0, "[(1,), (2,), (3,)]\n"), ran.stderr


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are read from /proc")
def test_nothing_is_open_once_a_closed_store_is_collected(tmp_path: Path) -> None:
    def held() -> int:
        number = 0
        for file in Path("/proc/self/fd").iterdir():
            with suppress(FileNotFoundError):  # another thread has closed it since
                number += file.readlink().is_relative_to(tmp_path.resolve())
        return number

    store = open_store(tmp_path / "lab.db")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: store.db.execute("SELECT 1").fetchone()).result()
        assert held() >= 2
        store.close()
        gc.collect()
        assert held() == 0
        assert not (tmp_path / "lab.db-wal").exists()


def test_a_transaction_that_reads_first_waits_for_another_writer(store: Store) -> None:
    other = sqlite3.connect(store.path, isolation_level=None)
    with store.db.atomic():
        store.db.execute("SELECT count(*) FROM traces").fetchone()
        other.execute("PRAGMA busy_timeout=0")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        store.db.execute("DELETE FROM traces")
    other.execute("BEGIN IMMEDIATE")
    other.execute("ROLLBACK")
    other.close()


def test_an_error_undoes_a_transaction_and_only_the_inner_savepoint(store: Store) -> None:
    def names() -> list[str]:
        return [row[0] for row in store.db.execute("SELECT name FROM prompt_sets ORDER BY name")]

    with suppress(KeyError), store.db.atomic():
        conversations.save_prompt_set(store.db, "lost", ["a"])
        raise KeyError
    assert names() == []
    with store.db.atomic():
        conversations.save_prompt_set(store.db, "kept", ["a"])
        with suppress(KeyError), store.db.atomic():
            conversations.save_prompt_set(store.db, "inner", ["a"])
            raise KeyError
    assert names() == ["kept"]


def test_a_lab_on_a_read_only_medium_is_read_and_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "medium"
    folder.mkdir()
    open_store(folder / "lab.db").close()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and real(path, mode))
    store = open_store(folder / "lab.db")
    assert store.read_only and "cannot be written" in store.note
    assert conversations.count(store.db) == 0
    with pytest.raises(UnwritableError), store.explained():
        conversations.create(store.db, "title", [], {})
    store.close()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    with pytest.raises(UnwritableError, match="cannot be written"):
        open_store(tmp_path / "other" / "lab.db")


def test_a_conversation_is_created_whole_or_not_at_all(store: Store) -> None:
    store.db.execute("CREATE TRIGGER t BEFORE INSERT ON panes BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(sqlite3.IntegrityError):
        conversations.create(store.db, "title", [("m", "m")], {})
    assert conversations.count(store.db) == 0
    store.db.execute("DROP TRIGGER t")
    talk = conversations.create(store.db, "title", [("m", "m")], {})
    before = conversations.get(store.db, talk.id).updated_at
    store.db.execute("CREATE TRIGGER t BEFORE UPDATE ON conversations BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(sqlite3.IntegrityError):
        conversations.save_message(store.db, conversations.Message("1", talk.id, 0, None, "user", "complete", "hi"))
    assert conversations.messages(store.db, talk.id) == []
    assert conversations.get(store.db, talk.id).updated_at == before


def test_measures_are_stored_whole_or_not_at_all(store: Store) -> None:
    trace = add_chain(store, "s", "t")
    other = add_chain(store, "s2", "t")
    store.db.execute(
        f"CREATE TRIGGER t BEFORE UPDATE ON traces WHEN NEW.id = '{other}' BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    found = [Measured(one, False, {}, "42", "correct", "", "now", 1) for one in (trace, other)]
    with pytest.raises(sqlite3.IntegrityError):
        traces.set_measures(store.db, found)
    assert traces.get(store.db, trace).verdict is None
