"""The HTTP client of the OpenAI protocol, which chat, teacher runs, evaluations and judges share."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Self, cast

import httpx2
import openai
from openai._streaming import ServerSentEvent

from o1lab.inference.calls import OPTIONS, RAW_LIMIT, RequestError
from o1lab.inference.errors import classify, refused_option
from o1lab.inference.stream import Piece, ReplyReader
from o1lab.serve.records import PAST_PROXIES
from o1lab.serve.registry import ModelAddress

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
        connections: size of the pool; None for the library's default.
    """

    def __init__(self, *, silence_timeout_s: float, connect_timeout_s: float, connections: int | None = None) -> None:
        timeout = httpx2.Timeout(silence_timeout_s, connect=connect_timeout_s)
        more: dict[str, Any] = {}
        if connections is not None:  # the default of aiohttp is 100
            timeout = httpx2.Timeout(silence_timeout_s, connect=connect_timeout_s, pool=None)
            more["limits"] = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._clients: dict[tuple[str, str], openai.AsyncOpenAI] = {}
        self._http = openai.DefaultAioHttpClient(timeout=timeout, mounts=PAST_PROXIES, **more)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    def client(self, target: ModelAddress) -> openai.AsyncOpenAI:
        """Return a client of one server, for its other endpoints. It retries nothing."""
        address = target.base_url, target.key
        if address not in self._clients:
            self._clients[address] = openai.AsyncOpenAI(
                base_url=target.base_url, api_key=target.key, http_client=self._http, max_retries=0
            )
        return self._clients[address]

    async def send(
        self,
        target: ModelAddress,
        body: Callable[[], dict[str, Any]],
        reader: ReplyReader,
        dropped: Callable[[str], None],
    ) -> Pieces:
        """Send one chat completion request and yield its text as it arrives; afterwards ``reader.end()`` is the reply.

        Errors are not raised but recorded in the reply. Cancelling closes the connection, so that the server stops too.

        Args:
            target: the model.
            body: returns the request's body; called again after an option was dropped.
            reader: builds the reply.
            dropped: called with the name of an optional parameter that this server rejects; the next body must not
                have it.
        """
        while True:
            sent = body() | dict(target.fields)
            reader.sent({name: value for name, value in sent.items() if name in OPTIONS})
            try:
                async with aclosing(self._pieces(target, sent, reader)) as pieces:
                    async for piece in pieces:
                        yield piece
            except openai.BadRequestError as error:
                if (refused := refused_option(error, sent)) is not None:
                    dropped(refused)
                    continue
                _fail(reader, error)
            except Exception as error:  # any error of the libraries; the text received before is kept
                _fail(reader, error)
            return

    async def _pieces(self, target: ModelAddress, body: dict[str, Any], reader: ReplyReader) -> Pieces:
        # The raw response is read here as text, so that a faulty body can be kept. The content type of the response
        # decides how it is read, not what was requested.
        client = self.client(target)
        request = client.post(
            "/chat/completions", cast_to=httpx2.Response, body=body, stream=True, stream_cls=openai.AsyncStream[object]
        )
        response = cast(httpx2.Response, await request)
        reader.reached(response.status_code)
        kind = response.headers.get("content-type", "text/event-stream" if body.get("stream") else "")
        if not body.get("stream") or "text/event-stream" not in kind:
            text, complete = await _whole(response)
            if complete:
                for piece in reader.body(text, kind):
                    yield piece
            else:
                sentence = f"The server sent more than {MOST_BODY >> 20} MiB without an end."
                reader.fail(RequestError.of("endless", sentence, status=200), text[:RAW_LIMIT])
            return
        limit = body.get("max_tokens") or body.get("max_completion_tokens")
        stream = _Stream(cast_to=object, response=response, client=client)
        async for event in stream:
            for piece in reader.take(event):
                yield piece
            if limit is not None and reader.events > ENDLESS + 4 * limit:
                reader.cut()
                await response.aclose()
                return
        reader.ended = reader.ended or stream.done


async def _whole(response: httpx2.Response) -> tuple[str, bool]:
    """Return the text of a body, and whether it is complete."""
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > MOST_BODY:
            await response.aclose()
            return body[:RAW_LIMIT].decode("utf-8", "replace"), False
    return body.decode("utf-8", "replace"), True


def _fail(reader: ReplyReader, error: Exception) -> None:
    found = classify(error, reader.target, speaking=reader.speaking)
    reader.fail(found, error.response.text if isinstance(error, openai.APIStatusError) else "")


class _Stream(openai.AsyncStream[object]):
    """Records whether the server sent ``[DONE]``, which the base class does not report."""

    done = False

    async def _iter_events(self) -> AsyncIterator[ServerSentEvent]:
        async for event in super()._iter_events():
            self.done = self.done or event.data.startswith("[DONE]")
            yield event
