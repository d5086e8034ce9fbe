"""An OpenAI-compatible server that misbehaves on demand, for tests of whoever talks to one.

``with FaultServer("429") as server:`` answers at ``server.url``. ``server.mode`` may change between requests;
``server.requests`` holds the bodies that came, ``server.headers`` and ``server.queries`` their headers and queries.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

MODES = (
    "ok", "gated", "think", "reasoning", "no-opening", "401", "404", "429", "429-no-wait", "500", "context",
    "html", "html-200", "half", "cut", "malformed", "hang", "empty-choices", "no-answer", "error-in-stream",
    "only-max-completion-tokens", "quota", "moderated", "content-filter", "refusal", "429-ms", "429-date",
    "no-temperature", "hidden-length", "not-json", "error-200", "blocks", "length", "endless", "endless-body",
    "too-many-tokens", "408", "409", "429-day",
)  # fmt: skip
ANSWER = ["The ", "answer ", "is ", "\\boxed{1458}", "."]
THOUGHT = ["Add the ones: ", "4 + 4 = 8. ", "Check."]

_SLOW = (429, "Rate limit reached.", "rate_limit_exceeded")
_DATES = {"date": "Mon, 23 Nov 2026 10:00:00 GMT", "retry-after": "Mon, 23 Nov 2026 10:00:09 GMT"}
_REFUSALS: dict[str, tuple[int, str, str | None, dict[str, str] | None]] = {
    "408": (408, "The request took too long.", None, None),
    "409": (409, "The model is being swapped in.", None, None),
    "404": (404, "The model does not exist.", "model_not_found", None),
    "429": (*_SLOW, {"retry-after": "7"}),
    "429-day": (*_SLOW, {"retry-after": "86400"}),
    "429-no-wait": (*_SLOW, None),
    "429-ms": (*_SLOW, {"retry-after-ms": "1500"}),
    "429-date": (*_SLOW, _DATES),
    "quota": (429, "You exceeded your current quota, please check your plan.", "insufficient_quota", None),
    "moderated": (400, "The prompt was filtered by our content policy.", "content_filter", None),
    "500": (500, "The server had an error.", None, None),
    "context": (400, "This model's maximum context length is 10 tokens.", "context_length_exceeded", None),
}


class _Server(uvicorn.Server):
    """A server that stops on an event: uvicorn looks ten times a second, and waits a tenth on its way out."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stopped = asyncio.Event()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.stopped.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110 - has no event
                    await asyncio.sleep(0.002)
        for task in self.server_state.tasks:
            task.cancel()


class FaultServer:
    """Runs in a thread of its own; ``release`` lets a ``gated`` or ``hang`` answer go on."""

    def __init__(self, mode: str = "ok", *, answer: list[str] | None = None) -> None:
        self.mode = mode
        self.answer = answer or ANSWER
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.queries: list[str] = []
        self.release = threading.Event()
        self.gone = threading.Event()
        """Set when a client hung up in the middle of an answer."""
        self._sock = socket.socket()
        self._sock.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._sock.getsockname()[1]}/v1"
        routes = [Route("/v1/chat/completions", self._chat, methods=["POST"]), Route("/v1/models", self._models)]
        routes += self.more_routes()
        self._config = uvicorn.Config(
            Starlette(routes=routes),
            log_level="critical",
            lifespan="off",
            timeout_graceful_shutdown=1,
            date_header=False,
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release.set()
        self._loop.call_soon_threadsafe(self._server.stopped.set)
        self._thread.join(20)
        self._sock.close()

    def _run(self) -> None:
        async def serve() -> None:
            self._loop, self._server = asyncio.get_running_loop(), _Server(self._config)
            running = asyncio.create_task(self._server.serve([self._sock]))
            while not self._server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.002)
            self._ready.set()
            await running

        asyncio.run(serve())

    def more_routes(self) -> list[Route]:
        """What a server that can do more answers to as well."""
        return []

    async def _models(self, _request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "m", "object": "model"}]})

    async def _chat(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        self.queries.append(request.url.query)
        mode = self.mode_of(body)
        if refusal := self._refusal(mode, body, request.headers.get("authorization", "")):
            return refusal
        if mode == "html-200":
            return HTMLResponse("<html><body>Sign in</body></html>")
        if not body.get("stream"):
            if mode in ("hang", "blocks"):
                await self._released()
            return self._bodily(mode, body)
        return StreamingResponse(self._watched(mode, body), media_type="text/event-stream")

    def mode_of(self, body: dict[str, Any]) -> str:
        """How this request is treated."""
        return self.mode

    def words_for(self, body: dict[str, Any]) -> list[str]:
        """The answer to this request, in the pieces it is streamed in."""
        return self.answer

    def _bodily(self, mode: str, body: dict[str, Any]) -> Response:
        if mode == "malformed":
            return Response('{"choices": [{"mess', media_type="application/json")
        if mode == "not-json":
            return Response("upstream went away", media_type="text/plain")
        if mode == "endless-body":
            return StreamingResponse(_endless(), media_type="application/json")
        if mode == "error-200":
            return JSONResponse({"error": {"message": "The model is overloaded.", "code": 529}})
        return JSONResponse(self._whole(mode, body))

    def _refusal(self, mode: str, body: dict[str, Any], authorization: str) -> Response | None:
        if mode in _REFUSALS:
            status, message, code, headers = _REFUSALS[mode]
            return _error(status, message, code, headers)
        match mode:
            case "401":
                key = authorization.removeprefix("Bearer ")
                return _error(401, f"Incorrect API key provided: {key}.", "invalid_api_key")
            case "html":
                return HTMLResponse("<html>502 Bad Gateway</html>", 502)
            case "no-temperature" if "temperature" in body:
                message = "Unsupported value: 'temperature' does not support 0.6 with this model."
                return _error(400, message, "unsupported_value", param="temperature")
            case "too-many-tokens" if body["max_tokens"] > 50:
                message = (
                    "This model's maximum context length is 60 tokens. However, you requested more tokens (10 in the "
                    f"messages, {body['max_tokens']} in the completion)."
                )
                return _error(400, message, None)
            case "only-max-completion-tokens" if "max_tokens" in body:
                message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
                return _error(400, message, "unsupported_parameter", param="max_tokens")
        return None

    def _whole(self, mode: str, body: dict[str, Any]) -> dict[str, Any]:
        words, reason = self.words_for(body), "stop"
        message: dict[str, Any] = {"role": "assistant", "content": "".join(words)}
        usage: dict[str, Any] = {"prompt_tokens": 3, "completion_tokens": len(words), "total_tokens": 3 + len(words)}
        match mode:
            case "no-answer":
                message["content"] = ""
            case "content-filter":
                message["content"], reason = words[0], "content_filter"
            case "refusal":
                message |= {"content": None, "refusal": "I cannot help with that."}
            case "hidden-length":
                message["content"], reason = "", "length"
                usage["completion_tokens_details"] = {"reasoning_tokens": len(words)}
            case "length":
                reason = "length"
            case "reasoning":
                message["reasoning_content"] = "".join(THOUGHT)
        choices = [] if mode == "empty-choices" else [{"index": 0, "message": message, "finish_reason": reason}]
        return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": usage}

    async def _watched(self, mode: str, body: dict[str, Any]) -> AsyncIterator[str]:
        try:
            async for line in self._stream(mode, self.words_for(body)):
                yield line
        except asyncio.CancelledError:
            self.gone.set()
            raise

    async def _stream(self, mode: str, words: list[str]) -> AsyncIterator[str]:
        if mode == "hang":
            await self._released()
            return
        if mode == "empty-choices":
            yield _event({"choices": []})
            yield "data: [DONE]\n\n"
            return
        if mode == "no-answer":
            yield _chunk({"role": "assistant", "content": ""})
            yield _chunk({}, "stop")
            yield "data: [DONE]\n\n"
            return
        async for line in self._text(mode, words):
            yield line
        while mode == "endless":  # it ignores every limit
            yield _chunk({"content": "and on "})
            await asyncio.sleep(0)
        if mode == "cut":  # a proxy closed it politely: no error, no end
            return
        yield _chunk({}, "length" if mode == "length" else "stop")
        count = len(words) + (len(THOUGHT) if mode in ("think", "reasoning", "no-opening") else 0)
        usage: dict[str, Any] = {"prompt_tokens": 3, "completion_tokens": count, "total_tokens": 3 + count}
        if mode == "reasoning":
            usage["completion_tokens_details"] = {"reasoning_tokens": len(THOUGHT)}
        yield _event({"choices": [], "usage": usage})
        yield "data: [DONE]\n\n"

    async def _text(self, mode: str, words: list[str]) -> AsyncIterator[str]:
        """The answer's deltas, with whatever goes wrong between them."""
        if mode == "reasoning":
            for piece in THOUGHT:
                yield _chunk({"reasoning_content": piece})
        if mode in ("think", "no-opening"):
            marked = ("<think>" if mode == "think" else "") + "".join(THOUGHT) + "</think>\n\n"
            for letter in marked:  # every mark is cut everywhere
                yield _chunk({"content": letter})
        for i, piece in enumerate(words[:2] if mode == "cut" else words):
            yield _chunk({"content": piece})
            if i == 0 and mode == "gated":
                await self._released()
            if i == 1 and mode == "half":
                raise ConnectionResetError  # the connection breaks in the middle of a chunked body
            if i == 1 and mode == "malformed":
                yield "data: {this is not json\n\n"
            if i == 1 and mode == "error-in-stream":
                yield _event({"error": {"message": "CUDA out of memory", "type": "server_error"}})

    async def _released(self) -> None:
        while not self.release.is_set():  # noqa: ASYNC110 - set from another thread
            await asyncio.sleep(0.01)


async def _endless() -> AsyncIterator[bytes]:
    while True:
        yield b" " * 2**20
        await asyncio.sleep(0)


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps({'id': 'c', 'object': 'chat.completion.chunk', 'created': 1, 'model': 'm'} | data)}\n\n"


def _chunk(delta: dict[str, Any], reason: str | None = None) -> str:
    return _event({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})


def _error(
    status: int, message: str, code: str | None, headers: dict[str, str] | None = None, param: str | None = None
) -> Response:
    body = {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}
    return JSONResponse(body, status, headers)
