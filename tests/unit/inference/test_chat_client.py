"""One answer as events: thoughts told apart, and every way a server fails as one clear sentence."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o1lab.chains.parse import parse
from o1lab.config import ChatConfig
from o1lab.inference.calls import CallKey, Response
from o1lab.inference.chat_client import ChatClient, rendered_prompt
from o1lab.inference.events import Answer, Delta, Done, Event, Failed, Recast, Sampling, Started
from o1lab.inference.thoughts import ThoughtSplitter
from o1lab.inference.thoughts import split as split_response
from o1lab.serve.endpoints import ModelAddress
from tests.support.fault_server import ANSWER, THOUGHT, FaultServer
from tests.support.streaming import stream_chat

KEY = "sk-very-secret-0123456789"
ASK = [{"role": "user", "content": "What is 964 + 494?"}]


async def collect(
    server: FaultServer, sampling: Sampling | None = None, limits: ChatConfig | None = None
) -> tuple[list[Event], Answer]:
    events, answer = [], Answer()
    async with ChatClient(limits) as chat:
        async for event in chat.stream(ModelAddress(server.url, "m", KEY), ASK, sampling):
            events.append(event)
            answer.apply(event)
    return events, answer


async def test_an_answer_streams_and_is_counted() -> None:
    with FaultServer("ok") as server:
        events, answer = await collect(server, Sampling(temperature=0.5, top_p=0.9, max_tokens=9, seed=4, stop=("!",)))
    assert isinstance(events[0], Started)
    assert [event.text for event in events if isinstance(event, Delta)] == ANSWER
    done = events[-1]
    assert isinstance(done, Done)
    assert (done.finish_reason, done.prompt_tokens, done.completion_tokens) == ("stop", 3, len(ANSWER))
    assert answer.state == "done"
    assert answer.ttft_s is not None
    assert 0 < answer.ttft_s <= done.seconds
    sent = server.requests[0]
    assert {name: sent[name] for name in ("temperature", "top_p", "max_tokens", "seed", "stop")} == {
        "temperature": 0.5, "top_p": 0.9, "max_tokens": 9, "seed": 4, "stop": ["!"],
    }  # fmt: skip


async def test_servers_of_this_machine_bypass_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port: nobody answers
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with FaultServer("ok") as server:
        assert server.url.startswith("http://127.0.0.1:")
        _, answer = await collect(server)
    assert answer.state == "done"


async def test_the_first_delta_comes_before_the_last_exists() -> None:
    with FaultServer("gated") as server:
        stream = stream_chat(ModelAddress(server.url, "m", KEY), ASK)
        events = [await anext(stream), await anext(stream)]
        assert events[1] == Delta("answer", ANSWER[0])
        server.release.set()  # only now does the server make the rest
        events += [event async for event in stream]
    assert isinstance(events[-1], Done)


@pytest.mark.parametrize("mode", ["think", "reasoning", "no-opening"])
async def test_thought_and_answer_are_separated(mode: str) -> None:
    with FaultServer(mode) as server:
        events, answer = await collect(server)
    assert answer.thought == "".join(THOUGHT)
    assert answer.answer == "".join(ANSWER)
    assert any(isinstance(event, Recast) for event in events) == (mode == "no-opening")
    if mode == "reasoning":
        assert answer.done is not None
        assert (answer.done.thought_tokens, answer.done.answer_tokens) == (len(THOUGHT), len(ANSWER))


FAILURES = {
    "401": ("key", "refused the key", False),
    "404": ("no_model", "has no model called m", False),
    "429": ("rate_limit", "slow down", True),
    "429-no-wait": ("rate_limit", "slow down", True),
    "500": ("server", "has an internal error (500)", True),
    "html": ("server", "has an internal error (502)", True),
    "html-200": ("not_api", "text/html instead of a stream", False),
    "context": ("context_length", "too long for m", False),
    "half": ("cut_off", "was cut off", True),
    "cut": ("cut_off", "was cut off", True),
    "malformed": ("malformed", "not a chat completion", True),
    "empty-choices": ("empty", "sent an empty answer", True),
    "error-in-stream": ("server", "CUDA out of memory", True),
}


@pytest.mark.parametrize("mode", FAILURES)
async def test_every_failure_is_one_sentence_without_the_key(mode: str) -> None:
    code, sentence, transient = FAILURES[mode]
    with FaultServer(mode) as server:
        events, answer = await collect(server)
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert sum(isinstance(event, Done | Failed) for event in events) == 1
    assert (failed.error.code, failed.error.transient) == (code, transient)
    assert sentence in failed.error.sentence
    assert "\n" not in failed.error.sentence
    assert failed.error.hint
    assert KEY not in repr(failed)
    assert len(server.requests) == 1, "whether to try again is the person's to say"
    if mode in ("half", "cut", "malformed", "error-in-stream"):
        assert answer.answer == "".join(ANSWER[:2]), "what came is kept"
    if mode == "429":
        assert failed.error.retry_after_s == 7


async def test_an_answer_of_nothing_is_a_failure() -> None:
    with FaultServer("no-answer") as server:
        events, answer = await collect(server)
    assert isinstance(events[-1], Failed)
    assert (events[-1].error.code, answer.answer, answer.ttft_s) == ("empty", "", None)


async def test_a_server_that_hangs_is_given_up() -> None:
    with FaultServer("hang") as server:
        events, _ = await collect(server, limits=ChatConfig(first_token_timeout_s=0.3))
    assert isinstance(events[-1], Failed)
    assert events[-1].error.code == "timeout"


async def test_the_limit_after_the_first_token_is_another_one() -> None:
    with FaultServer("gated") as server:
        limits = ChatConfig(first_token_timeout_s=600, silence_timeout_s=0.3)
        events, answer = await collect(server, limits=limits)
    assert isinstance(events[-1], Failed)
    assert (events[-1].error.code, answer.answer) == ("timeout", ANSWER[0])


@pytest.mark.parametrize(("chosen", "of_endpoint"), [(0.3, None), (None, 0.3), (0.3, 600)])
async def test_the_setting_goes_before_the_endpoint_and_that_before_the_default(
    chosen: float | None, of_endpoint: float | None
) -> None:
    with FaultServer("hang") as server:
        target = ModelAddress(server.url, "m", KEY, first_token_timeout_s=of_endpoint)
        async with ChatClient(ChatConfig(first_token_timeout_s=chosen)) as client:
            events = [event async for event in client.stream(target, ASK)]
    assert isinstance(events[-1], Failed) and events[-1].error.code == "timeout"


async def test_no_server_answers() -> None:
    with FaultServer() as server:
        gone = server.url
    events = [event async for event in stream_chat(ModelAddress(gone, "m", KEY), ASK)]
    assert isinstance(events[-1], Failed)
    assert events[-1].error.code == "unreachable"
    events = [event async for event in stream_chat(ModelAddress("not a url", "m", KEY), ASK)]
    assert isinstance(events[-1], Failed)


async def test_stopping_hangs_up_so_that_the_server_stops_too() -> None:
    with FaultServer("gated") as server:

        async def read() -> None:
            async for _ in stream_chat(ModelAddress(server.url, "m", KEY), ASK):
                first.set()

        first = asyncio.Event()
        task = asyncio.create_task(read())
        await asyncio.wait_for(first.wait(), 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.gone.wait, 20)


async def test_a_refused_parameter_is_renamed() -> None:
    with FaultServer("only-max-completion-tokens") as server:
        events, _ = await collect(server, Sampling(max_tokens=77))
    assert isinstance(events[-1], Done)
    assert server.requests[-1]["max_completion_tokens"] == 77
    assert "max_tokens" not in server.requests[-1]


@pytest.mark.parametrize("body", [b"\xff\xff", b"{", b"[]"])
async def test_a_prompt_that_cannot_be_read_is_none(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def post(*_: Any, **__: Any) -> httpx2.Response:
        return httpx2.Response(200, content=body)

    monkeypatch.setattr(httpx2.AsyncClient, "post", post)
    assert await rendered_prompt(ModelAddress("http://127.0.0.1:9/v1", "m", KEY), ASK) is None


async def test_a_server_that_cannot_render_gives_none() -> None:
    with FaultServer("ok") as server:
        assert await rendered_prompt(ModelAddress(server.url, "m", KEY), ASK) is None


def split(chunks: list[str]) -> tuple[str, str]:
    splitter, answer = ThoughtSplitter(), Answer()
    for chunk in chunks:
        for event in splitter.feed(chunk):
            answer.apply(event)
    for event in splitter.flush():
        answer.apply(event)
    return answer.thought, answer.answer


@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("<think>a</think>b", "a", "b"),
        ("  \n<think>\na\n</think>\n\nb", "\na\n", "b"),
        ("a</think>b", "a", "b"),
        ("<think>never closed", "never closed", ""),
        ("<think></think>b", "", "b"),
        ("no marks < at all <thin", "", "no marks < at all <thin"),
        ("see <think> in text", "", "see <think> in text"),
        ("So: <think>a</think>\nb", "a", "So: b"),
        ("<THINK>a</Think>b", "a", "b"),
        ("<|begin_of_thought|>a<|end_of_thought|> <|begin_of_solution|>b<|end_of_solution|>", "a", "b"),
        ("<|begin_of_thought|>a<|end_of_thought|>b <|end_of_solution|>", "a", "b <|end_of_solution|>"),
        ("<think>a</think>b</think>c", "a", "b</think>c"),
        ("<Thought>a</Thought>b", "a", "b"),
        ("<|begin_of_thought|>a<|end_of_thought|>b", "a", "b"),
        ("[THINK]a[/THINK]b", "a", "b"),
        ("◁think▷a◁/think▷b", "a", "b"),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b", "a", "b"),
        ("<think>a < b </thin </think>c", "a < b </thin ", "c"),
        ("<th", "", "<th"),
        ("", "", ""),
    ],
)
@settings(max_examples=25)
@given(data=st.data())
def test_marks_are_found_however_they_are_cut(text: str, thought: str, answer: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert split(chunks) == (thought, answer)
    assert split(list(text)) == (thought, answer)


_MARKS = st.sampled_from([("<think>", "</think>", "<THINK>"), ("[THINK]", "[/THINK]"), ("<thinking>", "</thinking>")])


@given(_MARKS.flatmap(lambda marks: st.lists(st.sampled_from([*marks, "a", "b c", " ", "\n", "<", "</"]), max_size=8)))
def test_a_stream_is_split_like_a_stored_text(pieces: list[str]) -> None:
    text = "".join(pieces)
    parsed = parse(text)
    spans = [*parsed.outside, *([parsed.solution] if parsed.solution else [])]
    expected = "".join(text[slice(*span)] for span in sorted(spans))
    response = Response(CallKey("i", 0), "done", answer=text, finish_reason="stop")
    thought, answer = split_response(response)
    assert thought == parsed.thought_of(text)
    assert "".join(answer.split()) == "".join(expected.split())
    assert ["".join(part.split()) for part in split(pieces)] == ["".join(part.split()) for part in (thought, answer)]
