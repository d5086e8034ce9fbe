"""The journal: what is in it stays, whatever happened while it was written; and what a run finds in it again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o1lab.distill.job import freeze_items, pending
from o1lab.inference import journal
from o1lab.inference.calls import CallKey, RequestError, Response
from o1lab.inference.journal import Journal, index_journal
from store import teacher_runs
from store.connection import open_store
from store.teacher_runs import Outcome
from tests.support.distill_lab import make_lab, start


def response(item: str, sample: int = 0, turn: int = 0, **values: object) -> Response:
    return Response(CallKey(item, sample, turn), values.pop("state", "done"), answer="x", **values)  # type: ignore[arg-type]


async def write(path: Path, *responses: Response) -> None:
    async with Journal(path) as kept:
        await asyncio.gather(*(kept.append(one) for one in responses))


@given(st.text(), st.text(), st.integers(0, 99), st.integers(0, 9))
def test_a_response_survives_its_line(thought: str, answer: str, sample: int, turn: int) -> None:
    fault = RequestError("cut_off", answer, retryable=True)
    one = Response(CallKey("abc", sample, turn), "partial", thought=thought, answer=answer, fault=fault, raw=thought)
    assert "\n" not in one.line()
    assert Response.read(one.line()) == one


async def test_half_a_line_is_passed_over_and_set_apart(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    await write(path, response("a"), response("b"))
    whole = path.read_bytes()
    for cut in range(1, len(whole)):
        path.write_bytes(whole[:cut])
        await write(path, response("c"))
        found = [one.key.item for _, one in journal.read(path)]
        assert found == ["a"] * (cut >= whole.index(b"\n")) + ["b"] * (cut >= len(whole) - 1) + ["c"]
        assert [key.item for _, key, _ in journal.lines(path) if key.item in found][-1] == "c"


@pytest.fixture(autouse=True)
def _private() -> Iterator[None]:
    """The umask of `files.protect_files`, in whatever order the tests run."""
    before = os.umask(0o077)
    yield
    os.umask(before)


async def test_many_at_once_are_all_there_with_their_places(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    await write(path, *(response(f"{number:04}") for number in range(500)))
    assert sorted(one.key.item for _, one in journal.read(path)) == [f"{number:04}" for number in range(500)]
    for offset, key, _ in journal.lines(path):
        assert journal.read_at(path, offset).key == key
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("item", ["问题-1", 'q"2', "back\\slash", "a/b", "\U0001f600", "new\nline"])
async def test_any_id_is_found_again(item: str, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    await write(path, response(item, 3, 1))
    path.write_bytes(b'{"key": "no key of ours"}\n{"key": "\\x/0/0"}\n' + path.read_bytes())
    assert [key for _, key, _ in journal.lines(path)] == [CallKey(item, 3, 1)]
    assert index_journal(path, lambda _: set()).find(CallKey(item, 3, 1)) == response(item, 3, 1)


async def test_an_append_to_a_full_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: int, _lines: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal, "_append", full)
    async with Journal(tmp_path / "journal.jsonl") as kept:
        ended = await asyncio.gather(*(kept.append(response(str(n))) for n in range(5)), return_exceptions=True)
    assert [type(one) for one in ended] == [journal.JournalError] * 5


async def test_a_run_finds_what_it_still_needs_and_nothing_else(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab", "http://127.0.0.1:9/v1", 4)
    folder = start(lab, n=2)
    settings = folder.info().settings
    assert settings is not None
    store = open_store(lab.database)
    assert freeze_items(folder, store, settings) == 4
    first, second, third, fourth = folder.items_file.read_text().split()
    try_again = RequestError("timeout", "", retryable=True)
    await write(
        folder.journal,
        response(first, 0, output_tokens=7),
        response(first, 1, output_tokens=7),
        response(second, 0, state="failed", fault=try_again),
        response(second, 0, output_tokens=5, cost_usd=0.5),
        response(third, 1, 0, output_tokens=2),
        response(third, 1, 1, state="partial", fault=try_again, output_tokens=3, cost_usd=0.25),
        response(fourth, 0, state="failed", fault=RequestError("context_length", "")),
    )
    with store.db.atomic():
        outcomes = [Outcome(first, 0, "kept"), Outcome(fourth, 0, "failed", "context_length")]
        teacher_runs.add_outcomes(store.db, folder.id, outcomes)
    index = index_journal(folder.journal, lambda ids: teacher_runs.ended(store.db, folder.id, ids))
    found = {
        key
        for item in (first, second, third, fourth)
        for s in (0, 1)
        for t in (0, 1)
        if (key := CallKey(item, s, t)) in index
    }
    assert found == {CallKey(first, 1), CallKey(second, 0), CallKey(third, 1), CallKey(fourth, 0)}
    assert index.find(CallKey(second, 0)) == response(second, 0, output_tokens=5, cost_usd=0.5)
    assert index.find(CallKey(third, 1, 1)) is None
    assert (index.total.output_tokens, index.total.cost_usd) == (7 + 5 + 2 + 3, 0.75)
    assert index.usage(third, 1).output_tokens == 5
    pairs = [(item.id, sample) for batch in pending(folder, store, settings) for item, sample in batch]
    assert pairs == [(one, s) for one in (first, second, third, fourth) for s in (0, 1) if (one, s) != (first, 0)]
    store.close()


async def test_a_response_counts_only_when_it_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "journal.jsonl", []
    real = os.fdatasync

    def observed(file: int) -> None:
        seen.append(path.read_bytes().count(b"\n"))
        real(file)

    monkeypatch.setattr(os, "fdatasync", observed)
    async with Journal(path) as journal:
        for number in range(3):
            await journal.append(Response(CallKey("a", number), "done", answer="x"))
            assert seen[-1] == number + 1, "its line was written before the sync, and the sync before the return"


async def test_a_new_journal_is_synced_into_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "run" / "journal.jsonl", []
    real = os.fsync

    def observed(file: int) -> None:
        seen.append((Path(f"/proc/self/fd/{file}").resolve(), path.exists()))
        real(file)

    monkeypatch.setattr(os, "fsync", observed)
    await write(path, response("a"))
    assert seen == [(path.parent.resolve(), True)]
    await write(path, response("b"))
    assert len(seen) == 1, "its name is on the disk already"


async def test_a_response_to_other_messages_is_not_found(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    await write(path, response("p", asked="abc"), response("q"))
    index = index_journal(path, lambda _: {})
    assert index.find(CallKey("p", 0, 0), "abc") and index.find(CallKey("p", 0, 0))
    assert index.find(CallKey("p", 0, 0), "other") is None
    assert index.find(CallKey("q", 0, 0), "abc") is None  # it may answer anything
    assert index.find(CallKey("q", 0, 0), "abc", undigested=True)
