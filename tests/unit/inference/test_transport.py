"""One odd response means the same to chat, to a teacher run and to an evaluation."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from o1lab.evaluate.run.asking import classify, split
from o1lab.inference.backend import CallContext
from o1lab.inference.budget import Budget
from o1lab.inference.calls import CallKey
from o1lab.inference.calls import Response as ModelResponse
from o1lab.inference.chat_client import ChatClient
from o1lab.inference.client import CompletionClient
from o1lab.inference.events import Answer, Sampling
from o1lab.inference.journal import Journal
from o1lab.inference.models import ModelClient
from o1lab.inference.rate_limit import Limits
from o1lab.inference.settings import RequestSettings
from o1lab.jobs.control import Control
from o1lab.jobs.progress import Counts
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.registry import ModelRef
from tests.support.distill_lab import FakeClock
from tests.support.fault_server import FaultServer

KEY = "no-key"
ASK = [{"role": "user", "content": "What is 5 + 7?"}]


def event(**data: Any) -> str:
    return f"data: {json.dumps({'model': 'odd'} | data)}\n\n"


def delta(finish: str | None = None, **delta: Any) -> str:
    return event(choices=[{"index": 0, "delta": delta, "finish_reason": finish}])


USAGE = event(choices=[], usage={"prompt_tokens": 5, "completion_tokens": 9})
DONE = "data: [DONE]\n\n"
END = delta("stop") + USAGE + DONE
WHOLE = {"choices": [{"message": {"reasoning": "Add.", "content": "It is 12."}, "finish_reason": "stop"}]}


@dataclass(frozen=True)
class Case:
    """What the server sends, and what it means."""

    sent: str
    thought: str = ""
    answer: str = "It is 12."
    code: str = ""


CASES = {
    "reasoning_content": Case(delta(reasoning_content="Add.") + delta(content="It is 12.") + END, "Add."),
    "reasoning": Case(delta(reasoning="Add.", content=None) + delta(content="It is 12.") + END, "Add."),
    "marks": Case(delta(content="<thi") + delta(content="nk>Add.</think>\n\nIt is 12.") + END, "Add."),
    "closing mark only": Case(delta(content="Add.</think>") + delta(content="It is 12.") + END, "Add."),
    "parts": Case(delta(content=[{"type": "text", "text": "It is "}, {"type": "text", "text": "12."}]) + END),
    "null deltas": Case(event(choices=[{"delta": None}]) + delta(content=None) + delta(content="It is 12.") + END),
    "comments": Case(": KEEP WAITING\n\n" + delta(content="It is 12.") + ": \n\n" + END),
    "no finish reason": Case(delta(content="It is 12.") + DONE),
    "only usage at the end": Case(delta(content="It is 12.") + USAGE),
    "null usage": Case(delta(content="It is 12.") + event(choices=[], usage=None) + delta("stop") + DONE),
    "a refusal": Case(delta(refusal="I can") + delta(refusal="not.") + END, answer="I cannot.", code="refusal"),
    "finish reason error": Case(delta(content="It is") + delta("error") + DONE, answer="It is", code="cut_off"),
    "cut": Case(delta(content="It is"), answer="It is", code="cut_off"),
    "half a mark": Case(delta(content="It is <"), answer="It is <", code="cut_off"),
    "nothing": Case(DONE, answer="", code="empty"),
    "error event": Case(
        delta(content="It is") + event(error={"message": "No memory", "code": 502}), answer="It is", code="server"
    ),
    "error as text": Case(delta(content="It is") + event(error="the runner stopped"), answer="It is", code="server"),
    "error with a status": Case(event(error={"code": 429, "message": "Slow"}) + DONE, answer="", code="rate_limit"),
    "error with a code": Case(event(error={"code": "insufficient_quota", "message": "No."}), answer="", code="quota"),
    "not JSON": Case(delta(content="It is") + "data: {not json\n\n", answer="It is", code="malformed"),
    "an event that is a list": Case(delta(content="It is") + "data: [1]\n\n", answer="It is", code="malformed"),
}  # fmt: skip


class StreamServer(FaultServer):
    """Sends one text as its stream."""

    def __init__(self, sent: str) -> None:
        super().__init__()
        self.sent = sent

    async def _stream(self, mode: str, words: list[str]) -> AsyncIterator[str]:
        yield self.sent


async def chat(server: FaultServer) -> Answer:
    answer = Answer()
    async with ChatClient() as client:
        async for happened in client.stream(ModelAddress(server.url, "m", KEY), ASK, Sampling()):
            answer.apply(happened)
    return answer


async def call(server: FaultServer, path: Path, **settings: Any) -> tuple[ModelResponse, Counts, ModelClient]:
    """The response as a job gets it, in one attempt."""
    control, clock, counts = Control(), FakeClock(), Counts()
    model = ModelClient(
        ModelRef("m", "other", "m", "server"), ModelAddress(server.url, "m", KEY), Limits(control, clock)
    )
    async with Journal(path) as journal:
        context = CallContext(journal, control, Budget(control, counts.usage), counts, clock)
        asking = RequestSettings(attempts=1, **settings)
        responses: list[ModelResponse] = []
        async with CompletionClient(asking, {"teacher": model}, context, stream="always") as client:
            try:
                await client.call(CallKey("i", 0), ASK, on_attempt=responses.append)
            except Exception as error:
                assert type(error).__name__ == "RunStopped"  # an error that every other call would meet
    return responses[-1], counts, model


@pytest.mark.parametrize("name", CASES)
async def test_a_stream_means_the_same_to_all_who_read_it(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    with StreamServer(case.sent) as server:
        answer = await chat(server)
        response, _, _ = await call(server, tmp_path / "journal.jsonl")
    assert (response.fault.code if response.fault else "") == case.code
    assert (split(response)[0], split(response)[1]) == (case.thought, case.answer)
    assert (answer.thought.strip(), answer.answer.strip()) == (case.thought, case.answer)
    if case.code == "refusal":  # a field of its own, but an answer
        assert answer.state == "done"
        assert classify(response) == ("complete", "")
    else:
        assert (answer.error.code if answer.error else "") == case.code
        assert classify(response) == (("failed", case.code) if case.code else ("complete", ""))


@pytest.mark.parametrize("name", ["reasoning", "cut", "error with a code"])
async def test_the_journal_holds_an_error_as_code_sentence_and_whether_to_ask_again(name: str, tmp_path: Path) -> None:
    with StreamServer(CASES[name].sent) as server:
        response, counts, _ = await call(server, tmp_path / "journal.jsonl")
    line = (tmp_path / "journal.jsonl").read_text().splitlines()[-1]
    assert list(json.loads(line).get("fault", {})) in ([], ["code", "sentence", "retryable"])
    assert ModelResponse.read(line) == response
    assert counts.usage.output_tokens == response.output_tokens


async def test_a_body_that_comes_at_once_though_a_stream_was_asked_for_is_an_answer(tmp_path: Path) -> None:
    class BodyServer(FaultServer):
        def _refusal(self, mode: str, body: dict[str, Any], authorization: str) -> Response | None:
            return JSONResponse(WHOLE)

    with BodyServer() as server:
        answer = await chat(server)
        response, _, _ = await call(server, tmp_path / "journal.jsonl")
    assert (answer.thought, answer.answer, answer.state) == ("Add.", "It is 12.", "done")
    assert (split(response), response.state) == (("Add.", "It is 12."), "done")


async def test_a_refused_option_is_left_out_from_then_on(tmp_path: Path) -> None:
    with FaultServer("no-temperature") as server:
        async with ChatClient() as client:
            for _ in range(2):
                async for _ in client.stream(ModelAddress(server.url, "m", KEY), ASK, Sampling(temperature=0.6)):
                    pass
        assert ["temperature" in body for body in server.requests] == [True, False, False]
        response, counts, model = await call(server, tmp_path / "journal.jsonl", temperature=0.6)
    assert response.state == "done"
    assert model.dropped == {"temperature"}
    assert counts.notes == ["m does not support temperature; it is omitted."]
