"""What a lab remembers: sessions and saved filters in files that other programs may change or damage."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from o1lab.config import init_lab
from o1lab.errors import NotFoundError, UsageError
from o1lab.paths import Lab
from o1lab.remembered import KINDS, MOST_EARLIER, DamagedError, RememberedFile, SavedFilters, Session, session_file
from store.errors import QueryError
from store.filters import ProblemQuery, TraceQuery


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return init_lab(tmp_path / "lab", name="lab")


def test_a_session_is_what_the_last_one_left(lab: Lab) -> None:
    file = session_file(lab, "Ann Ö/x")
    assert file.path.parent == lab.root / "sessions"
    first = Session(file)
    assert first.get("traces.filter", "none") == "none"
    first.set("traces.filter", "verdict:wrong \ud800")
    first.set("share", 40)
    assert first.unsaved
    first.save()
    assert not first.unsaved
    again = Session(file)
    assert again.get("traces.filter", "") == "verdict:wrong \ud800"
    assert again.get("share", "a text") == "a text", "a value of another type is as good as none"


def test_a_value_belongs_to_the_session_alone(lab: Lab) -> None:
    session, names = Session(session_file(lab, "ann")), ["id"]
    session.set("columns", names)
    session.save()
    names.append("loss")
    assert session.get("columns", [""]) == ["id"]
    session.get("columns", [""]).append("age")
    session.set("columns", names)
    session.save()
    assert Session(session_file(lab, "ann")).get("columns", [""]) == ["id", "loss"]


def test_a_value_that_is_set_while_another_thread_saves_is_not_lost(lab: Lab) -> None:
    session = Session(session_file(lab, "ann"))
    saver = threading.Thread(target=session.save)

    class Slow(dict[str, Any]):
        def __setitem__(self, key: str, value: Any) -> None:
            saver.start()
            saver.join(0.2)  # the save takes what there is, unless it waits for this value
            super().__setitem__(key, value)

    session._changed = Slow(theme="nord")
    session.set("mode", "traces")
    saver.join()
    session.save()
    assert session_file(lab, "ann").read() == {"theme": "nord", "mode": "traces"}


def test_two_programs_keep_what_the_other_has_set(lab: Lab) -> None:
    file = session_file(lab, "ann")
    one, other = Session(file), Session(file)
    one.set("theme", "nord")
    other.set("mode", "traces")
    one.save()
    other.save()
    assert file.read() == {"theme": "nord", "mode": "traces"}


def test_earlier_filters_are_kept_once_each_and_a_fresh_start_keeps_them(lab: Lab) -> None:
    session = Session(session_file(lab, "ann"))
    for text in ("wait", "hmm", "wait", *map(str, range(MOST_EARLIER - 2))):
        session.add_earlier("traces", text)
    assert session.earlier("traces")[:3] == ["hmm", "wait", "0"]
    session.add_earlier("traces", "last")
    assert len(session.earlier("traces")) == MOST_EARLIER
    assert session.earlier("traces")[0] == "wait"
    session.set("traces.filter", "wait")
    session.save()
    fresh = Session(session_file(lab, "ann"), fresh=True)
    assert fresh.get("traces.filter", "") == ""
    assert fresh.earlier("traces")[-1] == "last"


def test_two_programs_keep_the_filters_that_the_other_has_added(lab: Lab) -> None:
    file = session_file(lab, "ann")
    old = Session(file)
    for text in ("old", "again"):
        old.add_earlier("traces", text)
    old.save()
    one, other = Session(file), Session(file)
    one.add_earlier("traces", "of one")
    one.add_earlier("problems", "has:answer")
    other.add_earlier("traces", "of the other")
    other.add_earlier("traces", "old")
    one.save()
    other.save()
    assert Session(file).earlier("traces") == ["again", "of one", "of the other", "old"]
    assert Session(file).earlier("problems") == ["has:answer"]
    one.add_earlier("traces", "of one")
    assert one.unsaved, "it is the last one of this program, not of the file"
    one.save()
    assert Session(file).earlier("traces")[-2:] == ["old", "of one"]
    for number in range(MOST_EARLIER - 1):
        other.add_earlier("traces", str(number))
    other.save()
    assert Session(file).earlier("traces") == ["of one", *map(str, range(MOST_EARLIER - 1))]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"theme": ', "it is not JSON (line 1, column 11)"),
        (b"[1]", "it is not an object"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b"\xff\xfe\x00", "it is not UTF-8"),
        (b" " * (5 * 1024**2), "it is too large"),
    ],
)
def test_a_damaged_session_is_reported_ignored_and_moved_aside(lab: Lab, content: bytes, reason: str) -> None:
    file = session_file(lab, "ann")
    file.path.parent.mkdir()
    file.path.write_bytes(content)
    session = Session(file)
    assert str(file.path) in session.fault
    assert reason in session.fault
    session.save()
    assert file.path.read_bytes() == content, "nothing to write, so nothing is touched"
    session.set("theme", "nord")
    session.save()
    assert file.read() == {"theme": "nord"}
    assert file.path.with_suffix(".damaged").read_bytes() == content


def test_a_damaged_session_is_moved_aside_once_and_to_a_free_name(lab: Lab) -> None:
    file = session_file(lab, "ann")
    file.path.parent.mkdir()
    for name, content in (("ann.damaged", "first"), ("ann.2.damaged", "second")):
        file.path.write_text(content)
        one, other = Session(file), Session(file)
        assert one.fault and other.fault
        one.set("theme", "nord")
        one.save()
        other.set("mode", "traces")
        other.save()
        assert file.read() == {"theme": "nord", "mode": "traces"}, "the good file of the first program stays"
        assert file.path.with_name(name).read_text() == content
    assert sorted(path.name for path in file.path.parent.glob("*.damaged")) == ["ann.2.damaged", "ann.damaged"]
    assert file.path.with_name("ann.damaged").read_text() == "first"


def test_a_file_that_is_damaged_while_the_program_runs_stays(lab: Lab) -> None:
    file = session_file(lab, "ann")
    session = Session(file)
    session.set("theme", "nord")
    session.save()
    file.path.write_text("[")
    session.set("mode", "traces")
    with pytest.raises(DamagedError):
        session.save()
    assert file.path.read_text() == "["
    assert session.unsaved


def test_a_file_that_cannot_be_opened_is_not_damaged(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    file = session_file(lab, "ann")
    before = Session(file)
    before.set("mode", "traces")
    before.add_earlier("traces", "wait")
    before.save()
    content = file.path.read_bytes()

    def fail(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", fail)
        session = Session(file)
        assert "Permission denied" in session.fault
        session.set("theme", "nord")
        session.add_earlier("traces", "hmm")
        with pytest.raises(DamagedError, match="Permission denied"):
            session.save()
    assert file.path.read_bytes() == content
    session.add_earlier("traces", "so")
    session.save()
    assert file.read() == {"mode": "traces", "theme": "nord", "earlier.traces": ["wait", "hmm", "so"]}
    assert not list(file.path.parent.glob("*.damaged"))


def test_what_could_not_be_written_is_written_the_next_time(lab: Lab) -> None:
    file = session_file(lab, "ann")
    (lab.root / "sessions").write_text("a file in the way")
    session = Session(file)
    session.set("theme", "nord")
    with pytest.raises(OSError, match=r"exists|directory"):
        session.save()
    assert session.unsaved
    (lab.root / "sessions").unlink()
    session.save()
    assert file.read() == {"theme": "nord"}


def test_programs_that_change_a_file_wait_for_each_other(tmp_path: Path) -> None:
    def count() -> None:
        for _ in range(20):
            with RememberedFile(tmp_path / "count.json").changing() as values:
                values["n"] = values.get("n", 0) + 1

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert RememberedFile(tmp_path / "count.json").read() == {"n": 80}


def test_a_filter_with_a_name_stands_for_its_text(lab: Lab) -> None:
    filters = SavedFilters(lab)
    assert filters.all() == {kind: {} for kind in KINDS}
    assert filters.save(TraceQuery, "hard", " verdict:wrong reflect>=2 ") == "verdict:wrong reflect>=2"
    assert filters.save(TraceQuery, "odd", "saved:hard wait") == "verdict:wrong reflect>=2 wait"
    filters.save(TraceQuery, "hard", "verdict:wrong")
    query = filters.parse(TraceQuery, "teacher:sky saved:odd")
    assert query == TraceQuery.parse("teacher:sky verdict:wrong reflect>=2 wait")
    assert query.source == "teacher:sky verdict:wrong reflect>=2 wait", "what datasets keep names no saved filter"
    assert list(filters.of("traces")) == ["hard", "odd"]
    with pytest.raises(QueryError, match="no saved filter 'hard'"):
        filters.parse(ProblemQuery, "saved:hard")
    assert filters.delete("traces", "odd") == "verdict:wrong reflect>=2 wait"
    with pytest.raises(NotFoundError, match="odd") as caught:
        filters.delete("traces", "odd")
    assert caught.value.hint == "Saved: hard."


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [("two words", "wait", "not a valid name"), ("", "wait", "not a valid name"), ("ok", "  ", "empty filter")],
)
def test_a_name_is_one_word_and_a_filter_is_not_empty(lab: Lab, name: str, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SavedFilters(lab).save(TraceQuery, name, text)
    assert not (lab.root / "filters.json").exists()


def test_a_damaged_file_of_filters_is_never_overwritten(lab: Lab) -> None:
    path = lab.root / "filters.json"
    for content in ('{"traces": {"hard": "verdict:wr', json.dumps({"traces": ["by hand"]})):
        path.write_text(content)
        with pytest.raises(DamagedError, match=r"filters\.json"):
            SavedFilters(lab).save(TraceQuery, "other", "wait")
        with pytest.raises(DamagedError):
            SavedFilters(lab).of("traces")
        assert path.read_text() == content
