"""The teacher's client: one call, asked again where that can help, every response in the journal before it counts."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Protocol, Self, cast

import httpx2
import openai
from openai._streaming import ServerSentEvent

from o1lab.inference.calls import (
    FATAL,
    OPTIONS,
    PERMANENT,
    RAW_LIMIT,
    TRANSIENT,
    CallKey,
    Message,
    RequestError,
    Response,
    Role,
    RunStopped,
    State,
    digest,
)  # fmt: skip
from o1lab.inference.chat_client import refused_option
from o1lab.inference.errors import BrokenStreamError, explain
from o1lab.inference.journal import Journal
from o1lab.inference.models import ModelClient
from o1lab.inference.rate_limit import Budget, Clock, Control, Price
from o1lab.inference.settings import RequestSettings, StreamMode
from o1lab.inference.stream import Reply, StreamReader, error_in, fault_from, read_body, too_much
from o1lab.inference.usage import most_tokens, rough_tokens
from o1lab.jobs.progress import Counts
from o1lab.serve.records import PAST_PROXIES
from store.records import now

CONNECT_TIMEOUT_S = 30.0
STREAM_FROM = 4096
"""``stream: auto`` streams where more than so many tokens may come."""
ENDLESS = 1000
"""A server that sends so many events beyond four a token that may come obeys no limit: it is cut off."""
MOST_BODY = 64 * 2**20
"""Bytes of a body that are read, far beyond any answer."""
LONGEST_HOLD_S = 3600.0
"""A server that asks to be left alone for longer is asked again after this."""

_SLOW_DOWNS = 20
"""How many times as often as ``attempts`` a call may be told to slow down: that is no failure of the call."""
_BACKOFF_S, _LONGEST_BACKOFF_S = 1.0, 60.0


OnAttempt = Callable[[Response], None]
"""Told of every try of a call once it is in the journal: each is paid for."""


class CompletionBackend(Protocol):
    """Who makes a call, or knows what came of it. Every engine is one."""

    async def call(
        self, key: CallKey, messages: Sequence[Message], role: Role = "teacher", on_attempt: OnAttempt | None = None
    ) -> Response:
        """The response of this call, which is in the journal; ``on_attempt`` is told of every try.

        Raises:
            RunStopped: nothing more may be asked.
        """
        ...


class CompletionClient:
    """Asks over HTTP. One connection pool for the run; use as ``async with``."""

    def __init__(
        self,
        settings: RequestSettings,
        voices: Mapping[Role, ModelClient],
        *,
        journal: Journal,
        control: Control,
        budget: Budget,
        progress: Counts,
        clock: Clock,
        stream: StreamMode = "auto",
    ) -> None:
        self._settings = settings
        self._voices = voices
        self._journal = journal
        self._control = control
        self._budget = budget
        self._progress = progress
        self._clock = clock
        self._streams = stream == "always" or (stream == "auto" and settings.max_tokens > STREAM_FROM)
        self._failed_in_a_row = 0

    async def __aenter__(self) -> Self:
        # A number, and one that is never reached: where none is given aiohttp stops at 100.
        connections = 2 * self._settings.concurrency
        self._http = openai.DefaultAioHttpClient(
            timeout=httpx2.Timeout(self._settings.silence_timeout_s, connect=CONNECT_TIMEOUT_S, pool=None),
            limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
            mounts=PAST_PROXIES,
        )
        self._clients = {
            role: openai.AsyncOpenAI(
                base_url=voice.target.base_url, api_key=voice.target.key, http_client=self._http, max_retries=0
            )
            for role, voice in self._voices.items()
        }
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def call(
        self, key: CallKey, messages: Sequence[Message], role: Role = "teacher", on_attempt: OnAttempt | None = None
    ) -> Response:
        """Ask until there is a whole response or asking again cannot help; the best of what came.

        Raises:
            RunStopped: nothing more may be asked; what came is in the journal.
        """
        voice, best, tries, slowed = self._voices[role], None, 0, 0
        for attempt in count(1):
            response, wait = await self._once(voice, role, key, messages, attempt)
            await self._journal.append(response)
            self._progress.count_response(response)
            if on_attempt is not None:
                on_attempt(response)
            if best is None or response.state == "done" or len(response.answer + response.thought) > _length(best):
                best = response
            if response.state == "done":
                self._failed_in_a_row = 0
                return response
            fault = response.fault or RequestError("failed", "")
            slow = fault.code == "rate_limit"
            slowed, tries = slowed + slow, tries + (not slow)
            if wait is not None:
                voice.limits.hold(min(wait, LONGEST_HOLD_S))
            if fault.code in FATAL:
                self._control.stop(fault.code, fault.sentence, hint_for(fault))
                raise RunStopped(fault.code)
            used_up = tries >= self._settings.attempts or slowed >= self._settings.attempts * _SLOW_DOWNS
            if fault.code not in TRANSIENT or used_up:
                self._count_failure(fault)
                return best
            self._progress.retries += 1
            await self._wait_before_retry(voice, attempt, wait, slow=slow)
        raise AssertionError  # count() does not end

    async def _once(
        self, voice: ModelClient, role: Role, key: CallKey, messages: Sequence[Message], attempt: int
    ) -> tuple[Response, float | None]:
        """One try, within budget and rates: the response, and how long the server wants to be left alone."""
        prompt = sum(rough_tokens(message["content"]) for message in messages)
        most = most_tokens(messages)
        worst = most + self._settings.max_tokens
        worst_usd = voice.price.of(most, self._settings.max_tokens)
        guess = prompt + voice.typical(self._settings.max_tokens)
        await self._control.gate()
        await self._budget.reserve(worst, worst_usd)
        used, used_usd = 0, 0.0
        try:
            await voice.limits.admit(guess)
            asked_at, began = now(), time.perf_counter()
            self._progress.in_flight += 1
            try:
                reply, wait, status = await self._request(voice, role, key, messages)
            finally:
                self._progress.in_flight -= 1
            response = as_response(key, reply, voice.price, prompt)
            used, used_usd = response.input_tokens + response.output_tokens, response.cost_usd
            voice.limits.settle(guess, used)
            if response.state == "done":
                voice.wrote(response.output_tokens)
        finally:
            self._budget.settle(worst, worst_usd, used, used_usd)
        seconds = round(time.perf_counter() - began, 4)
        asked = digest(role, messages)
        return replace(
            response, status=status, attempt=attempt, asked_at=asked_at, seconds=seconds, role=role, asked=asked
        ), wait

    async def _request(
        self, voice: ModelClient, role: Role, key: CallKey, messages: Sequence[Message]
    ) -> tuple[Reply, float | None, int | None]:
        """Send the question; drop for the run what this server refuses to take."""
        while True:
            body = voice.body(self._settings, key.sample, messages)
            if self._streams:
                body["stream"] = True
                if "stream_options" not in voice.dropped:
                    body["stream_options"] = {"include_usage": True}
            reader = StreamReader()
            wait: float | None = None
            status: int | None = 200
            try:
                reply = _without_key(await self._send(self._clients[role], body, reader), voice.target.key)
            except openai.BadRequestError as error:
                refused = droppable(error, body)
                if refused is not None:
                    if refused not in voice.dropped:
                        voice.dropped.add(refused)
                        self._progress.note(f"{voice.ref.id} does not take {refused}: it is left out.")
                    continue
                reply, wait, status = self._failed(error, voice, reader)
            except Exception as error:  # whatever a server makes of our libraries: what came of it is kept
                reply, wait, status = self._failed(error, voice, reader)
            reply.options = {name: value for name, value in body.items() if name in OPTIONS}
            return reply, wait, status

    async def _send(self, client: openai.AsyncOpenAI, body: dict[str, Any], reader: StreamReader) -> Reply:
        # The bare response: the body is read here once, as text, and what is wrong in it can be kept. How it is read
        # has nothing to do with what was asked for: of a body that never ends only so much is taken.
        asked = client.post(
            "/chat/completions", cast_to=httpx2.Response, body=body, stream=True, stream_cls=openai.AsyncStream[object]
        )
        answer = cast(httpx2.Response, await asked)
        kind = answer.headers.get("content-type", "text/event-stream" if body.get("stream") else "")
        if not body.get("stream") or "text/event-stream" not in kind:
            return await _whole(answer, kind)
        stream = _Stream(cast_to=object, response=answer, client=client)
        async for event in stream:
            reader.take(event)
            if reader.events > ENDLESS + 4 * self._settings.max_tokens:
                reader.cut()
                await answer.aclose()
                break
        reply = reader.end()
        if reply.text and not (reply.finish_reason or reader.counted or stream.ended):
            raise BrokenStreamError("half")
        return reply.judged()

    def _failed(
        self, error: Exception, voice: ModelClient, reader: StreamReader
    ) -> tuple[Reply, float | None, int | None]:
        """The reply of a request that broke off, with what came of it."""
        reply = reader.end()
        said = explain(error, voice.target, speaking=bool(reply.text))
        reply.fault = fault_from(error, said)
        # A broken event is worth more than what the parser says of it.
        reply.raw = str(getattr(error, "doc", "")) or said.raw
        if isinstance(error, openai.APIStatusError):
            reply.raw = error.response.text
        elif isinstance(error, openai.APIError) and isinstance(error.body, dict):  # within a stream
            reply.fault = error_in(error.body)
        return _without_key(reply, voice.target.key), said.retry_after_s, said.status

    async def _wait_before_retry(self, voice: ModelClient, attempt: int, asked: float | None, *, slow: bool) -> None:
        """Wait longer each time; where the server wants to be left alone, every caller waits."""
        backoff = min(_LONGEST_BACKOFF_S, _BACKOFF_S * 2 ** min(attempt - 1, 10))
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - callers that failed together must not come back together
        if slow and asked is None:
            voice.limits.hold(backoff * jitter)
        elif not slow:
            await self._clock.wait(self._control.stopping, backoff * jitter)
        await self._control.gate()

    def _count_failure(self, fault: RequestError) -> None:
        """A server that answers nobody will not answer the next hundred either."""
        if fault.code in PERMANENT:
            return
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= max(20, 2 * self._settings.concurrency):
            self._control.stop(
                "failures",
                f"{self._failed_in_a_row} calls in a row failed: {fault.sentence}",
                "Mend that and go on with --resume: failed calls are made again.",
            )


async def _whole(answer: httpx2.Response, kind: str) -> Reply:
    """The reply in a body that comes at once."""
    body = bytearray()
    async for part in answer.aiter_bytes():
        body += part
        if len(body) > MOST_BODY:
            await answer.aclose()
            return too_much(body[:RAW_LIMIT].decode("utf-8", "replace"))
    return read_body(body.decode("utf-8", "replace"), kind)


def as_response(key: CallKey, reply: Reply, price: Price, prompt: int) -> Response:
    """What a reply comes to; ``prompt`` is the rough number of input tokens, for servers that do not count them."""
    fault = reply.fault
    state: State = "done" if fault is None else ("partial" if reply.text else "failed")
    spoke = fault is None or bool(reply.text)
    estimated = reply.output_tokens is None and spoke
    # A request that failed outright was not worked on; one that spoke was, and is paid for.
    guessed_input, guessed_output = (prompt, rough_tokens(reply.text)) if spoke else (0, 0)
    input_tokens = guessed_input if reply.input_tokens is None else reply.input_tokens
    output_tokens = guessed_output if reply.output_tokens is None else reply.output_tokens
    return Response(
        key,
        state,
        thought=reply.thought,
        answer=reply.answer,
        finish_reason=reply.finish_reason,
        model=reply.model,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        thought_tokens=reply.thought_tokens,
        estimated=estimated,
        cost_usd=price.of(input_tokens, output_tokens),
        fault=fault,
        raw=reply.raw[:RAW_LIMIT] if fault is not None else "",
        refusal=reply.refusal,
        options=reply.options,
    )


class _Stream(openai.AsyncStream[object]):
    """Knows whether the server said ``[DONE]``, which its base keeps to itself."""

    ended = False

    async def _iter_events(self) -> AsyncIterator[ServerSentEvent]:
        async for event in super()._iter_events():
            self.ended = self.ended or event.data.startswith("[DONE]")
            yield event


def _without_key(reply: Reply, key: str) -> Reply:
    """The same, should a server say our key in what is kept of a fault."""
    if reply.fault is not None and len(key) > 5:
        reply.raw = reply.raw.replace(key, "***")
        reply.fault = replace(reply.fault, sentence=reply.fault.sentence.replace(key, "***"))
    return reply


def hint_for(fault: RequestError) -> str:
    """What to do about a fault that ended the run."""
    if fault.code == "option":
        return "Start a new run with another value."
    return "Mend that and go on with --resume."


def _length(response: Response) -> int:
    return len(response.thought) + len(response.answer)


def droppable(error: openai.BadRequestError, body: Mapping[str, Any]) -> str | None:
    """The parameter this server does not take, if the call can go without it."""
    optional = {"temperature", "top_p", "seed", "reasoning_effort", "stream_options", "max_tokens"} & body.keys()
    refused = refused_option(error, {name: body[name] for name in optional})
    if refused == "max_tokens" and "max_completion_tokens" not in str(error):
        return None  # without a limit a call may cost anything
    return refused
