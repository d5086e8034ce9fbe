"""What a teacher's server can do to a run: every fault is counted, kept, and asked again only where that can help."""

from __future__ import annotations

import asyncio
import errno
import re
from pathlib import Path
from typing import Any

import pytest

from o1lab.config import init_lab
from o1lab.distill import runs
from o1lab.distill.run_directory import RunFolder
from o1lab.distill.runner import TeacherRunner
from o1lab.errors import LabError, UsageError
from o1lab.inference import journal
from o1lab.inference.backend import CallContext
from o1lab.inference.calls import RAW_LIMIT, CallKey
from o1lab.inference.client import CompletionClient
from o1lab.inference.journal import Journal
from o1lab.inference.limits import Budget, Limits
from o1lab.inference.models import ModelClient, open_models
from o1lab.inference.settings import RequestSettings
from o1lab.jobs import manage
from o1lab.jobs.control import Control
from o1lab.jobs.progress import Counts
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import ModelRef
from store import problems, teacher_runs, traces
from store.connection import open_store
from store.filters import ProblemQuery, TraceQuery
from store.records import NewProblem
from tests.support.distill_lab import KEY_ENV, FakeClock, make_lab, resume, run, start
from tests.support.distill_server import DistillServer, Question
from tests.support.fault_server import THOUGHT
from tests.support.jobs import prepared
from tests.support.lab_seed import trace_of

KEY = "sk-very-secret-0123456789"


def responses(folder: RunFolder) -> list[journal.Response]:
    return [response for _, response in journal.read(folder.journal)]


async def test_a_run_becomes_traces_with_verdicts_and_where_they_came_from(tmp_path: Path) -> None:
    with DistillServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 6, input_usd=1.0, output_usd=10.0, licence="CC-BY-4.0")
        folder, status = await run(lab, n=2, temperature=0.5, top_p=0.9, seed=7)
    assert (status.state, status.requested, status.done, status.failed) == ("finished", 12, 12, 0)
    assert (status.correct, status.incorrect) == (8, 4)
    assert (status.input_tokens, status.output_tokens) == (12 * 3, 12 * 5)
    assert status.cost_usd == pytest.approx((12 * 3 * 1 + 12 * 5 * 10) / 1e6)
    assert status.priced
    assert set(server.asked.values()) == {1}
    assert {seed for _, _, seed in server.asked} == {7, 8}
    store = open_store(lab.database)
    found = traces.page(store.db, TraceQuery())
    # Both samples of a problem say the same here, so they are one trace.
    assert len(found) == 6
    assert {(one.source, one.synthesis, one.model, one.licence, one.tokens) for one in found} == {
        (f"distill/{folder.id}", "distilled", "m", "CC-BY-4.0", 5)
    }
    assert sorted(one.verdict or "" for one in found) == ["correct"] * 4 + ["incorrect"] * 2
    meta = traces.text(store.db, found[0].id).meta
    assert meta["teacher_run"] == folder.id
    assert meta["prompts"]["prompt"]["prompt"] == "long-thought@1"
    assert meta["sampling"]["temperature"] == 0.5
    assert meta["usage"] == {"input_tokens": 3, "output_tokens": 5, "thought_tokens": None, "estimated": False}
    assert (meta["served_model"], meta["finish_reason"], meta["hidden_thoughts"]) == ("m", "stop", False)
    tally = teacher_runs.tally(store.db, folder.id)
    assert (tally.done, tally.correct, tally.output_tokens) == (12, 8, 60)
    store.close()


# mode, streamed: (requests a sample with two attempts, fault, what becomes of the sample, a word of the raw response)
FAULTS: dict[tuple[str, bool], tuple[int, str, str]] = {
    ("500", False): (2, "server", "had an error"),
    ("html", False): (2, "server", "502 Bad Gateway"),
    ("html-200", False): (1, "not_api", "Sign in"),
    ("html-200", True): (1, "not_api", "Sign in"),
    ("context", False): (1, "context_length", "maximum context length"),
    ("context", True): (1, "context_length", "maximum context length"),
    ("moderated", False): (1, "content_filter", "content policy"),
    ("content-filter", False): (1, "content_filter", "content_filter"),
    ("refusal", False): (1, "refusal", "I cannot help"),
    ("hidden-length", False): (1, "length", "reasoning_tokens"),
    ("empty-choices", False): (2, "empty", '"choices":[]'),
    ("empty-choices", True): (2, "empty", ""),
    ("no-answer", False): (2, "empty", "assistant"),
    ("malformed", False): (2, "malformed", '{"choices": [{"mess'),
    ("malformed", True): (2, "malformed", "this is not json"),
    ("not-json", False): (2, "malformed", "upstream went away"),
    ("error-200", False): (2, "server", "overloaded"),
    ("error-in-stream", True): (2, "server", "CUDA out of memory"),
    ("half", True): (2, "cut_off", ""),
    ("cut", True): (2, "cut_off", ""),
}


@pytest.mark.parametrize(("mode", "streamed"), FAULTS)
async def test_an_error_is_counted_kept_and_repeated_only_if_that_can_help(
    mode: str, streamed: bool, tmp_path: Path
) -> None:
    requests, code, raw = FAULTS[mode, streamed]
    with DistillServer(mode) as server:
        lab = make_lab(tmp_path / "lab", server.url, 1)
        folder, status = await run(lab, attempts=2, stream="always" if streamed else "never")
    assert len(server.requests) == requests
    assert (status.state, status.done, status.failed) == ("finished", 0, 1)
    assert status.faults == {code: requests}
    kept = responses(folder)
    assert [one.fault.code for one in kept if one.fault] == [code] * requests
    assert all(raw in one.raw for one in kept)
    store = open_store(lab.database)
    assert teacher_runs.reasons(store.db, folder.id) == {code: 1}
    store.close()
    shown = folder.faults()
    assert [(one.code, one.number) for one in shown] == [(code, requests)]
    assert shown[0].sentence


@pytest.mark.parametrize("mode", ["half", "cut", "malformed", "error-in-stream"])
async def test_a_cut_stream_keeps_what_came_as_an_incomplete_trace(mode: str, tmp_path: Path) -> None:
    with DistillServer(mode) as server:
        lab = make_lab(tmp_path / "lab", server.url, 1)
        folder, status = await run(lab, attempts=2, stream="always")
    assert status.failed == 1
    assert [one.state for one in responses(folder)] == ["partial", "partial"]
    assert status.output_tokens > 0  # what came is paid for, so it counts
    store = open_store(lab.database)
    [trace] = traces.page(store.db, TraceQuery())
    text = traces.text(store.db, trace.id)
    assert not trace.complete
    assert "100 and 107: " in text.raw
    assert text.meta["usage"]["estimated"]
    store.close()


async def test_a_cut_stream_is_repeated_and_the_whole_answer_counts(tmp_path: Path) -> None:
    def once(_: Question, before: int) -> str:
        return "half" if before == 0 else "ok"

    with DistillServer(treat=once) as server:
        lab = make_lab(tmp_path / "lab", server.url, 3)
        folder, status = await run(lab, stream="always")
    assert (status.state, status.done, status.failed, status.retries) == ("finished", 3, 0, 3)
    assert sorted(one.state for one in responses(folder)) == ["done"] * 3 + ["partial"] * 3
    store = open_store(lab.database)
    assert all(one.complete for one in traces.page(store.db, TraceQuery()))
    store.close()


@pytest.mark.parametrize("mode", ["hang", "gated"])
async def test_a_server_that_hangs_is_given_up(mode: str, tmp_path: Path) -> None:
    with DistillServer(mode) as server:
        lab = make_lab(tmp_path / "lab", server.url, 1)
        stream = "always" if mode == "gated" else "never"
        folder, status = await run(lab, attempts=2, stream=stream, silence_timeout_s=0.3)
        assert len(server.requests) == 2
    assert status.faults == {"timeout": 2}
    assert [one.state for one in responses(folder)] == [("partial" if mode == "gated" else "failed")] * 2


@pytest.mark.parametrize("of_endpoint", [False, True])
async def test_the_limit_before_the_first_token_is_a_setting_of_the_run_or_of_the_endpoint(
    of_endpoint: bool, tmp_path: Path
) -> None:
    with DistillServer("hang") as server:
        lab = make_lab(tmp_path / "lab", server.url, 1)
        chosen: dict[str, Any] = {} if of_endpoint else {"first_token_timeout_s": 0.3}
        if of_endpoint:
            first = "\n[[endpoints]]\n"
            lab.config.write_text(lab.config.read_text().replace(first, f"{first}first_token_timeout_s = 0.3\n"))
        _, status = await run(lab, attempts=2, stream="always", **chosen)  # the silence may last 600 s
    assert status.faults == {"timeout": 2}


async def test_a_response_that_is_not_streamed_has_no_first_token(tmp_path: Path) -> None:
    with DistillServer("ok", latency_s=0.5) as server:
        lab = make_lab(tmp_path / "lab", server.url, 1)
        _, status = await run(lab, attempts=1, stream="never", first_token_timeout_s=0.1)
    assert (status.done, status.faults) == (1, {})


@pytest.mark.parametrize(("mode", "reason"), [("401", "key"), ("quota", "quota"), ("404", "no_model")])
async def test_what_every_call_would_meet_ends_the_run_and_a_resume_asks_again(
    mode: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_ENV, KEY)
    with DistillServer(mode) as server:
        lab = make_lab(tmp_path / "lab", server.url, 30, key_env=KEY_ENV)
        folder, status = await run(lab)
        assert (status.state, status.stopped_by, status.done, status.failed) == ("stopped", reason, 0, 0)
        assert 1 <= len(server.requests) <= 4  # those that were in flight together
        assert status.message
        assert status.faults[reason] == len(server.requests)
        server.mode = "ok"
        status = await resume(lab, folder)
    assert (status.state, status.stopped_by, status.done) == ("finished", None, 30)
    everything = b"".join(path.read_bytes() for path in lab.root.rglob("*") if path.is_file())
    assert KEY.encode() not in everything


async def test_a_missing_key_is_reported_before_a_run_is_created(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab", "http://127.0.0.1:9/v1", 1, key_env=KEY_ENV)
    with pytest.raises(LabError, match="key"):
        start(lab)
    assert not list(lab.distill.glob("*"))


@pytest.mark.parametrize(("mode", "wait"), [("429", 7.0), ("429-ms", 1.5), ("429-date", 9.0)])
async def test_all_calls_wait_as_long_as_the_server_asks(mode: str, wait: float, tmp_path: Path) -> None:
    clock = FakeClock()
    slowed: list[Question] = []

    def first(question: Question, before: int) -> str:
        if not slowed or (question in slowed and before == 0):
            slowed.append(question)
            return mode
        return "ok"

    with DistillServer(treat=first) as server:
        lab = make_lab(tmp_path / "lab", server.url, 5)
        folder, status = await run(lab, clock, concurrency=1)
    assert (status.done, status.failed, status.retries) == (5, 0, 1)
    assert clock.waits == [pytest.approx(wait)]
    assert [one.fault.code for one in responses(folder) if one.fault] == ["rate_limit"]


async def test_a_request_to_slow_down_is_not_a_failure_of_the_call(tmp_path: Path) -> None:
    with DistillServer(treat=lambda _, before: "429-no-wait" if before < 8 else "ok") as server:
        lab = make_lab(tmp_path / "lab", server.url, 1)
        _, status = await run(lab, attempts=2)
    assert (status.done, status.retries) == (1, 8)


async def test_retries_wait_longer_each_time(tmp_path: Path) -> None:
    clock = FakeClock()
    with DistillServer("500") as server:
        lab = make_lab(tmp_path / "lab", server.url, 1)
        await run(lab, clock, attempts=4)
    assert len(clock.waits) == 3
    assert all(2**i / 2 <= wait <= 2**i for i, wait in enumerate(clock.waits))


async def test_a_server_that_answers_no_call_stops_the_run(tmp_path: Path) -> None:
    with DistillServer("500") as server:
        lab = make_lab(tmp_path / "lab", server.url, 60)
        folder, status = await run(lab, attempts=1, concurrency=2)
        assert (status.state, status.stopped_by) == ("stopped", "failures")
        assert 20 <= len(server.requests) <= 22
        server.mode = "ok"
        status = await resume(lab, folder)
    assert (status.done, status.failed) == (60, 0)


async def test_a_resume_does_not_repeat_permanent_failures(tmp_path: Path) -> None:
    with DistillServer("context") as server:
        lab = make_lab(tmp_path / "lab", server.url, 2)
        folder, _ = await run(lab)
        server.mode = "ok"
        status = await resume(lab, folder)
        assert len(server.requests) == 2
    assert (status.done, status.failed) == (0, 2)


@pytest.mark.parametrize(
    ("mode", "left_out"), [("no-temperature", "temperature"), ("only-max-completion-tokens", "max_tokens")]
)
async def test_options_that_a_server_refuses_are_omitted_with_a_note(mode: str, left_out: str, tmp_path: Path) -> None:
    with DistillServer(mode) as server:
        lab = make_lab(tmp_path / "lab", server.url, 8)
        _, status = await run(lab, concurrency=1)
    assert status.done == 8
    assert len(server.requests) == 9  # it is learned once
    assert left_out not in server.requests[-1]
    assert ("max_completion_tokens" in server.requests[-1]) == (left_out == "max_tokens")
    assert any(left_out in note for note in status.notes)
    store = open_store(lab.database)
    [trace] = traces.page(store.db, TraceQuery(), limit=1)
    assert left_out not in traces.text(store.db, trace.id).meta["sampling"]
    store.close()


@pytest.mark.parametrize("stream", ["always", "never"])
async def test_thoughts_sent_apart_are_joined(stream: str, tmp_path: Path) -> None:
    with DistillServer("reasoning") as server:
        lab = make_lab(tmp_path / "lab", server.url, 1)
        await run(lab, stream=stream)
    store = open_store(lab.database)
    [trace] = traces.page(store.db, TraceQuery())
    assert traces.text(store.db, trace.id).raw.startswith("<think>\n" + "".join(THOUGHT) + "\n\n100 and 107: ")
    store.close()


async def test_hidden_thoughts_are_recorded_as_such(tmp_path: Path) -> None:
    with DistillServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 1, hidden_thoughts=True)
        await run(lab)
        assert "whole exploration" in server.requests[0]["messages"][-1]["content"]
    store = open_store(lab.database)
    [trace] = traces.page(store.db, TraceQuery())
    assert traces.text(store.db, trace.id).meta["hidden_thoughts"] is True
    store.close()


async def test_long_answers_are_streamed_and_short_ones_are_not(tmp_path: Path) -> None:
    with DistillServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 1)
        await run(lab, max_tokens=4096)
        await run(lab, max_tokens=4097)
    assert [bool(body.get("stream")) for body in server.requests] == [False, True]


async def test_never_more_calls_at_once_than_allowed(tmp_path: Path) -> None:
    with DistillServer(latency_s=0.02) as server:
        lab = make_lab(tmp_path / "lab", server.url, 20)
        await run(lab, concurrency=3)
    assert server.most_at_once <= 3
    assert server.asked.total() == 20


async def test_as_many_calls_at_once_as_allowed(tmp_path: Path) -> None:
    with DistillServer("blocks") as server:
        lab = make_lab(tmp_path / "lab", server.url, 150)
        task = asyncio.create_task(run(lab, concurrency=150))
        await asyncio.to_thread(server.wait_until_asked, 150)
        server.release.set()
        _, status = await task
    assert (server.most_at_once, status.done) == (150, 150)


@pytest.mark.parametrize(
    ("budget", "allowed"),
    # A call takes at most its prompt (106 bytes, 32 for a template) and 64; in reality 3 and 5.
    [({"budget_tokens": 250}, range(6, 12)), ({"budget_usd": 0.001}, range(4, 8)), ({"budget_tokens": 150}, range(1))],
)
async def test_a_budget_is_never_exceeded_and_a_larger_one_continues(
    budget: dict[str, float], allowed: range, tmp_path: Path
) -> None:
    with DistillServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 20, input_usd=1.0, output_usd=10.0)
        folder, status = await run(lab, **budget)
        [name] = budget
        assert (status.state, status.stopped_by) == ("stopped", name)
        assert status.done in allowed
        assert status.input_tokens + status.output_tokens <= budget.get("budget_tokens", 1e9)
        assert status.cost_usd <= budget.get("budget_usd", 1e9)
        status = await resume(lab, folder, {name: 100000})
    assert (status.state, status.done) == ("finished", 20)
    assert set(server.asked.values()) == {1}


def test_a_budget_in_money_needs_a_price(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab", "http://127.0.0.1:9/v1", 1)
    with pytest.raises(UsageError, match="price"):
        start(lab, budget_usd=1.0)


async def test_a_run_pauses_resumes_and_stops_by_files(tmp_path: Path) -> None:
    with DistillServer(latency_s=0.01) as server:
        lab = make_lab(tmp_path / "lab", server.url, 200)
        folder = start(lab, concurrency=2)
        states: asyncio.Queue[str] = asyncio.Queue()
        task = asyncio.create_task(
            TeacherRunner(lab, folder, watch=lambda status: states.put_nowait(status.state)).work()
        )
        await asyncio.to_thread(server.wait_until_asked, 5)
        manage.pause(folder)
        while await states.get() != "paused":
            pass
        while folder.info().status.in_flight:
            await states.get()
        quiet = server.asked.total()
        assert quiet < 200
        manage.unpause(folder)
        await asyncio.to_thread(server.wait_until_asked, quiet + 5)
        manage.stop(folder)
        status = await task
    assert (status.state, status.stopped_by) == ("stopped", "stop")
    assert status.done == server.answered.total() < 200
    with pytest.raises(UsageError, match="not running"):
        manage.stop(folder)
    assert not manage.unpause(folder)


async def test_a_run_is_worked_on_by_one_process(tmp_path: Path) -> None:
    with DistillServer("hang") as server:
        lab = make_lab(tmp_path / "lab", server.url, 1)
        folder, control = start(lab), Control()
        task = asyncio.create_task(TeacherRunner(lab, folder, control=control).work())
        await asyncio.to_thread(server.wait_until_asked, 1)
        with pytest.raises(UsageError, match=r"Process \d+ on .* is (using|running)"):
            await TeacherRunner(lab, folder).work()
        control.stop("stop")
        server.release.set()
        assert (await task).state == "stopped"


async def test_the_items_of_a_run_do_not_change_with_the_pool(tmp_path: Path) -> None:
    with DistillServer("401") as server:
        lab = make_lab(tmp_path / "lab", server.url, 3)
        folder, _ = await run(lab, problems="-has:trace", n=2, concurrency=1)
        server.mode = "ok"
        store = open_store(lab.database)
        first = next(iter(problems.select(store.db, ProblemQuery())))
        problem = NewProblem(first.statement, "sums", answer=first.answer)
        with store.db.atomic():
            traces.add(store.db, [(trace_of(problem, "another", "\\boxed{1}"), first.statement)])
        store.close()
        status = await resume(lab, folder)
    assert (status.requested, status.done) == (6, 6)


def test_only_how_a_run_asks_may_change(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab", "http://127.0.0.1:9/v1", 1)
    folder = start(lab)
    folder.status_file.unlink()
    with pytest.raises(UsageError, match="temperature"):
        prepared(runs.TEACHER_RUNS, lab, folder.id, {"temperature": 1.0})
    assert prepared(runs.TEACHER_RUNS, lab, folder.id, {"concurrency": 9}).settings().concurrency == 9


async def test_raw_responses_are_kept_up_to_a_size(tmp_path: Path) -> None:
    with DistillServer("error-200") as server:
        server._bodily = lambda *_: __import__("starlette.responses").responses.Response("x" * (RAW_LIMIT + 10))
        lab = make_lab(tmp_path / "lab", server.url, 1)
        folder, _ = await run(lab, attempts=1)
    assert len(responses(folder)[0].raw) == RAW_LIMIT


async def test_a_full_disk_ends_the_run_with_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: int, _lines: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with DistillServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 9)
        folder = start(lab, concurrency=2)
        monkeypatch.setattr(journal, "_append", full)
        with pytest.raises(LabError, match="No space left"):
            await TeacherRunner(lab, folder).work()
        assert server.asked.total() <= 4  # nothing is asked that could not be kept
        status = folder.status()
        assert status is not None
        assert (status.state, status.done) == ("failed", 0)
        assert "No space left" in status.message
        monkeypatch.undo()
        status = await TeacherRunner(lab, prepared(runs.TEACHER_RUNS, lab, folder.id)).work()
    assert (status.state, status.done) == ("finished", 9)


async def test_a_lab_that_refuses_ends_the_run_and_loses_nothing(tmp_path: Path) -> None:
    with DistillServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 9)
        folder = start(lab, concurrency=2)
        store = open_store(lab.database)
        store.db.execute("CREATE TRIGGER no BEFORE INSERT ON traces BEGIN SELECT RAISE(ABORT, 'the lab is tired'); END")
        with pytest.raises(LabError, match="the lab is tired"):
            await TeacherRunner(lab, folder).work()
        status = folder.status()
        assert status is not None
        assert status.state == "failed"
        store.db.execute("DROP TRIGGER no")
        store.close()
        status = await TeacherRunner(lab, prepared(runs.TEACHER_RUNS, lab, folder.id)).work()
    assert (status.state, status.done) == ("finished", 9)
    assert set(server.asked.values()) == {1}


async def test_a_method_that_wants_right_answers_rejects_the_others_and_keeps_them_marked(tmp_path: Path) -> None:
    with DistillServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 0)
        store = open_store(lab.database)
        sums = [(a, a + 7) for a in range(100, 106)]
        with store.db.atomic():
            problems.add(
                store.db,
                [
                    NewProblem(f"What is {a} + {b}?", "s", answer=str(a + b), solution=f"It is {a + b}.")
                    for a, b in sums
                ],
            )
        folder, status = await run(lab, method="reformat")
    assert (status.state, status.done, status.correct, status.rejected, status.failed) == ("finished", 6, 4, 2, 0)
    assert sum(teacher_runs.reasons(store.db, folder.id).values()) == 2
    store.close()


async def test_an_interrupted_conversation_is_continued(tmp_path: Path) -> None:
    """A debate is several calls: those that were answered before are not made again."""
    with DistillServer(treat=lambda *_: "ok" if server.asked.total() <= 7 else "401") as server:
        lab = make_lab(tmp_path / "lab", server.url, 3)
        folder, status = await run(lab, method="debate", rounds=3, concurrency=2)
        assert (status.state, status.stopped_by) == ("stopped", "key")
        before = [one.key for one in responses(folder) if one.state == "done"]
        assert len(before) == 7
        assert len(before) > len({key.item for key in before})  # some are later turns of one conversation
        server.treat = None
        status = await resume(lab, folder)
    assert (status.state, status.done + status.failed) == ("finished", 3)
    after = [one.key for one in responses(folder) if one.state == "done"]
    assert after[: len(before)] == before
    assert len(after) == len(set(after))
    assert len(server.requests) == len(responses(folder))


async def test_two_runs_write_into_one_lab(tmp_path: Path) -> None:
    with DistillServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 60)
        ended = await asyncio.gather(run(lab, seed=1), run(lab, seed=100))
    assert [(status.state, status.done) for _, status in ended] == [("finished", 60)] * 2
    assert server.asked.total() == 120
    store = open_store(lab.database)
    assert [teacher_runs.tally(store.db, folder.id).done for folder, _ in ended] == [60, 60]
    store.close()


@pytest.mark.parametrize(
    ("endpoint", "settings", "seconds"),
    [
        ({"requests_per_minute": 60}, {}, 9),
        ({"requests_per_minute": 60}, {"requests_per_minute": 30}, 18),
        ({}, {"tokens_per_minute": 960}, 9 * 8 * 60 / 960),  # 3 tokens in and 5 out a call, as they turn out to be
    ],
)
async def test_rates_of_the_endpoint_and_of_the_run_are_kept(
    endpoint: dict[str, int], settings: dict[str, int], seconds: float, tmp_path: Path
) -> None:
    clock = FakeClock()
    with DistillServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 10, **endpoint)
        _, status = await run(lab, clock, concurrency=1, **settings)
    assert status.done == 10
    assert clock.time - 1000 == pytest.approx(seconds)


@pytest.mark.parametrize("mode", ["408", "409"])
async def test_a_request_that_came_at_a_bad_moment_is_sent_again(mode: str, tmp_path: Path) -> None:
    with DistillServer(treat=lambda _, before: mode if before == 0 else "ok") as server:
        lab = make_lab(tmp_path / "lab", server.url, 1)
        _, status = await run(lab)
    assert (status.done, status.retries) == (1, 1)


async def test_too_many_tokens_stop_the_run_and_a_resume_takes_fewer(tmp_path: Path) -> None:
    with DistillServer("too-many-tokens") as server:
        lab = make_lab(tmp_path / "lab", server.url, 3)
        folder, status = await run(lab, concurrency=1)
        assert len(server.requests) == 1
        assert (status.state, status.stopped_by, status.failed) == ("stopped", "max_tokens", 0)
        assert "10 in the messages" in status.message and "at most 50 tokens fit" in status.message
        assert "--max-tokens 50" in status.hint and "distill resume" in status.hint
        status = await resume(lab, folder, {"max_tokens": 50})
    assert (status.state, status.done) == ("finished", 3)


async def test_a_prompt_without_room_is_repeated_with_fewer_tokens(tmp_path: Path) -> None:
    with DistillServer("too-many-tokens") as server:
        lab = make_lab(tmp_path / "lab", server.url, 2)
        folder, status = await run(lab, max_tokens=55)
        assert (status.state, status.failed, status.faults) == ("finished", 2, {"no_room": 2})
        status = await resume(lab, folder, {"max_tokens": 50})
    assert (status.state, status.done, status.failed) == ("finished", 2, 0)


async def test_a_wait_of_hours_is_shown_with_its_end(tmp_path: Path) -> None:
    counts, control, shown = Counts(), Control(), []

    class WatchedClock(FakeClock):
        async def wait(self, event: asyncio.Event, seconds: float) -> bool:
            shown.append((seconds, counts.activity))
            return await super().wait(event, seconds)

    clock = WatchedClock()
    with DistillServer(treat=lambda _, before: "429-day" if before == 0 else "ok") as server:
        target = ModelAddress(server.url, "m", "no-key")
        model = ModelClient(ModelRef("m", "other", "m", "server"), target, Limits(control, clock))
        async with Journal(tmp_path / "journal.jsonl") as kept:
            context = CallContext(kept, control, Budget(control, counts.usage), counts, clock)
            async with CompletionClient(RequestSettings(), {"teacher": model}, context) as client:
                messages = [{"role": "user", "content": "What is 100 + 107?"}]
                response = await client.call(CallKey("i", 0), messages)
    assert response.state == "done"
    [(seconds, activity)] = shown
    assert seconds == pytest.approx(86_400)
    assert re.search(r"asks to wait; the next request to m is sent at \d{4}-\d\d-\d\d \d\d:\d\d, in 1d00h", activity)
    assert not counts.activity


async def test_a_student_as_teacher_gets_the_system_prompt_of_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = init_lab(tmp_path / "lab", base="tiny")
    checkpoint = lab.runs / "7f3a" / "checkpoints" / "step-50"
    checkpoint.mkdir(parents=True)
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        (checkpoint / file).write_text("{}")
    (lab.runs / "7f3a" / "recipe.yaml").write_text("base: tiny\nsystem_prompt: Think first.\n")

    async def opened(ref: ModelRef, manager: ServerManager) -> ModelAddress:
        return ModelAddress("http://127.0.0.1:1/v1", ref.id, "key", fields=ref.prompt.request_fields("embedded"))

    monkeypatch.setattr("o1lab.inference.models.open_model", opened)
    settings, control = RequestSettings(), Control()
    async with ServerManager(lab) as manager:
        models = await open_models(lab, {"teacher": "7f3a"}, settings, manager, control=control, clock=FakeClock())
    asked = {"role": "user", "content": "What is 5 + 7?"}
    body = models["teacher"].body(settings, 0, [asked])
    assert body["messages"] == [{"role": "system", "content": "Think first."}, asked]
    own = {"role": "system", "content": "Be brief."}
    assert models["teacher"].body(settings, 0, [own, asked])["messages"] == [own, asked]
