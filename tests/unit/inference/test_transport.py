"""One odd response means the same to chat, to a teacher run and to an evaluation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from o1lab.chains.parse import parse
from o1lab.config import Endpoint
from o1lab.distill.method import as_trace
from o1lab.evaluate.run.asking import classify, split
from o1lab.inference.backend import CallContext
from o1lab.inference.calls import CallKey
from o1lab.inference.calls import Response as ModelResponse
from o1lab.inference.chat_client import ChatClient
from o1lab.inference.client import CompletionClient
from o1lab.inference.events import Answer, Sampling
from o1lab.inference.journal import Journal
from o1lab.inference.limits import Budget, Limits
from o1lab.inference.models import ModelClient
from o1lab.inference.refused import forget
from o1lab.inference.settings import RequestSettings
from o1lab.jobs.control import Control, RunStopped
from o1lab.jobs.progress import Counts
from o1lab.serve.endpoints import ModelAddress, endpoint_address
from o1lab.serve.registry import ModelRef
from tests.support.distill_lab import FakeClock
from tests.support.fault_server import FaultServer
from tests.support.tempers import REFUSALS, TEMPERS, Temper, TemperServer

ASK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 5 + 7?"}]
SETTINGS = {"temperature": 0.6, "top_p": 0.9, "max_tokens": 64, "seed": 7}


def address(server: FaultServer, **endpoint: Any) -> ModelAddress:
    return endpoint_address(Endpoint(name="m", url=server.url, model="m", **endpoint))


async def chat(server: FaultServer, **endpoint: Any) -> Answer:
    answer = Answer()
    async with ChatClient() as client:
        async for happened in client.stream(address(server, **endpoint), ASK, Sampling(**SETTINGS)):
            answer.apply(happened)
    return answer


async def call(server: FaultServer, path: Path, **endpoint: Any) -> tuple[ModelResponse, Counts]:
    """The response as a job gets it, in one attempt."""
    control, clock, counts = Control(), FakeClock(), Counts()
    ref = ModelRef("m", "other", "m", "server")
    model = ModelClient(ref, address(server, **endpoint), Limits(control, clock))
    async with Journal(path) as journal:
        context = CallContext(journal, control, Budget(control, counts.usage), counts, clock)
        responses: list[ModelResponse] = []
        settings = RequestSettings.model_validate(SETTINGS | {"attempts": 1})
        async with CompletionClient(settings, {"teacher": model}, context, stream="always") as client:
            try:
                await client.call(CallKey("i", 0), ASK, on_attempt=responses.append)
            except RunStopped:
                pass  # an error that every other call would have
    return responses[-1], counts


def check_chat(temper: Temper, answer: Answer) -> None:
    code = "" if temper.code == "refusal" else temper.code  # a field of its own, but an answer
    assert (answer.error.code if answer.error else "") == code
    assert (answer.thought.strip(), " ".join(answer.answer.split())) == (
        temper.thought,
        " ".join(temper.answer.split()),
    )
    assert answer.state == ("failed" if code else "done")
    if answer.error is not None:
        assert all(word in f"{answer.error.sentence} {answer.error.hint}" for word in temper.words), answer.error


def check_trace(temper: Temper, response: ModelResponse) -> None:
    draft = as_trace(response)
    parsed = parse(draft.raw)
    assert draft.complete == (not temper.code and not temper.cut)
    if draft.raw and temper.thought and "</think>" not in temper.thought:
        assert parsed.thought_of(draft.raw) == temper.thought


def check_sample(temper: Temper, response: ModelResponse) -> None:
    state, _ = classify(response)
    thought, answer = split(response)
    assert (thought.strip(), " ".join(answer.split())) == (temper.thought, " ".join(temper.answer.split()))
    incomplete = temper.cut or (temper.code == "content_filter" and temper.answer)
    expected = "incomplete" if incomplete else "failed" if temper.code not in ("", "refusal") else "complete"
    assert state == expected


@pytest.fixture(scope="module")
def any_server() -> Iterator[TemperServer]:
    with TemperServer(Temper()) as server:
        yield server


@pytest.mark.parametrize("name", TEMPERS)
async def test_every_temper_has_the_same_outcome_for_all_callers(
    name: str, any_server: TemperServer, tmp_path: Path
) -> None:
    temper, server = TEMPERS[name], any_server
    server.temper = temper
    answer = await chat(server)
    requests = len(server.requests)
    response, counts = await call(server, tmp_path / "journal.jsonl")
    sent = server.requests[-1]
    assert (response.fault.code if response.fault else "") == temper.code
    if response.fault is not None:
        assert all(word in f"{response.fault.sentence} {response.fault.hint}" for word in temper.words)
    check_chat(temper, answer)
    check_trace(temper, response)
    check_sample(temper, response)
    assert len(answer.notes) == len(counts.notes) == len(temper.left_out)
    if temper.left_out:
        assert len(server.requests) == requests + 1, "the next run knows what is refused"
        assert not [name for name in temper.left_out if name in sent]
        assert all(any(f" {name}" in note for note in counts.notes) for name in temper.left_out)


@pytest.mark.parametrize("name", ["reasoning", "cut", "an error with a code"])
async def test_the_journal_holds_an_error_as_code_sentence_and_whether_to_ask_again(name: str, tmp_path: Path) -> None:
    with TemperServer(TEMPERS[name]) as server:
        response, counts = await call(server, tmp_path / "journal.jsonl")
    line = (tmp_path / "journal.jsonl").read_text().splitlines()[-1]
    assert list(json.loads(line).get("fault", {})) in ([], ["code", "sentence", "retryable"])
    assert ModelResponse.read(line) == response
    assert counts.usage.output_tokens == response.output_tokens


async def test_what_is_refused_is_remembered_until_it_is_forgotten(tmp_path: Path) -> None:
    with TemperServer(REFUSALS["seed by its message"]) as server:
        for _ in range(2):
            await chat(server)
        assert ["seed" in body for body in server.requests] == [True, False, False]
        response, counts = await call(server, tmp_path / "journal.jsonl")
        assert response.options is not None
        assert "seed" not in response.options
        [note] = counts.notes
        assert note == "m does not accept seed, so it is omitted: property 'seed' is unsupported"
        assert forget(server.url, "m") == ["seed"]
        await chat(server)
        assert ["seed" in body for body in server.requests[3:]] == [False, True, False]


async def test_a_memory_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    with TemperServer(REFUSALS["seed by its message"]) as server:
        await chat(server)
        monkeypatch.setattr("o1lab.inference.refused.FORGOTTEN_AFTER_S", -1.0)
        await chat(server)
    assert ["seed" in body for body in server.requests] == [True, False, True, False]


async def test_a_folded_system_message_comes_first(tmp_path: Path) -> None:
    with TemperServer(REFUSALS["no system role"]) as server:
        answer = await chat(server)
        assert server.requests[-1]["messages"] == [{"role": "user", "content": "Be brief.\n\nWhat is 5 + 7?"}]
        response, _ = await call(server, tmp_path / "journal.jsonl")
        assert response.options is not None
        assert response.options["system_in"] == "user"
    assert "before the first user message" in answer.notes[0]
    assert "System role not supported" in answer.notes[0]


async def test_what_is_refused_again_fails(tmp_path: Path) -> None:
    answer = Answer()
    with TemperServer(REFUSALS["no system role"]) as server:
        async with ChatClient() as client:
            async for happened in client.stream(address(server), ASK[:1]):  # no user message to put it before
                answer.apply(happened)
    assert len(server.requests) == 2
    assert answer.error is not None and "System role not supported" in answer.error.sentence


async def test_temperature_alone_stays_where_both_are_refused(tmp_path: Path) -> None:
    with TemperServer(REFUSALS["one of two"]) as server:
        await chat(server)
        assert ("temperature" in server.requests[-1], "top_p" in server.requests[-1]) == (True, False)


async def test_the_endpoint_sets_the_omitted_options(tmp_path: Path) -> None:
    omit = ["seed", "stream_options", "max_tokens", "system"]
    with TemperServer(Temper()) as server:
        answer = await chat(server, omit=omit)
        await call(server, tmp_path / "journal.jsonl", omit=omit)
        assert len(server.requests) == 2
        assert not [name for body in server.requests for name in omit if name in body]
        assert [message["role"] for message in server.requests[-1]["messages"]] == ["user"]
    assert sum("o1lab.toml says" in note for note in answer.notes) == len(omit)
