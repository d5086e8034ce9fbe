"""The OpenAI protocol over HTTP, for any backend: a language model or the solver."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from o1lab.errors import NotFoundError, O1LabError
from o1lab.serve.http.connections import Guard
from o1lab.serve.http.keepalive import Progress, whole
from o1lab.serve.http.responses import Answers, ChatShape, TextShape
from o1lab.serve.protocol import (
    ApiError,
    Backend,
    ChatRequest,
    CompletionRequest,
    SamplingRequest,
    ScoreRequest,
    plain_messages,
)
from o1lab.text import json_text, parse_json

MAX_BODY = 32 * 1024 * 1024
BODY_S = 60.0
"""Seconds in which the body of a request must arrive."""
MAX_DEPTH = 32
"""Levels of lists and objects in a request."""


class _Json(JSONResponse):
    """JSON that any text can be part of: a lone surrogate, which UTF-8 cannot encode, is written as an escape."""

    def render(self, content: Any) -> bytes:
        return json_text(content).encode()


def make_api(backend: Backend, token: str) -> ASGIApp:
    """Return the application.

    Every path except ``/health`` requires ``Authorization: Bearer <token>``, and every path a ``Host`` of loopback.
    """
    api = _Api(backend)
    kinds = (ApiError, O1LabError, HTTPException, Exception)
    errors: dict[Any, Callable[[Request, Any], Coroutine[Any, Any, Response]]] = dict.fromkeys(kinds, _error)
    routes = [
        Route("/health", api.health),
        Route("/v1/models", api.models),
        Route("/v1/models/{name:path}", api.model),
        Route("/v1/chat/completions", api.chat, methods=["POST"]),
        Route("/v1/completions", api.text, methods=["POST"]),
        Route("/v1/o1lab/render", api.render, methods=["POST"]),
        Route("/v1/o1lab/score", api.score, methods=["POST"]),
        Route("/v1/o1lab/adapters", api.load_adapter, methods=["POST"]),
        Route("/v1/o1lab/adapters/{name:path}", api.remove_adapter, methods=["DELETE"]),
    ]
    return Guard(Starlette(routes=routes, exception_handlers=errors), token, lambda *error: _refused(ApiError(*error)))


class _Api:
    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def health(self, _request: Request) -> Response:
        return _Json({"status": "ok", **self._backend.status()})

    async def models(self, _request: Request) -> Response:
        return _Json({"object": "list", "data": self._backend.cards()})

    async def model(self, request: Request) -> Response:
        name = request.path_params["name"]
        for card in self._backend.cards():
            if card["id"] == name:
                return _Json(card)
        raise ApiError(404, f"There is no model called {name} here.", "model_not_found", "model")

    async def render(self, request: Request) -> Response:
        parsed = ChatRequest.parse(await _body(request))
        return _Json(self._backend.render(parsed, plain_messages(parsed.messages)))

    async def score(self, request: Request) -> Response:
        parsed = ScoreRequest.parse(await _body(request))
        scores = self._backend.score(parsed, plain_messages(parsed.messages))

        async def found() -> dict[str, Any]:
            return await asyncio.to_thread((await scores).as_json)

        return await self._whole(request, found())

    async def load_adapter(self, request: Request) -> Response:
        body = await _body(request)
        name, path = body.get("name"), body.get("path")
        if not isinstance(name, str) or not name or not isinstance(path, str) or not path:
            raise ApiError(400, "An adapter needs a name and a path.", "invalid_request")
        await asyncio.to_thread(self._backend.load_adapter, name, Path(path))
        return _Json({"name": name, "models": [card["id"] for card in self._backend.cards()]})

    async def remove_adapter(self, request: Request) -> Response:
        await asyncio.to_thread(self._backend.remove_adapter, request.path_params["name"])
        return _Json({"models": [card["id"] for card in self._backend.cards()]})

    async def chat(self, request: Request) -> Response:
        parsed = ChatRequest.parse(await _body(request))
        return await self._sent(request, _chat_answers(self._backend, parsed), parsed)

    async def text(self, request: Request) -> Response:
        parsed = CompletionRequest.parse(await _body(request))
        answers = [self._backend.open_text(parsed, prompt, seed) for prompt in parsed.prompts for seed in parsed.seeds]
        return await self._sent(request, Answers(TextShape(), parsed.model, answers, len(parsed.seeds)), parsed)

    async def _sent(self, request: Request, answers: Answers, parsed: SamplingRequest) -> Response:
        if parsed.stream:
            events = answers.events(Progress(self._backend.steps), with_usage=parsed.with_usage)
            return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        return await self._whole(request, answers.body())

    async def _whole(self, request: Request, body: Awaitable[dict[str, Any]]) -> Response:
        return await whole(request, asyncio.ensure_future(body), Progress(self._backend.steps), _Json, _failed)


async def complete(backend: Backend, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the complete answer to a chat request, for callers with a backend in the same process.

    Args:
        backend: what answers.
        body: the request body.

    Returns:
        The response body.

    Raises:
        ApiError: the error response.
    """
    return await _chat_answers(backend, ChatRequest.parse(body)).body()


def _chat_answers(backend: Backend, request: ChatRequest) -> Answers:
    messages = plain_messages(request.messages)
    answers = [backend.open(request, messages, seed) for seed in request.seeds]
    return Answers(ChatShape(), request.model, answers, len(answers))


async def _body(request: Request) -> dict[str, Any]:
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                data += part
                if len(data) > MAX_BODY:
                    raise ApiError(413, "The request is too large.", "invalid_request")
    except TimeoutError as error:
        raise ApiError(408, "The request did not arrive in time.", "timeout") from error
    try:
        body = parse_json(bytes(data))
    except ValueError as error:
        raise ApiError(400, f"The request is not JSON: {error}.", "invalid_request") from error
    if not _is_flat(body):
        raise ApiError(400, f"The request is nested more than {MAX_DEPTH} levels deep.", "invalid_request")
    if not isinstance(body, dict):
        raise ApiError(400, "The request is not a JSON object.", "invalid_request")
    return body


def _is_flat(body: Any) -> bool:
    """Whether no more than ``MAX_DEPTH`` levels of lists and objects are nested."""
    level = [body]
    for _ in range(MAX_DEPTH + 1):
        if not level:
            return True
        parts = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list))
        level = [part for some in parts for part in some]
    return not level


def _refused(error: ApiError) -> Response:
    return _Json(error.body, error.status)


def _failed(error: Exception) -> Response:
    """Return the response to any error."""
    if isinstance(error, ApiError):
        return _refused(error)
    if isinstance(error, O1LabError):
        return _refused(ApiError(404 if isinstance(error, NotFoundError) else 400, str(error), error.code))
    if isinstance(error, HTTPException):
        return _refused(ApiError(error.status_code, str(error.detail)))
    return _refused(ApiError(500, "Internal server error; see the log of the server.", "server_error"))


async def _error(_request: Request, error: Exception) -> Response:
    return _failed(error)
