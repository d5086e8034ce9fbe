"""The embedded server under odd requests: no traceback, no other host, no connection that waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from o1lab.errors import NotFoundError
from o1lab.inference.refused import Refusals
from o1lab.inference.stream import ReplyReader
from o1lab.inference.transport import Transport
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.http import api, connections, keepalive
from o1lab.serve.http.api import make_api
from o1lab.serve.http.connections import GuardedProtocol
from o1lab.serve.protocol import ApiError, ChatRequest, CompletionRequest, End, Piece
from o1lab.serve.solver_model import Solver
from tests.functional.test_damaged_files import BYTES

KEY = {"Authorization": "Bearer t"}
ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


class Echo:
    """Answers with the question and the name of the model."""

    engine = "echo"

    def cards(self) -> list[dict[str, Any]]:
        return [{"id": "m"}]

    def status(self) -> dict[str, Any]:
        return {}

    def steps(self) -> int:
        return 0

    def render(self, model: str, messages: list[dict[str, str]]) -> dict[str, Any]:
        return {"model": model, "messages": messages}

    async def open(
        self, request: ChatRequest, messages: list[dict[str, str]], seed: int | None
    ) -> AsyncIterator[Piece | End]:
        if request.model == "none":
            raise NotFoundError(f"No model {request.model!r}.")
        yield Piece("content", messages[-1]["content"] + request.model)
        yield End("stop", 1, 1)

    async def open_text(
        self, request: CompletionRequest, prompt: str | list[int], seed: int | None
    ) -> AsyncIterator[Piece | End]:
        yield Piece("content", str(prompt))
        yield End("stop", 1, 1)

    def load_adapter(self, name: str, path: Path) -> None:
        raise ApiError(404, f"{name}: no {path}")

    def remove_adapter(self, name: str) -> None:
        raise ApiError(404, name)

    def close(self) -> None: ...


class Endless(Echo):
    """Its answers have no end."""

    async def open(
        self, request: ChatRequest, messages: list[dict[str, str]], seed: int | None
    ) -> AsyncIterator[Piece | End]:
        yield Piece("content", "and so on")


class Slow(Echo):
    """Answers once it has made so many steps; a step is what the server asks for."""

    def __init__(self, needed: int) -> None:
        self._needed, self._made, self._enough = needed, 0, asyncio.Event()

    def steps(self) -> int:
        self._made += 1
        if self._made > self._needed:
            self._enough.set()
        return self._made

    async def open(
        self, request: ChatRequest, messages: list[dict[str, str]], seed: int | None
    ) -> AsyncIterator[Piece | End]:
        await self._enough.wait()
        async for part in super().open(request, messages, seed):
            yield part


def client(backend: Echo | None = None) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(make_api(backend or Echo(), "t"))
    return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:9", headers=KEY)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("text", ["a\ud800", "\udfff", "\x00\x1b[2J", "\u202e中文"])
async def test_any_text_goes_there_and_back(text: str, stream: bool) -> None:
    body = {**ASK, "model": text, "messages": [{"role": "user", "content": text}], "stream": stream}
    async with client() as http:
        answer = await http.post("/v1/chat/completions", content=json.dumps(body))
        shown = await http.post("/v1/o1lab/render", content=json.dumps(body))
        missing = await http.post("/v1/o1lab/adapters", content=json.dumps({"name": text, "path": "/nowhere"}))
    assert (answer.status_code, shown.status_code, missing.status_code) == (200, 200, 404)
    if stream:
        first = json.loads(answer.text.split("\n")[0].removeprefix("data: "))
        assert (first["model"], first["choices"][0]["delta"]["content"]) == (text, text + text)
    else:
        assert answer.json()["choices"][0]["message"]["content"] == text + text


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/o1lab/render", "/v1/o1lab/adapters"])
@pytest.mark.parametrize("body", [*BYTES.values(), b'{"messages": ' + b"[" * 100 + b"]" * 100 + b"}", b"\xff\xfe"])
async def test_a_body_that_is_not_a_request_is_a_400(path: str, body: bytes) -> None:
    async with client() as http:
        answer = await http.post(path, content=body)
    assert answer.status_code == 400 and answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "change", [{"seed": 10**400}, {"max_tokens": 10**400}, {"temperature": float("nan")}, {"n": 10**9}]
)
async def test_a_number_out_of_range_is_a_400(change: dict[str, Any]) -> None:
    async with client() as http:
        answer = await http.post("/v1/chat/completions", content=json.dumps(ASK | change))
    assert answer.status_code == 400 and next(iter(change)) in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("field", "asks", "neutral"),
    [
        ("tools", [{"type": "function"}], []),
        ("response_format", {"type": "json_object"}, {"type": "text"}),
        ("presence_penalty", 0.5, 0),
        ("frequency_penalty", -1, 0.0),
        ("logit_bias", {"50256": -100}, {}),
        ("functions", [{"name": "f"}], []),
        ("tool_choice", "required", "auto"),
        ("top_k", 40, -1),
        ("repetition_penalty", 1.1, 1.0),
        ("guided_json", {"type": "object"}, None),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
async def test_what_would_change_the_answer_is_refused(path: str, field: str, asks: Any, neutral: Any) -> None:
    body = ASK if "chat" in path else {"model": "m", "prompt": "hi"}
    async with client() as http:
        refused = await http.post(path, json=body | {field: asks})
        taken = await http.post(path, json=body | {field: neutral, "user": "someone", "metadata": {"any": "thing"}})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (400, "unsupported_parameter", field)
    assert error["message"] == f"This server does not support {field}; omit it."
    assert taken.status_code == 200, taken.text


@pytest.mark.parametrize(
    "prompt", ["", [], [[]], ["a", ""], [1, "a"], [1.5], [True], None, {"a": 1}, [["a"]], [[1], "a"], ["x"] * 513]
)
async def test_a_prompt_that_is_none_is_a_400(prompt: Any) -> None:
    async with client() as http:
        answer = await http.post("/v1/completions", json={"model": "m", "prompt": prompt})
    assert answer.status_code == 400 and answer.json()["error"]["param"].startswith("prompt")


async def test_the_card_of_one_model() -> None:
    async with client() as http:
        found = await http.get("/v1/models/m")
        missing = await http.get("/v1/models/no/such")
    assert found.json() == {"id": "m"}
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


async def test_the_solver_is_not_a_language_model() -> None:
    transport = httpx2.ASGITransport(make_api(Solver(None), "t"))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:9", headers=KEY) as solver:
        text = await solver.post("/v1/completions", json={"model": "solver", "prompt": "2 + 2"})
        scores = await solver.post("/v1/chat/completions", json=ASK | {"model": "solver", "logprobs": True})
    assert text.status_code == 400 and "/v1/chat/completions" in text.json()["error"]["message"]
    assert (scores.status_code, scores.json()["error"]["param"]) == (400, "logprobs")


async def test_each_refusal_has_its_code() -> None:
    solver = httpx2.AsyncClient(
        transport=httpx2.ASGITransport(make_api(Solver(None), "t")), base_url="http://127.0.0.1:9", headers=KEY
    )
    adapters = "/v1/o1lab/adapters"
    async with solver, client() as http:
        transport = httpx2.ASGITransport(make_api(Endless(), "t"), raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:9", headers=KEY) as endless:
            answers = {
                "no_adapters": await solver.post(adapters, json={"name": "a", "path": "/a"}),
                "model_not_found": await solver.post("/v1/chat/completions", json=ASK),
                "invalid_request": await http.post(adapters, json={"name": "a"}),
                "server_error": await endless.post("/v1/chat/completions", json=ASK),
            }
    found = {code: answer.json()["error"] for code, answer in answers.items()}
    assert [error["code"] for error in found.values()] == [
        "no_adapters",
        "model_not_found",
        "invalid_request",
        "server_error",
    ]
    assert all(error["message"] for error in found.values())


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/nowhere"])
@pytest.mark.parametrize(
    ("host", "allowed"),
    [("127.0.0.1:9", True), ("localhost", True), ("LOCALHOST:9", True), ("[::1]:9", True), ("[::1]", True),
     ("evil.example", False), ("127.0.0.1.evil.example:9", False), ("", False), ("evil.example:127.0.0.1", False)],
)  # fmt: skip
async def test_every_path_is_for_this_host_only(path: str, host: str, allowed: bool) -> None:
    async with client() as http:
        answer = await http.get(path, headers={"Host": host})
    assert (answer.status_code != 421) is allowed


async def test_a_body_that_does_not_arrive_is_a_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "BODY_S", 0.01)

    async def forever() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    sent: list[Any] = []
    parts = aiter(forever())

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": await anext(parts), "more_body": True}

    scope = {"type": "http", "path": "/v1/chat/completions", "method": "POST", "query_string": b"", "root_path": "",
             "headers": [(b"host", b"localhost"), (b"authorization", b"Bearer t")]}  # fmt: skip
    await make_api(Echo(), "t")(scope, receive, send)
    assert sent[0]["status"] == 408


async def test_a_request_that_waits_long_gets_keep_alive_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepalive, "KEEP_ALIVE_S", 0.01)
    async with client(Slow(3)) as http:
        whole = await http.post("/v1/chat/completions", json=ASK)
    assert whole.text.startswith("\n") and whole.json()["choices"][0]["message"]["content"] == "him"
    async with client(Slow(3)) as http:
        parts = (await http.post("/v1/chat/completions", json=ASK | {"stream": True})).text.split("\n\n")
    assert parts[0] == ": waiting" and parts[-2:] == ["data: [DONE]", ""]
    async with client(Slow(3)) as http:  # the response has begun when the error comes
        missing = await http.post("/v1/chat/completions", json=ASK | {"model": "none"})
    assert missing.status_code == 200 and missing.json()["error"]["message"] == "No model 'none'."


async def test_a_model_that_makes_no_steps_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepalive, "KEEP_ALIVE_S", 0.01)

    class Still(Slow):
        def steps(self) -> int:
            super().steps()
            return 0

    for stream in (False, True):
        async with client(Still(20)) as http:
            found = await http.post("/v1/chat/completions", json=ASK | {"stream": stream})
        assert found.text.startswith("data: {" if stream else "{") and "waiting" not in found.text


async def test_a_client_that_leaves_a_response_that_has_begun_frees_its_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keepalive, "KEEP_ALIVE_S", 0.01)
    closed = asyncio.Event()

    class Waiting(Slow):
        async def open(
            self, request: ChatRequest, messages: list[dict[str, str]], seed: int | None
        ) -> AsyncIterator[Piece | End]:
            try:
                await asyncio.Event().wait()
                yield End("stop", 1, 1)
            finally:
                closed.set()

    async with served(Waiting(1)) as port, httpx2.AsyncClient(headers=KEY, mounts={"all://": None}) as http:
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        async with http.stream("POST", url, json=ASK) as response:
            assert await anext(response.aiter_raw()) == b"\n"
        async with asyncio.timeout(60):
            await closed.wait()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_waits_for_its_turn_longer_than_for_a_silent_server(
    monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    monkeypatch.setattr(keepalive, "KEEP_ALIVE_S", 0.05)
    async with served(Slow(70)) as port, Transport(silence_timeout_s=3, connect_timeout_s=30) as transport:
        target = ModelAddress(f"http://127.0.0.1:{port}/v1", "m", "t")
        reader = ReplyReader(target)
        pieces = [piece async for piece in transport.send(ASK | {"stream": stream}, reader, Refusals(target))]
    reply = reader.end()
    assert (reply.error, reply.text, len(pieces)) == (None, "him", 1)


@contextlib.asynccontextmanager
async def served(backend: Echo | None = None) -> AsyncIterator[int]:
    config = uvicorn.Config(make_api(backend or Echo(), "t"), http=GuardedProtocol, lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        running = asyncio.create_task(server._serve([sock]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield sock.getsockname()[1]
        server.should_exit = True
        await running


async def test_a_half_open_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADERS_S", 0.05)
    async with served() as port:
        for sent in (b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hea"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            with contextlib.suppress(ConnectionResetError):
                await reader.read()  # ends when the server closes it
            writer.close()
        assert not GuardedProtocol.waiting


async def test_there_is_a_limit_of_half_open_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_WAITING", 2)
    async with served() as port:
        waiting = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        while len(GuardedProtocol.waiting) < 2:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        for _, one in waiting:
            one.close()
        while GuardedProtocol.waiting:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0)
        async with httpx2.AsyncClient(mounts={"all://": None}) as http:
            assert (await http.get(f"http://127.0.0.1:{port}/health")).status_code == 200
