"""What must not get lost, be counted twice or go unheard: resumes, early stops, full disks, odd servers."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from starlette import responses

from o1lab.cli.base.progress import exit_status
from o1lab.distill import result_writer, runs
from o1lab.distill.run_directory import RunFolder, TeacherRunStatus
from o1lab.distill.runner import TeacherRunner
from o1lab.errors import LabError, UsageError
from o1lab.inference import journal
from o1lab.inference.calls import CallKey, Response
from o1lab.inference.journal import Journal, JournalError
from o1lab.inference.stream import Piece
from o1lab.inference.transport import Transport
from o1lab.jobs import manage
from o1lab.jobs.control import Control
from o1lab.jobs.worker import Signals
from store import teacher_runs, traces
from store.connection import open_store
from store.filters import TraceQuery
from tests.support.distill_lab import make_lab, resume, run, start
from tests.support.distill_server import DistillServer
from tests.support.jobs import prepared

PRICES = {"input_usd": 1.0, "output_usd": 10.0}


def paid(folder: RunFolder) -> tuple[int, int, float]:
    """What the journal says was paid: every line of it counts."""
    lines = [response for _, response in journal.read(folder.journal)]
    usd = round(sum(one.cost_usd for one in lines), 6)
    return sum(one.input_tokens for one in lines), sum(one.output_tokens for one in lines), usd


def told(status: TeacherRunStatus) -> tuple[int, int, float]:
    return status.input_tokens, status.output_tokens, status.cost_usd


async def test_what_retries_took_is_not_forgotten_by_a_resume(tmp_path: Path) -> None:
    with DistillServer(treat=lambda _, before: "half" if before == 0 else "ok") as server:
        lab = make_lab(tmp_path / "lab", server.url, 3, **PRICES)
        folder, first = await run(lab, stream="always")
        assert first.retries == 3
        again = await resume(lab, folder)
    assert told(first) == told(again) == paid(folder)
    store = open_store(lab.database)
    tally = teacher_runs.tally(store.db, folder.id)
    assert (tally.input_tokens, tally.output_tokens) == paid(folder)[:2]
    store.close()


async def test_what_failed_samples_took_is_counted_once(tmp_path: Path) -> None:
    with DistillServer("half") as server:
        lab = make_lab(tmp_path / "lab", server.url, 3, **PRICES)
        folder, first = await run(lab, stream="always", attempts=2)
        assert (first.failed, told(first)) == (3, paid(folder))
        again = await resume(lab, folder)
        assert (again.failed, told(again)) == (3, paid(folder))
        server.mode = "ok"
        last = await resume(lab, folder)
    assert (last.done, last.failed, told(last)) == (3, 0, paid(folder))


async def test_what_failed_stays_failed_until_it_was_held_again(tmp_path: Path) -> None:
    with DistillServer("500") as server:
        lab = make_lab(tmp_path / "lab", server.url, 3)
        folder, first = await run(lab, attempts=1)
        assert first.failed == 3
        control = Control()
        control.stop("stop")
        again = await TeacherRunner(lab, prepared(runs.TEACHER_RUNS, lab, folder.id), control=control).work()
    assert (again.state, again.done, again.failed) == ("stopped", 0, 3)


async def test_a_count_of_tokens_that_is_none_harms_nothing(tmp_path: Path) -> None:
    with DistillServer() as server:
        whole = server._whole

        def boasting(mode: str, body: dict[str, Any]) -> dict[str, Any]:
            answer = whole(mode, body)
            answer["usage"]["prompt_tokens"] = 10**25
            return answer

        server._whole = boasting  # type: ignore[method-assign]  # its own
        lab = make_lab(tmp_path / "lab", server.url, 2)
        _, status = await run(lab)
    assert (status.state, status.done, status.failed) == ("finished", 2, 0)
    assert 0 < status.input_tokens < 1000


async def test_one_conversation_that_cannot_be_stored_fails_alone(tmp_path: Path) -> None:
    with DistillServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 6)
        folder, status = await run(lab)
        assert status.done == 6
        store = open_store(lab.database)
        with store.db.atomic():
            store.db.conn.execute("DELETE FROM responses WHERE run_id = ?", [folder.id])
        store.close()
        lines = folder.journal.read_text().splitlines()
        lines[0] = lines[0].replace('"input_tokens": 3', f'"input_tokens": {10**25}')
        folder.journal.write_text("\n".join(lines) + "\n")
        status = await resume(lab, folder)
        assert (status.state, status.done, status.failed) == ("finished", 5, 1)
        assert server.asked.total() == 6
    store = open_store(lab.database)
    [reason] = teacher_runs.reasons(store.db, folder.id)
    assert teacher_runs.details(store.db, folder.id)[reason].startswith("internal: OverflowError")
    store.close()


async def test_calls_in_flight_end_when_the_writer_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> object:
        raise RuntimeError("no verifier")

    with DistillServer(treat=lambda *_: "blocks" if server.asked.total() == 1 else "ok") as server:
        lab = make_lab(tmp_path / "lab", server.url, 12)
        folder, control = start(lab, concurrency=4), Control()

        async def release() -> None:
            await control.stopping.wait()
            server.release.set()

        releasing = asyncio.create_task(release())
        monkeypatch.setattr(result_writer.ResultWriter, "write", broken)
        with pytest.raises(RuntimeError, match="no verifier"):
            await TeacherRunner(lab, folder, control=control).work()
        releasing.cancel()
        assert len(list(journal.read(folder.journal))) == server.asked.total()  # no call was given up
        monkeypatch.undo()
        status = await TeacherRunner(lab, prepared(runs.TEACHER_RUNS, lab, folder.id)).work()
    assert (status.done, set(server.asked.values())) == (12, {1})


async def test_who_asks_to_stop_before_the_worker_is_up_is_heard(tmp_path: Path) -> None:
    with DistillServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 6)
        folder = start(lab)
        manage.stop(folder)
        status = await TeacherRunner(lab, folder).work()
        assert (status.state, status.stopped_by, server.asked.total()) == ("stopped", "stop", 0)
        status = await TeacherRunner(lab, prepared(runs.TEACHER_RUNS, lab, folder.id)).work()
    assert (status.state, status.done) == ("finished", 6)


async def test_after_half_a_line_nothing_is_glued_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write = tmp_path / "journal.jsonl", os.write

    def short(file: int, _: object) -> int:
        write(file, b'{"key": "a/0/0", "sta')
        raise OSError(errno.ENOSPC, "No space left on device")

    async with Journal(path) as kept:
        monkeypatch.setattr(os, "write", short)
        with pytest.raises(JournalError, match="No space left"):
            await kept.append(Response(CallKey("a", 0), "done"))
        monkeypatch.undo()
        with pytest.raises(JournalError, match="No space left"):
            await kept.append(Response(CallKey("b", 0), "done"))
    async with Journal(path) as kept:
        await kept.append(Response(CallKey("c", 0), "done"))
    assert [response.key.item for _, response in journal.read(path)] == ["c"]


async def test_a_writer_that_breaks_tells_whoever_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_file: int, _lines: bytes) -> None:
        raise MemoryError

    monkeypatch.setattr(journal, "_append", broken)
    async with Journal(tmp_path / "journal.jsonl") as kept:
        for name in ("a", "b"):
            with pytest.raises(JournalError, match="MemoryError"):
                await asyncio.wait_for(kept.append(Response(CallKey(name, 0), "done")), 20)


def without_price(lab: Any) -> None:
    document = tomlkit.parse(lab.config.read_text("utf-8"))
    for name in PRICES:
        del document["endpoints"][0][name]
    lab.config.write_text(tomlkit.dumps(document), "utf-8")


async def test_a_budget_in_money_needs_a_price_at_a_resume_too(tmp_path: Path) -> None:
    with DistillServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 3, **PRICES)
        asked_with = [start(lab, budget_usd=1.0), start(lab)]
        for folder in asked_with:
            folder.status_file.unlink()
        without_price(lab)
        with pytest.raises(UsageError, match="price"):
            await TeacherRunner(lab, prepared(runs.TEACHER_RUNS, lab, asked_with[0].id)).work()
        with pytest.raises(UsageError, match="price"):
            prepared(runs.TEACHER_RUNS, lab, asked_with[1].id, {"budget_usd": 1.0})
        assert server.asked.total() == 0
        assert asked_with[1].settings().budget_usd is None  # so it can go on without


async def test_a_run_without_its_row_gets_it_before_anything_is_asked(tmp_path: Path) -> None:
    with DistillServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 2)
        folder = start(lab)
        store = open_store(lab.database)
        with store.db.atomic():
            store.db.conn.execute("DELETE FROM teacher_runs")
        status = await TeacherRunner(lab, folder).work()
        assert (status.state, status.done) == ("finished", 2)
        [row] = teacher_runs.all_runs(store.db)
        store.close()
    assert (row.id, row.dir, row.model, row.prompt) == (folder.id, f"distill/{folder.id}", "m", "long-thought@1")


async def test_an_answer_nested_too_deep_is_kept_and_ends_no_run(tmp_path: Path) -> None:
    with DistillServer() as server:
        server._bodily = lambda *_: responses.Response("[" * 100_000, media_type="application/json")  # type: ignore[method-assign]  # its own
        lab = make_lab(tmp_path / "lab", server.url, 1)
        folder, status = await run(lab, attempts=1)
    assert (status.state, status.failed, status.faults) == ("finished", 1, {"malformed": 1})
    [(_, response)] = journal.read(folder.journal)
    assert response.raw.startswith("[[[")


async def test_an_error_nobody_thought_of_keeps_what_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = Transport._pieces

    async def reset(self: Transport, *args: Any) -> AsyncIterator[Piece]:
        async for piece in pieces(self, *args):
            yield piece
        raise ConnectionResetError("the peer is gone")

    monkeypatch.setattr(Transport, "_pieces", reset)
    with DistillServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 1)
        folder, status = await run(lab, attempts=1, stream="always")
    assert (status.state, status.failed, status.faults) == ("finished", 1, {"malformed": 1})
    [(_, response)] = journal.read(folder.journal)
    assert "\\boxed{" in response.answer


async def test_a_disk_that_takes_nothing_at_all_is_said_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with DistillServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 3)
        folder = start(lab)
        monkeypatch.setattr(journal, "_append", full)
        with monkeypatch.context() as disk:
            disk.setattr(RunFolder, "write_status", full)
            with pytest.raises(LabError, match="No space left"):
                await TeacherRunner(lab, folder).work()
        monkeypatch.undo()
        status = await TeacherRunner(lab, prepared(runs.TEACHER_RUNS, lab, folder.id)).work()
    assert (status.state, status.done) == ("finished", 3)


def test_a_second_ctrl_c_gives_up_and_a_closing_terminal_does_not() -> None:
    interrupt, hang_up, end = signal.SIGINT, signal.SIGHUP, signal.SIGTERM
    for signals_seen, second in {
        ((interrupt, 0.0), (interrupt, 0.1)): True,
        ((hang_up, 0.0), (end, 0.1), (hang_up, 0.2)): False,
        ((hang_up, 0.0), (interrupt, 0.1)): True,
        ((end, 0.0), (end, 10.0)): True,
    }.items():
        signals = Signals()
        assert [signals.is_second(number, at) for number, at in signals_seen] == [False] * (len(signals_seen) - 1) + [
            second
        ]


WRONG = {
    "Invalid value: 'hgih'. Supported values are: 'low', 'medium', and 'high'.": "invalid_value",
    "Unsupported value: 'hgih' is not supported with the 'm' model. Supported values are: 'low'.": "unsupported_value",
    "reasoning_effort must be one of low, high": None,
}


@pytest.mark.parametrize("message", WRONG)
async def test_a_wrong_value_ends_the_run_instead_of_being_left_out(message: str, tmp_path: Path) -> None:
    error = {"message": message, "param": "reasoning_effort", "code": WRONG[message]}
    with DistillServer() as server:
        server._refusal = lambda *_: responses.JSONResponse({"error": error}, 400)  # type: ignore[method-assign]  # its own
        lab = make_lab(tmp_path / "lab", server.url, 9)
        _, status = await run(lab, reasoning_effort="hgih", concurrency=1)
        assert len(server.requests) == 1
    assert (status.state, status.stopped_by, status.notes) == ("stopped", "option", [])
    assert message[:40] in status.message


async def test_files_that_a_run_needs_are_on_the_disk_before_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(file: int) -> None:
        steps.append("fsync " + Path(f"/proc/self/fd/{file}").resolve().name)
        fsync(file)

    def replaced(source: Path, to: Path) -> Path:
        steps.append("replace " + to.name)
        return replace(source, to)

    with DistillServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 1)
        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(Path, "replace", replaced)
        folder, _ = await run(lab)
    for name in ("settings.json", "prompts.json", "items.txt"):
        at = steps.index(f"replace {name}")
        assert steps[at - 1].startswith(f"fsync .{name}.")
        assert steps[at + 1] == f"fsync {folder.id}"
    assert "replace status.json" in steps


INSIDE = {
    402: ("quota", "stopped"),
    "402": ("quota", "stopped"),
    "insufficient_quota": ("quota", "stopped"),
    "context_length_exceeded": ("context_length", "finished"),
    529: ("server", "finished"),
    "overloaded_error": ("server", "finished"),
}


@pytest.mark.parametrize("code", INSIDE)
@pytest.mark.parametrize("stream", ["never", "always"])
async def test_an_error_inside_a_good_status_is_what_its_code_says(
    code: int | str, stream: str, tmp_path: Path
) -> None:
    fault, state = INSIDE[code]
    body = json.dumps({"error": {"message": "No.", "code": code}})
    with DistillServer() as server:
        server._bodily = lambda *_: responses.Response(body)  # type: ignore[method-assign]  # its own

        async def streamed(*_: object) -> AsyncIterator[str]:
            yield f"data: {body}\n\n"

        server._stream = streamed  # type: ignore[method-assign,assignment]  # its own
        lab = make_lab(tmp_path / "lab", server.url, 1)
        folder, status = await run(lab, stream=stream, attempts=1)
    assert (status.state, status.faults) == (state, {fault: 1})
    [(_, response)] = journal.read(folder.journal)
    assert response.fault is not None
    assert response.fault.sentence[0].isupper()


@pytest.mark.parametrize("end", ["data: [DONE]\n\n", 'data: {"choices": [], "usage": {"completion_tokens": 4}}\n\n'])
async def test_an_answer_without_a_finish_reason_is_an_incomplete_trace(end: str, tmp_path: Path) -> None:
    with DistillServer() as server:

        async def streamed(*_: object) -> AsyncIterator[str]:
            yield 'data: {"choices": [{"delta": {"content": "<think>\\na\\n</think>\\n\\n\\\\boxed{207}"}}]}\n\n'
            yield end

        server._stream = streamed  # type: ignore[method-assign,assignment]  # its own
        lab = make_lab(tmp_path / "lab", server.url, 1)
        folder, status = await run(lab, stream="always", attempts=2)
        assert len(server.requests) == 2
    assert (status.done, status.failed, status.faults) == (0, 1, {"cut_off": 2})
    _, response = next(journal.read(folder.journal))
    assert response.fault is not None
    assert (response.state, response.finish_reason) == ("partial", "")
    assert ("without a finish reason" in response.fault.sentence) == ("[DONE]" in end)
    store = open_store(lab.database)
    [trace] = traces.page(store.db, TraceQuery())
    assert (trace.complete, trace.verdict) == (False, "correct")
    store.close()


def test_a_wrong_option_is_a_fault_of_usage() -> None:
    assert exit_status("option", 0) == 2
