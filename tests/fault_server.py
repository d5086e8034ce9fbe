"""An OpenAI-compatible server that misbehaves on demand, for tests of whoever talks to one.

``with FaultServer("429") as server:`` answers at ``server.url``. ``server.mode`` may change between requests;
``server.requests`` holds the bodies that came, ``server.headers`` their headers, so that retries can be counted.
"""

from __future__ import annotations

import asyncio
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
    "only-max-completion-tokens",
)  # fmt: skip
ANSWER = ["The ", "answer ", "is ", "\\boxed{1458}", "."]
THOUGHT = ["Add the ones: ", "4 + 4 = 8. ", "Check."]


class FaultServer:
    """Runs in a thread of its own; ``release`` lets a ``gated`` or ``hang`` answer go on."""

    def __init__(self, mode: str = "ok", *, answer: list[str] | None = None) -> None:
        self.mode = mode
        self.answer = answer or ANSWER
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.release = threading.Event()
        self.gone = threading.Event()
        """Set when a client hung up in the middle of an answer."""
        self._sock = socket.socket()
        self._sock.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._sock.getsockname()[1]}/v1"
        routes = [Route("/v1/chat/completions", self._chat, methods=["POST"]), Route("/v1/models", self._models)]
        config = uvicorn.Config(
            Starlette(routes=routes), log_level="critical", lifespan="off", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release.set()
        self._server.should_exit = True
        self._thread.join(20)
        self._sock.close()

    def _run(self) -> None:
        async def serve() -> None:
            running = asyncio.create_task(self._server.serve([self._sock]))
            while not self._server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
            self._ready.set()
            await running

        asyncio.run(serve())

    async def _models(self, _request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "m", "object": "model"}]})

    async def _chat(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        if refusal := self._refusal(body, request.headers.get("authorization", "")):
            return refusal
        if self.mode == "html-200":
            return HTMLResponse("<html><body>Sign in</body></html>")
        if not body.get("stream"):
            return JSONResponse(self._whole())
        return StreamingResponse(self._watched(), media_type="text/event-stream")

    def _refusal(self, body: dict[str, Any], authorization: str) -> Response | None:
        key = authorization.removeprefix("Bearer ")
        match self.mode:
            case "401":
                return _error(401, f"Incorrect API key provided: {key}.", "invalid_api_key")
            case "404":
                return _error(404, "The model does not exist.", "model_not_found")
            case "429":
                return _error(429, "Rate limit reached.", "rate_limit_exceeded", {"retry-after": "7"})
            case "429-no-wait":
                return _error(429, "Rate limit reached.", "rate_limit_exceeded")
            case "500":
                return _error(500, "The server had an error.", None)
            case "context":
                return _error(400, "This model's maximum context length is 10 tokens.", "context_length_exceeded")
            case "html":
                return HTMLResponse("<html>502 Bad Gateway</html>", 502)
            case "only-max-completion-tokens" if "max_tokens" in body:
                message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
                return _error(400, message, "unsupported_parameter", param="max_tokens")
        return None

    def _whole(self) -> dict[str, Any]:
        message = {"role": "assistant", "content": "".join(self.answer)}
        usage = {"prompt_tokens": 3, "completion_tokens": len(self.answer), "total_tokens": 3 + len(self.answer)}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": usage}

    async def _watched(self) -> AsyncIterator[str]:
        try:
            async for line in self._stream():
                yield line
        except asyncio.CancelledError:
            self.gone.set()
            raise

    async def _stream(self) -> AsyncIterator[str]:
        if self.mode == "hang":
            await self._released()
            return
        if self.mode == "empty-choices":
            yield _event({"choices": []})
            yield "data: [DONE]\n\n"
            return
        if self.mode == "no-answer":
            yield _chunk({"role": "assistant", "content": ""})
            yield _chunk({}, "stop")
            yield "data: [DONE]\n\n"
            return
        async for line in self._text():
            yield line
        if self.mode == "cut":  # a proxy closed it politely: no error, no end
            return
        yield _chunk({}, "stop")
        count = len(self.answer) + (len(THOUGHT) if self.mode in ("think", "reasoning", "no-opening") else 0)
        usage: dict[str, Any] = {"prompt_tokens": 3, "completion_tokens": count, "total_tokens": 3 + count}
        if self.mode == "reasoning":
            usage["completion_tokens_details"] = {"reasoning_tokens": len(THOUGHT)}
        yield _event({"choices": [], "usage": usage})
        yield "data: [DONE]\n\n"

    async def _text(self) -> AsyncIterator[str]:
        """The answer's deltas, with whatever goes wrong between them."""
        if self.mode == "reasoning":
            for piece in THOUGHT:
                yield _chunk({"reasoning_content": piece})
        if self.mode in ("think", "no-opening"):
            marked = ("<think>" if self.mode == "think" else "") + "".join(THOUGHT) + "</think>\n\n"
            for letter in marked:  # every mark is cut everywhere
                yield _chunk({"content": letter})
        for i, piece in enumerate(self.answer[:2] if self.mode == "cut" else self.answer):
            yield _chunk({"content": piece})
            if i == 0 and self.mode == "gated":
                await self._released()
            if i == 1 and self.mode == "half":
                raise ConnectionResetError  # the connection breaks in the middle of a chunked body
            if i == 1 and self.mode == "malformed":
                yield "data: {this is not json\n\n"
            if i == 1 and self.mode == "error-in-stream":
                yield _event({"error": {"message": "CUDA out of memory", "type": "server_error"}})

    async def _released(self) -> None:
        while not self.release.is_set():  # noqa: ASYNC110 - set from another thread
            await asyncio.sleep(0.01)


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps({'id': 'c', 'object': 'chat.completion.chunk', 'created': 1, 'model': 'm'} | data)}\n\n"


def _chunk(delta: dict[str, Any], reason: str | None = None) -> str:
    return _event({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})


def _error(
    status: int, message: str, code: str | None, headers: dict[str, str] | None = None, param: str | None = None
) -> Response:
    body = {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}
    return JSONResponse(body, status, headers)
