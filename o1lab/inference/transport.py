"""The one HTTP client of the OpenAI protocol: chat, teacher runs, evaluations and judges send their requests here."""

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
"""A stream of more events than this, beyond four for each token that it may have, obeys no limit: it is cut off."""
MOST_BODY = 64 * 2**20
"""Bytes of a body that are read, far beyond any answer."""


class Transport:
    """One connection pool for any number of models. Use as ``async with``, or call :meth:`close`.

    Args:
        silence_timeout_s: seconds without any data after which a request fails.
        connect_timeout_s: seconds within which a connection must be there.
        connections: size of the pool; None for the library's default.
    """

    def __init__(self, *, silence_timeout_s: float, connect_timeout_s: float, connections: int | None = None) -> None:
        timeout = httpx2.Timeout(silence_timeout_s, connect=connect_timeout_s)
        more: dict[str, Any] = {}
        if connections is not None:  # aiohttp stops at 100 where no number is given
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
        """A client of one server, for its other endpoints. It retries nothing."""
        place = target.base_url, target.key
        if place not in self._clients:
            self._clients[place] = openai.AsyncOpenAI(
                base_url=target.base_url, api_key=target.key, http_client=self._http, max_retries=0
            )
        return self._clients[place]

    async def send(
        self,
        target: ModelAddress,
        body: Callable[[], dict[str, Any]],
        reader: ReplyReader,
        dropped: Callable[[str], None],
    ) -> Pieces:
        """Send one chat completion request and yield the texts as they come; ``reader.end()`` is then the reply.

        Nothing is raised but cancellation, which closes the connection so that the server stops as well.

        Args:
            body: makes the request's body; called again after an option was dropped.
            reader: puts the reply together. What went wrong is its reply's ``error``.
            dropped: called with the name of an optional parameter that this server refuses; the next body must be
                without it.
        """
        while True:
            sent = body()
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
            except Exception as error:  # whatever a server makes of our libraries: what came of it is kept
                _fail(reader, error)
            return

    async def _pieces(self, target: ModelAddress, body: dict[str, Any], reader: ReplyReader) -> Pieces:
        # The bare response: the body is read here once, as text, so that what is wrong in it can be kept. How it is
        # read depends on what the server says it is, not on what was asked for.
        client = self.client(target)
        asked = client.post(
            "/chat/completions", cast_to=httpx2.Response, body=body, stream=True, stream_cls=openai.AsyncStream[object]
        )
        response = cast(httpx2.Response, await asked)
        reader.reached(response.status_code)
        kind = response.headers.get("content-type", "text/event-stream" if body.get("stream") else "")
        if not body.get("stream") or "text/event-stream" not in kind:
            text, complete = await _whole(response)
            if complete:
                for piece in reader.body(text, kind):
                    yield piece
            else:
                sentence = "The server sent far more than an answer, without an end."
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
    """The text of a body that comes at once, and whether it came to its end."""
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
    """Remembers whether the server sent ``[DONE]``, which its base class does not tell."""

    done = False

    async def _iter_events(self) -> AsyncIterator[ServerSentEvent]:
        async for event in super()._iter_events():
            self.done = self.done or event.data.startswith("[DONE]")
            yield event
