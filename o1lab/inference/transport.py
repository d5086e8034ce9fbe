"""The HTTP client of the OpenAI protocol, which chat, teacher runs, evaluations and judges share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Self, cast

import httpx2
import openai

from o1lab.inference.calls import OPTIONS, RAW_LIMIT, RequestError
from o1lab.inference.continuing import CannotContinueError, continuation
from o1lab.inference.errors import classify, payload_of
from o1lab.inference.refused import Refusals, refused_options
from o1lab.inference.stream import EventParser, Piece, ReplyReader
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.records import PAST_PROXIES, certificates

Pieces = AsyncGenerator[Piece, None]
ENDLESS = 1000
"""A stream is cut off after this number of events plus four per allowed token, because it ignores the limit."""
MOST_BODY = 64 * 2**20
"""Maximum number of bytes read of a body, far more than any answer has."""


class Transport:
    """One connection pool for any number of models. Use as ``async with``, or call :meth:`close`.

    Args:
        silence_timeout_s: seconds without any data after which a request fails.
        connect_timeout_s: seconds after which connecting fails.
        first_token_timeout_s: seconds without any data before the first text of a stream after which a request fails;
            None for what the address says, else ``default_first_s``.
        default_first_s: that limit where nothing else says it; None for ``silence_timeout_s``.
        connections: size of the pool; None for the library's default.
    """

    def __init__(
        self,
        *,
        silence_timeout_s: float,
        connect_timeout_s: float,
        first_token_timeout_s: float | None = None,
        default_first_s: float | None = None,
        connections: int | None = None,
    ) -> None:
        self._silence_s = silence_timeout_s
        self._first_s = first_token_timeout_s
        self._default_first_s = silence_timeout_s if default_first_s is None else default_first_s
        self._connect_s = connect_timeout_s
        timeout = httpx2.Timeout(silence_timeout_s, connect=connect_timeout_s)
        more: dict[str, Any] = {}
        if connections is not None:  # the default of aiohttp is 100
            timeout = httpx2.Timeout(silence_timeout_s, connect=connect_timeout_s, pool=None)
            more["limits"] = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._clients: dict[ModelAddress, openai.AsyncOpenAI] = {}
        self._http = openai.DefaultAioHttpClient(timeout=timeout, mounts=PAST_PROXIES, verify=certificates(), **more)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    def client(self, target: ModelAddress) -> openai.AsyncOpenAI:
        """Return a client of one server, for its other endpoints. It retries nothing."""
        if target not in self._clients:
            self._clients[target] = openai.AsyncOpenAI(
                base_url=target.base_url,
                api_key=target.key,
                default_query=dict(target.query),
                default_headers=dict(target.headers),
                http_client=self._http,
                max_retries=0,
                timeout=httpx2.Timeout(self._first(target, streamed=False), connect=self._connect_s, pool=None),
            )
        return self._clients[target]

    def _first(self, target: ModelAddress, *, streamed: bool) -> float:
        """Return the longest silence before the first text. A response that is not streamed comes as a whole."""
        chosen = self._first_s or target.first_token_timeout_s or self._default_first_s
        return chosen if streamed else max(chosen, self._silence_s)

    async def send(self, body: Mapping[str, Any], reader: ReplyReader, refusals: Refusals) -> Pieces:
        """Send one chat completion request and yield its text as it arrives; afterwards ``reader.end()`` is the reply.

        If the last message is the assistant's, the model continues it (:mod:`o1lab.inference.continuing`): the reply is
        what follows it.

        Errors are not raised but recorded in the reply. Cancelling closes the connection, so that the server stops too.

        Args:
            body: the request's body.
            reader: builds the reply of its target.
            refusals: what the server refuses: it is left out, and added to when the server refuses more.
        """
        tried: set[str] = set()
        while True:
            sent = refusals.apply({**body, **reader.target.fields})
            options = {name: value for name, value in sent.items() if name in OPTIONS}
            folded = len(sent["messages"]) < len(body["messages"])
            reader.sent(options | ({"system_in": "user"} if folded else {}))
            try:
                path = "/chat/completions"
                if sent["messages"][-1]["role"] == "assistant":
                    reader.continues = True
                    path, sent = await continuation(self.client(reader.target), reader.target, sent)
                async with aclosing(self._pieces(path, sent, reader)) as pieces:
                    async for piece in pieces:
                        yield piece
            except openai.APIStatusError as error:
                found = refused_options(error.status_code, payload_of(error), sent, code=error.code, param=error.param)
                refusals.add(found)
                if found.keys() - tried:
                    tried |= found.keys()
                    continue  # without what was refused; refused again, it fails
                _fail(reader, error, sent)
            except CannotContinueError as error:
                reader.fail(error.error)
            except Exception as error:  # any error of the libraries; the text received before is kept
                _fail(reader, error, sent)
            for piece in reader.rest():
                yield piece
            return

    async def _pieces(self, path: str, body: dict[str, Any], reader: ReplyReader) -> Pieces:
        # The raw response is read here as text, so that a faulty body can be kept. The content type of the response
        # decides how it is read; what was requested counts only if it says neither.
        target = reader.target
        request = self.client(target).post(
            path, cast_to=httpx2.Response, body=body, stream=True, stream_cls=openai.AsyncStream[object]
        )
        first_s = self._first(target, streamed=bool(body.get("stream")))
        async with asyncio.timeout(first_s):
            response = cast(httpx2.Response, await request)
        try:
            reader.reached(response.status_code)
            kind = response.headers.get("content-type", "")
            whole = "html" in kind or "json" in kind or not body.get("stream")
            if "text/event-stream" in kind or not whole:
                limit = body.get("max_tokens") or body.get("max_completion_tokens")
                async with aclosing(self._events(response, reader, first_s)) as events:
                    async for data in events:
                        for piece in reader.take(data):
                            yield piece
                        if limit is not None and reader.events > ENDLESS + 4 * limit:
                            reader.cut()
                            return
                        if reader.failed:
                            return
                return
            text, complete = await _whole(response)
            if complete:
                for piece in reader.body(text, kind):
                    yield piece
            else:
                sentence = f"The server sent more than {MOST_BODY >> 20} MiB without an end."
                reader.fail(RequestError.of("endless", sentence, status=200), text[:RAW_LIMIT])
        finally:
            await response.aclose()

    async def _events(
        self, response: httpx2.Response, reader: ReplyReader, first_s: float
    ) -> AsyncGenerator[str, None]:
        """Yield the data of the events of a stream.

        Raises:
            TimeoutError: the server was silent for too long.
        """
        parser, chunks = EventParser(), response.aiter_bytes()
        while True:
            try:
                async with asyncio.timeout(self._silence_s if reader.speaking else first_s):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                break
            for data in parser.feed(chunk):
                yield data
        for data in parser.end():
            yield data


async def _whole(response: httpx2.Response) -> tuple[str, bool]:
    """Return the text of a body, and whether it is complete."""
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > MOST_BODY:
            return body[:RAW_LIMIT].decode("utf-8", "replace"), False
    return body.decode("utf-8", "replace"), True


def _fail(reader: ReplyReader, error: Exception, sent: Mapping[str, Any]) -> None:
    found = classify(error, reader.target, speaking=reader.speaking, sent=sent)
    reader.fail(found, error.response.text if isinstance(error, openai.APIStatusError) else "")
