"""The OpenAI chat protocol over HTTP, for any backend: a language model or the solver."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from o1lab.errors import NotFoundError, O1LabError
from o1lab.serve.connections import Guard
from o1lab.small_files import parse_json
from o1lab.text import json_text

MAX_BODY = 32 * 1024 * 1024
BODY_S = 60.0
"""Seconds in which the body of a request must arrive."""
MAX_DEPTH = 32
"""Levels of lists and objects in a request."""


class _Json(JSONResponse):
    """JSON that any text can be part of: a lone surrogate, which UTF-8 cannot encode, is written as an escape."""

    def render(self, content: Any) -> bytes:
        return json_text(content).encode()


class ChatRequest(BaseModel):
    """The supported fields of a request; others are ignored, as in other servers of the protocol."""

    model_config = ConfigDict(extra="ignore")

    model: str
    messages: list[dict[str, Any]] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1, le=2**31)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=2**31)
    temperature: float | None = Field(default=None, ge=0, le=10)
    top_p: float | None = Field(default=None, ge=0, le=1)
    seed: int | None = Field(default=None, ge=-(2**62), le=2**62)
    n: int | None = Field(default=None, ge=1, le=64)
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    default_system: bool = Field(default=True, description="Ask a student with the system prompt of its run.")

    @property
    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


@dataclass(frozen=True)
class Piece:
    """A piece of text to send, and the field of the protocol it belongs to."""

    kind: Literal["content", "reasoning_content"]
    text: str


@dataclass(frozen=True)
class End:
    """The end of an answer, with counts in tokens; None if the backend cannot count."""

    reason: str
    prompt_tokens: int | None
    completion_tokens: int | None
    reasoning_tokens: int | None = None


class ApiError(Exception):
    """An error response of the protocol."""

    def __init__(self, status: int, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param

    @property
    def body(self) -> dict[str, Any]:
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


class Backend(Protocol):
    """What answers requests. ``open`` checks the request and raises ``ApiError`` before anything is sent."""

    engine: str

    def cards(self) -> list[dict[str, Any]]: ...
    def status(self) -> dict[str, Any]: ...
    def render(self, request: ChatRequest, messages: list[dict[str, str]]) -> dict[str, Any]: ...
    def open(
        self, request: ChatRequest, messages: list[dict[str, str]], seed: int | None
    ) -> AsyncIterator[Piece | End]: ...
    def load_adapter(self, name: str, path: Path) -> None: ...
    def remove_adapter(self, name: str) -> None: ...
    def close(self) -> None: ...


def make_api(backend: Backend, token: str) -> ASGIApp:
    """Return the application.

    Every path except ``/health`` requires ``Authorization: Bearer <token>``, and every path a ``Host`` of loopback.
    """
    api = _Api(backend)
    errors: dict[Any, Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
        ApiError: _api_error,
        O1LabError: _own_error,
        HTTPException: _http_error,
        Exception: _unexpected,
    }
    routes = [
        Route("/health", api.health),
        Route("/v1/models", api.models),
        Route("/v1/chat/completions", api.chat, methods=["POST"]),
        Route("/v1/o1lab/render", api.render, methods=["POST"]),
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

    async def render(self, request: Request) -> Response:
        parsed = _parsed(await _body(request))
        return _Json(self._backend.render(parsed, plain_messages(parsed.messages)))

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
        parsed, answers, head = _open(self._backend, await _body(request))
        if parsed.stream:
            with_usage = bool((parsed.stream_options or {}).get("include_usage"))
            lines = _stream(answers, head, with_usage=with_usage)
            return StreamingResponse(lines, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        work = asyncio.gather(*(_collect(answer) for answer in answers))
        return _Json(_completion(await _unless_gone(request, work), head))


async def complete(backend: Backend, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the complete answer to a request, for callers with a backend in the same process.

    Args:
        backend: what answers.
        body: the request body.

    Returns:
        The response body.

    Raises:
        ApiError: the error response.
    """
    _, answers, head = _open(backend, body)
    return _completion(await asyncio.gather(*(_collect(answer) for answer in answers)), head)


def _open(
    backend: Backend, body: Mapping[str, Any]
) -> tuple[ChatRequest, list[AsyncIterator[Piece | End]], dict[str, Any]]:
    """Return the parsed request, its answers, and the fields common to all response bodies."""
    request = _parsed(body)
    messages = plain_messages(request.messages)
    seeds = [None if request.seed is None else request.seed + i for i in range(request.n or 1)]
    answers = [backend.open(request, messages, seed) for seed in seeds]
    head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": request.model}
    return request, answers, head


def _parsed(body: Mapping[str, Any]) -> ChatRequest:
    try:
        return ChatRequest.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ApiError(400, f"{where}: {first['msg']}.", "invalid_request", where) from error


def plain_messages(given: Any) -> list[dict[str, str]]:
    """Return messages as role and text, with content parts joined.

    Raises:
        ApiError: a message has other content than text, or there are none.
    """
    messages = []
    for i, message in enumerate(given if isinstance(given, list) else []):
        role = message.get("role") if isinstance(message, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            texts = [part.get("text") for part in content if isinstance(part, dict)]
            parts = [text for text in texts if isinstance(text, str)]
            content = "".join(parts) if len(parts) == len(content) else None
        if not isinstance(role, str) or not isinstance(content, str):
            raise ApiError(400, "A message needs a role and text content.", "invalid_request", f"messages.{i}")
        messages.append({"role": role, "content": content})
    if not messages:
        raise ApiError(400, "There are no messages.", "invalid_request", "messages")
    return messages


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


async def _collect(answer: AsyncIterator[Piece | End]) -> tuple[dict[str, str], End]:
    texts = {"content": "", "reasoning_content": ""}
    async for part in answer:
        if isinstance(part, End):
            return texts, part
        texts[part.kind] += part.text
    raise ApiError(500, "The answer has no end.", "server_error")


async def _unless_gone(request: Request, work: asyncio.Future[Any]) -> Any:
    """Return the result of ``work``; cancel it if the client disconnects."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    watch = asyncio.ensure_future(gone())
    try:
        await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ApiError(499, "The client disconnected.", "cancelled")
        return work.result()
    finally:
        work.cancel()
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await work


def _completion(results: list[tuple[dict[str, str], End]], head: dict[str, Any]) -> dict[str, Any]:
    choices = []
    for i, (texts, end) in enumerate(results):
        message = {"role": "assistant", "content": texts["content"]}
        if texts["reasoning_content"]:
            message["reasoning_content"] = texts["reasoning_content"]
        choices.append({"index": i, "message": message, "finish_reason": end.reason, "logprobs": None})
    usage = _usage([end for _, end in results])
    return head | {"object": "chat.completion", "choices": choices, "usage": usage}


async def _stream(
    answers: list[AsyncIterator[Piece | End]], head: dict[str, Any], *, with_usage: bool
) -> AsyncIterator[str]:
    """Yield server-sent events of all choices as their pieces arrive; an error is sent as an event."""
    head = head | {"object": "chat.completion.chunk"}
    arrivals: asyncio.Queue[tuple[int, Piece | End | Exception]] = asyncio.Queue()
    tasks = [asyncio.create_task(_forward(i, answer, arrivals)) for i, answer in enumerate(answers)]
    ends: list[End] = []
    begun: set[int] = set()
    try:
        while len(ends) < len(answers):
            i, part = await arrivals.get()
            if isinstance(part, Exception):
                error = part if isinstance(part, ApiError) else ApiError(500, "Internal server error.")
                yield _event(error.body)
                break
            delta: dict[str, Any] = {} if i in begun else {"role": "assistant", "content": ""}
            begun.add(i)
            if isinstance(part, Piece):
                delta |= {part.kind: part.text}
            else:
                ends.append(part)
            reason = part.reason if isinstance(part, End) else None
            yield _event(head | {"choices": [{"index": i, "delta": delta, "finish_reason": reason}]})
        if with_usage and len(ends) == len(answers):
            yield _event(head | {"choices": [], "usage": _usage(ends)})
        yield "data: [DONE]\n\n"
    finally:
        # Also if the client disconnected: cancelling closes each answer and removes its row from the batch.
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _forward(
    i: int, answer: AsyncIterator[Piece | End], arrivals: asyncio.Queue[tuple[int, Piece | End | Exception]]
) -> None:
    try:
        async for part in answer:
            arrivals.put_nowait((i, part))
    except Exception as error:
        arrivals.put_nowait((i, error))


def _usage(ends: list[End]) -> dict[str, Any] | None:
    """Return the token counts of all choices, None if the backend cannot count. The prompt counts once."""
    if any(end.prompt_tokens is None or end.completion_tokens is None for end in ends):
        return None
    prompt = ends[0].prompt_tokens or 0
    completion = sum(end.completion_tokens or 0 for end in ends)
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if any(end.reasoning_tokens is not None for end in ends):
        thought = sum(end.reasoning_tokens or 0 for end in ends)
        usage["completion_tokens_details"] = {"reasoning_tokens": thought}
    return usage


def _event(data: dict[str, Any]) -> str:
    return f"data: {json_text(data)}\n\n"


def _refused(error: ApiError) -> Response:
    return _Json(error.body, error.status)


async def _api_error(_request: Request, error: ApiError) -> Response:
    return _refused(error)


async def _own_error(_request: Request, error: O1LabError) -> Response:
    status = 404 if isinstance(error, NotFoundError) else 400
    return _Json(ApiError(status, str(error), error.code).body, status)


async def _http_error(_request: Request, error: HTTPException) -> Response:
    return _Json(ApiError(error.status_code, str(error.detail)).body, error.status_code)


async def _unexpected(_request: Request, _error: Exception) -> Response:
    return _Json(ApiError(500, "Internal server error; see the log of the server.", "server_error").body, 500)
