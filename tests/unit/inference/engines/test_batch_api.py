"""The Batch API engine against a server that speaks it: the same rows as the local engine, whatever the server does."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from o1lab.distill.run_directory import RunFolder, TeacherRunStatus
from o1lab.distill.runner import TeacherRunner
from o1lab.errors import LabError, UsageError
from o1lab.inference import journal
from o1lab.inference.calls import CallKey
from o1lab.inference.engines import batch_parts
from o1lab.inference.engines.batch_parts import Part, Parts, answer_lines
from o1lab.inference.limits import most_tokens
from o1lab.inference.prompts import find_prompt
from o1lab.jobs.control import Control
from o1lab.paths import Lab
from store import open_store
from tests.support.batch_server import BatchServer
from tests.support.distill_lab import KEY_ENV, FakeClock, make_lab, resume, run, start
from tests.support.distill_server import Question


def rows(lab: Lab, run_id: str) -> tuple[set[tuple[Any, ...]], set[tuple[Any, ...]]]:
    """A run's outcomes, and the lab's traces, as far as they do not depend on when and how they were asked for."""
    store = open_store(lab.database)
    outcomes = store.db.execute(
        "SELECT item, sample, state, reason, trace_id, input_tokens, output_tokens FROM responses WHERE run_id = ?",
        [run_id],
    ).fetchall()
    columns = "id, problem_id, model, verdict, complete, tokens, synthesis"
    traces = store.db.execute(f"SELECT {columns} FROM traces").fetchall()  # noqa: S608 - a constant
    store.close()
    return set(outcomes), set(traces)


async def both(
    tmp_path: Path, server: BatchServer, number: int = 7, **settings: Any
) -> tuple[Lab, RunFolder, TeacherRunStatus]:
    """Run through the Batch API, and see that the local engine makes the same of it."""
    batch = make_lab(tmp_path / "batch", server.url, number)
    folder, status = await run(batch, engine="batch", **settings)
    asked, server.treat = server.asked.copy(), None
    local = make_lab(tmp_path / "local", server.url, number)
    other, _ = await run(local, engine="local", **settings)
    server.asked = asked
    assert rows(batch, folder.id) == rows(local, other.id)
    return batch, folder, status


async def test_the_same_rows_as_the_local_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_parts, "MAX_REQUESTS", 5)
    with BatchServer() as server:
        _, folder, status = await both(tmp_path, server, n=2)
    assert (status.state, status.done, status.failed) == ("finished", 14, 0)
    assert len(rows(Lab(tmp_path / "batch"), folder.id)[0]) == 14
    # The first call goes directly: thirteen are left for three batches.
    assert [len(batch.lines) for batch in server.batches] == [5, 5, 3]
    assert set(server.asked.values()) == {1}
    assert server.batches[0].body["metadata"]["o1lab_run"] == folder.id
    assert not list((folder.path / "batches").iterdir()), "what was taken in is gone"
    assert {part["state"] for part in json.loads((folder.path / "batches.json").read_text())["parts"]} == {"taken"}
    body = server.batches[0].lines[0]["body"]
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("m", 64, 0.6)


async def test_the_size_of_a_file_is_kept_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_parts, "MAX_BYTES", 1_000)
    with BatchServer() as server:
        _, status = await run(make_lab(tmp_path / "lab", server.url, 9), engine="batch")
    assert status.done == 9
    assert len(server.uploads) > 1
    assert all(len(upload) <= 1_000 for upload in server.uploads.values())


async def test_a_transient_failure_is_repeated(tmp_path: Path) -> None:
    def treat(question: Question, before: int) -> str:
        return {103: "500", 104: "429", 105: "429-no-wait"}.get(question[0], "ok") if before == 0 else "ok"

    with BatchServer(treat=treat) as server:
        _, folder, status = await both(tmp_path, server)
    assert (status.done, status.failed, status.retries) == (7, 0, 3)
    assert status.faults == {"server": 1, "rate_limit": 2}
    assert [len(batch.lines) for batch in server.batches] == [6, 3]
    assert sorted(server.asked.values()) == [1, 1, 1, 1, 2, 2, 2]
    kept = {response.fault.code: response for _, response in journal.read(folder.journal) if response.fault}
    assert "The server had an error." in kept["server"].raw
    assert kept["server"].status == 500


async def test_a_permanent_failure_is_kept_and_not_repeated(tmp_path: Path) -> None:
    modes = {102: "context", 103: "moderated", 104: "500"}
    with BatchServer(treat=lambda question, before: modes.get(question[0], "ok")) as server:
        lab = make_lab(tmp_path / "lab", server.url, 6)
        folder, status = await run(lab, engine="batch", attempts=2)
        assert (status.done, status.failed) == (3, 3)
        assert status.faults == {"context_length": 1, "content_filter": 1, "server": 2}
        reasons = {outcome[3] for outcome in rows(lab, folder.id)[0]}
        assert reasons == {"", "context_length", "content_filter", "server"}
        server.treat = None
        again = await resume(lab, folder)
    assert (again.done, again.failed) == (4, 2), "only the server's own failure is worth another session"
    assert server.asked[102, 109, 42] == server.asked[103, 110, 42] == 1


async def test_an_expired_batch_is_taken_as_far_as_it_came(tmp_path: Path) -> None:
    with BatchServer(end=lambda number: "expired" if number < 2 else "completed") as server:
        _, _, status = await both(tmp_path, server, number=9)
    assert (status.done, status.failed) == (9, 0)
    assert [len(batch.lines) for batch in server.batches] == [8, 4, 2]
    assert set(server.asked.values()) == {1}
    assert status.faults == {"expired": 6}


async def test_batches_that_always_expire_end_after_the_attempts(tmp_path: Path) -> None:
    with BatchServer(end=lambda number: "expired") as server:
        _, status = await run(make_lab(tmp_path / "lab", server.url, 3), engine="batch", attempts=2)
    assert (status.state, status.done, status.failed) == ("finished", 2, 1)
    assert [len(batch.lines) for batch in server.batches] == [2, 1]


async def test_requests_without_a_result_are_repeated(tmp_path: Path) -> None:
    with BatchServer(end=lambda number: "silent" if number == 0 else "completed") as server:
        _, _, status = await both(tmp_path, server)
    assert (status.done, status.faults) == (7, {"missing": 3})


async def test_a_parameter_that_is_refused_is_left_out(tmp_path: Path) -> None:
    # The first call already finds it out, so the batch is asked without it.
    with BatchServer(treat=lambda question, before: "no-temperature") as server:
        _, folder, status = await both(tmp_path, server)
        assert "temperature" not in server.batches[0].lines[0]["body"]
    assert status.done == 7
    assert [response.fault for _, response in journal.read(folder.journal)] == [None] * 7


async def test_a_parameter_that_only_batches_refuse_is_left_out_of_the_next(tmp_path: Path) -> None:
    def treat(question: Question, before: int) -> str:
        return "ok" if question[0] == 100 else "no-temperature"

    with BatchServer(treat=treat) as server:
        _, folder, status = await both(tmp_path, server)
        bodies = [batch.lines[0]["body"] for batch in server.batches]
    assert ["temperature" in body for body in bodies] == [True, False]
    assert (status.done, status.retries) == (7, 0)
    assert json.loads((folder.path / "batches.json").read_text())["dropped"] == ["temperature"]


async def test_a_server_that_is_away_for_a_while_is_waited_for(tmp_path: Path) -> None:
    with BatchServer() as server:
        server.troubles.update(upload=2, create=2, list=1, retrieve=3, content=2, created=1)
        _, _, status = await both(tmp_path, server)
    assert status.done == 7
    assert len(server.batches) == 1, "a creation that only seemed to fail is found, not made again"


async def test_a_full_queue_is_waited_for_and_what_is_too_large_for_it_is_halved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_parts, "MAX_REQUESTS", 4)
    # The second does not get in beside the first, and alone it is too large still.
    with BatchServer(end=lambda number: "queue" if number in (1, 2) else "completed") as server:
        _, _, status = await both(tmp_path, server, number=9)
    assert status.done == 9
    assert [len(batch.lines) for batch in server.batches] == [4, 4, 4, 2, 2]
    assert set(server.asked.values()) == {1}


async def test_a_batch_that_is_not_accepted_stops_the_run(tmp_path: Path) -> None:
    with BatchServer(end=lambda number: "failed" if number == 0 else "completed") as server:
        lab = make_lab(tmp_path / "lab", server.url, 4)
        folder, status = await run(lab, engine="batch")
        assert (status.state, status.stopped_by, status.done) == ("stopped", "failures", 1)
        assert "no such model" in status.message
        again = await resume(lab, folder)
    assert (again.state, again.done) == ("finished", 4)
    assert set(server.asked.values()) == {1}


async def test_a_wrong_key_stops_the_run_before_anything_is_uploaded(tmp_path: Path) -> None:
    with BatchServer(treat=lambda question, before: "401") as server:
        _, status = await run(make_lab(tmp_path / "lab", server.url, 4), engine="batch")
    assert (status.state, status.stopped_by) == ("stopped", "key")
    assert not server.uploads


async def test_a_server_without_a_batch_api_is_an_error(tmp_path: Path) -> None:
    from tests.support.distill_server import DistillServer

    with DistillServer() as server:
        _, status = await run(make_lab(tmp_path / "lab", server.url, 4), engine="batch")
    assert (status.state, status.stopped_by, status.done) == ("stopped", "failures", 1)
    assert "no Batch API" in status.message
    assert not status.notes, "no batch is left at a server that has none"


async def test_money_counts_at_the_discount_and_a_budget_is_never_exceeded(tmp_path: Path) -> None:
    with BatchServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 8, input_usd=0.0, output_usd=1_000.0, batch_discount=0.5)
        # At its worst a request takes 10 tokens: a cent at once, half a cent in a batch; it takes 5.
        folder, status = await run(lab, engine="batch", max_tokens=10, budget_usd=0.022)
        assert status.cost_usd == pytest.approx(0.005 + 5 * 0.0025)
        assert (status.state, status.stopped_by, status.done) == ("stopped", "budget_usd", 6)
        # 0.022 - 0.005 leaves room for three, then 0.0095 and 0.007 for one each.
        assert [len(batch.lines) for batch in server.batches] == [3, 1, 1]
        again = await resume(lab, folder, {"budget_usd": 1.0})
    assert (again.state, again.done) == ("finished", 8)
    assert set(server.asked.values()) == {1}


async def test_a_budget_of_tokens_holds_whatever_tokenizer_the_server_has(tmp_path: Path) -> None:
    messages = find_prompt(None, "long-thought").fill({"statement": "What is 100 + 107?"})
    worst = most_tokens(messages) + 10
    with BatchServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 8)
        _, status = await run(lab, engine="batch", max_tokens=10, budget_tokens=8 + 3 * worst)
    assert status.done == 8
    # The first call took 8 tokens: three more fit at their worst, and so on with what those took.
    assert [len(batch.lines) for batch in server.batches] == [3, 2, 2]


async def test_a_stop_cancels_the_batches_and_takes_in_what_they_came_to(tmp_path: Path) -> None:
    control = Control()

    class StopAtWork(FakeClock):
        async def wait(self, event: Any, seconds: float) -> bool:
            if server.batches and server.batches[0].status == "in_progress":
                control.stop("stop", "asked to")
            return await super().wait(event, seconds)

    with BatchServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 9)
        folder = start(lab, engine="batch")
        status = await TeacherRunner(lab, folder, control=control, clock=StopAtWork()).work()
        assert server.cancelled == ["batch-0"]
        assert (status.state, status.stopped_by, status.done, status.failed) == ("stopped", "stop", 5, 0)
        again = await resume(lab, folder)
    assert (again.state, again.done) == ("finished", 9)
    assert set(server.asked.values()) == {1}


async def test_results_that_were_half_taken_in_are_not_journalled_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the process had died between the journal and the note that the part is done with."""
    with BatchServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 6)
        folder = start(lab, engine="batch")
        with monkeypatch.context() as broken, pytest.raises(LabError, match="No space"):
            broken.setattr(Parts, "done_with", _no_space)
            await TeacherRunner(lab, folder, clock=FakeClock()).work()
        assert len(list(journal.read(folder.journal))) == 6
        status = await resume(lab, folder)
    assert (status.state, status.done) == ("finished", 6)
    assert (status.input_tokens, status.output_tokens) == (6 * 3, 6 * 5)
    assert len(list(journal.read(folder.journal))) == 6
    assert len(server.batches) == 1


def _no_space(*_: object) -> None:
    raise OSError(28, "No space left on device")


async def test_the_status_has_the_progress_of_the_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_parts, "MAX_REQUESTS", 6)
    monkeypatch.setattr("o1lab.jobs.runner.STATUS_S", 0)
    seen: list[str] = []
    with BatchServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 13)
        await TeacherRunner(
            lab, start(lab, engine="batch"), watch=lambda s: seen.append(s.message), clock=FakeClock()
        ).work()
    assert "batches 1 to 2 of 2: 6 of 12 done" in seen


def test_methods_of_several_calls_are_refused(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab", "http://127.0.0.1:1/v1", 2)
    with pytest.raises(UsageError, match="sends all calls at once"):
        start(lab, engine="batch", method="debate")
    assert not list(lab.distill.glob("*"))


def test_lines_that_are_none_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_bytes(b'{"custom_id": "a"}\n{half\n[1]\n\xff\n{"custom_id": "b"}')
    assert [line["custom_id"] for line in answer_lines(path)] == ["a", "b"]


def test_requests_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    with parts.begin([]) as writer:
        path = parts.file(writer.part)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700  # result files are downloaded into it


async def test_a_key_of_a_letter_is_not_looked_for_in_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_ENV, "e")
    with BatchServer(treat=lambda question, before: "context" if question[0] == 102 else "ok") as server:
        folder, _ = await run(make_lab(tmp_path / "lab", server.url, 3, key_env=KEY_ENV), engine="batch")
    [failed] = [response for _, response in journal.read(folder.journal) if response.fault]
    assert '"error"' in failed.raw


def test_halves_hold_what_the_whole_held(tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    with parts.begin(["seed"]) as writer:
        for number in range(5):
            body = {"messages": [{"role": "user", "content": "x" * 8}]}
            writer.put(batch_parts.request_line(CallKey("i", number), body), 10, 0.1)
    parts.add(writer.part)
    halves = parts.halves(writer.part)
    again = Parts(tmp_path)
    assert [part.requests for part in again.open] == [2, 3]
    assert sum(part.worst_tokens for part in halves) == 50
    asked = {**again.asked(again.open[0]), **again.asked(again.open[1])}
    assert asked == {CallKey("i", number): 2 for number in range(5)}
    assert isinstance(again.open[0], Part)
    assert len({part.digest for part in halves}) == 2


def test_the_lines_of_a_part_are_synced_before_it_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts, synced = Parts(tmp_path), {}
    real = os.fsync

    def observed(file: int) -> None:
        path = Path(f"/proc/self/fd/{file}").resolve()
        synced[path] = path.read_bytes() if path.is_file() else b""
        real(file)

    monkeypatch.setattr(os, "fsync", observed)
    with parts.begin([]) as writer:
        writer.put(b"a line\n", 1, 0.0)
    file = parts.file(writer.part)
    assert synced[file] == file.read_bytes() == b"a line\n"
    assert not (tmp_path / "batches.json").exists()
    parts.add(writer.part)
    assert tmp_path.resolve() in synced, "the list of parts has its name on the disk"
