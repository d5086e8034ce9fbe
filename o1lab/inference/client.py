"""The client of jobs: one call, retried where that can help; every response is in the journal before it counts."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import count
from typing import Any, Self

from o1lab.inference.backend import CallContext, OnAttempt
from o1lab.inference.budget import Price
from o1lab.inference.calls import (
    FATAL,
    PERMANENT,
    RAW_LIMIT,
    CallKey,
    Message,
    RequestError,
    Response,
    Role,
    State,
    digest,
)
from o1lab.inference.models import ModelClient
from o1lab.inference.settings import RequestSettings, StreamMode
from o1lab.inference.stream import Reply, ReplyReader, flaw
from o1lab.inference.transport import Transport
from o1lab.inference.usage import most_tokens, rough_tokens
from o1lab.jobs.control import RunStopped
from store.records import now

CONNECT_TIMEOUT_S = 30.0
STREAM_FROM = 4096
"""``stream: auto`` streams where more tokens than this may come."""
LONGEST_HOLD_S = 3600.0
"""The longest that a server is left alone, whatever it asks for."""

_SLOW_DOWNS = 20
"""A call may get 429 (slow down) this many times ``attempts``: that is not a failure of the call."""
_BACKOFF_S, _LONGEST_BACKOFF_S = 1.0, 60.0


class CompletionClient:
    """Sends calls over HTTP, with one connection pool. Use as ``async with``.

    Args:
        settings: sampling options, attempts and timeouts.
        models: the model of each role.
        context: what all calls of the job share.
        stream: whether responses are streamed.
    """

    def __init__(
        self,
        settings: RequestSettings,
        models: Mapping[Role, ModelClient],
        context: CallContext,
        *,
        stream: StreamMode = "auto",
    ) -> None:
        self._settings = settings
        self._models = models
        self._context = context
        self._streams = stream == "always" or (stream == "auto" and settings.max_tokens > STREAM_FROM)
        self._failed_in_a_row = 0

    async def __aenter__(self) -> Self:
        self._transport = Transport(
            silence_timeout_s=self._settings.silence_timeout_s,
            connect_timeout_s=CONNECT_TIMEOUT_S,
            connections=2 * self._settings.concurrency,  # never reached
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._transport.close()

    async def call(
        self, key: CallKey, messages: Sequence[Message], role: Role = "teacher", on_attempt: OnAttempt | None = None
    ) -> Response:
        """Retry until there is a whole response or a retry cannot help; the best of what came.

        Raises:
            RunStopped: no more calls may be made; what came is in the journal.
        """
        model, context, best, tries, slowed = self._models[role], self._context, None, 0, 0
        for attempt in count(1):
            response, error = await self._attempt(model, role, key, messages, attempt)
            await context.record(response)
            if on_attempt is not None:
                on_attempt(response)
            if best is None or response.state == "done" or _length(response) > _length(best):
                best = response
            if error is None:
                self._failed_in_a_row = 0
                return response
            slow = error.code == "rate_limit"
            slowed, tries = slowed + slow, tries + (not slow)
            if error.retry_after_s is not None:
                model.limits.hold(min(error.retry_after_s, LONGEST_HOLD_S))
            if error.code in FATAL:
                context.control.stop(error.code, error.sentence, hint_for(error))
                raise RunStopped(error.code)
            used_up = tries >= self._settings.attempts or slowed >= self._settings.attempts * _SLOW_DOWNS
            if not error.transient or used_up:
                self._count_failure(error)
                return best
            context.progress.retries += 1
            await self._wait_before_retry(model, attempt, error)
        raise AssertionError  # count() does not end

    async def _attempt(
        self, model: ModelClient, role: Role, key: CallKey, messages: Sequence[Message], attempt: int
    ) -> tuple[Response, RequestError | None]:
        """One attempt, within budget and rates: the response, and why it is not whole."""
        context, settings = self._context, self._settings
        prompt = sum(rough_tokens(message["content"]) for message in messages)
        most = most_tokens(messages)
        worst, worst_usd = most + settings.max_tokens, model.price.of(most, settings.max_tokens)
        guess = prompt + model.typical(settings.max_tokens)
        await context.control.gate()
        await context.budget.reserve(worst, worst_usd)
        used, used_usd = 0, 0.0
        try:
            await model.limits.admit(guess)
            asked_at, began = now(), time.perf_counter()
            context.progress.in_flight += 1
            try:
                reply = await self._send(model, key, messages)
            finally:
                context.progress.in_flight -= 1
            response = as_response(key, reply, model.price, prompt)
            used, used_usd = response.input_tokens + response.output_tokens, response.cost_usd
            model.limits.settle(guess, used)
            if response.state == "done":
                model.wrote(response.output_tokens)
        finally:
            context.budget.settle(worst, worst_usd, used, used_usd)
        seconds = round(time.perf_counter() - began, 4)
        asked = digest(role, messages)
        response = replace(response, attempt=attempt, asked_at=asked_at, seconds=seconds, role=role, asked=asked)
        return response, reply.error

    async def _send(self, model: ModelClient, key: CallKey, messages: Sequence[Message]) -> Reply:
        """Send the request; options that this server refuses are left out for the rest of the job."""

        def body() -> dict[str, Any]:
            made = model.body(self._settings, key.sample, messages)
            if self._streams:
                made["stream"] = True
                if "stream_options" not in model.dropped:
                    made["stream_options"] = {"include_usage": True}
            return made

        reader = ReplyReader(model.target)
        drop = model.dropper(self._context.progress.note)
        async with aclosing(self._transport.send(model.target, body, reader, drop)) as pieces:
            async for _ in pieces:
                pass
        reply = reader.end()
        reply.error = reply.error or flaw(reply, model.target)
        return reply

    async def _wait_before_retry(self, model: ModelClient, attempt: int, error: RequestError) -> None:
        """Wait longer each time; where the server asks to slow down, every caller of the model waits."""
        backoff = min(_LONGEST_BACKOFF_S, _BACKOFF_S * 2 ** min(attempt - 1, 10))
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - calls that failed together must not be retried together
        if error.code != "rate_limit":
            await self._context.clock.wait(self._context.control.stopping, backoff * jitter)
        elif error.retry_after_s is None:
            model.limits.hold(backoff * jitter)
        await self._context.control.gate()

    def _count_failure(self, error: RequestError) -> None:
        """Stop the job when a server answers no call at all: it would not answer the next hundred either."""
        if error.code in PERMANENT:
            return
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= max(20, 2 * self._settings.concurrency):
            self._context.control.stop(
                "failures",
                f"{self._failed_in_a_row} calls in a row failed: {error.sentence}",
                "Mend that and go on with --resume: failed calls are made again.",
            )


def as_response(key: CallKey, reply: Reply, price: Price, prompt: int) -> Response:
    """The response that a reply comes to.

    Args:
        prompt: estimated number of input tokens, for servers that do not count them.
    """
    error = reply.error
    state: State = "done" if error is None else ("partial" if reply.text else "failed")
    # A request that failed outright was not worked on; one that brought text was, and is paid for.
    spoke = error is None or bool(reply.text)
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
        estimated=reply.output_tokens is None and spoke,
        cost_usd=price.of(input_tokens, output_tokens),
        status=reply.status,
        fault=error,
        raw=reply.raw[:RAW_LIMIT] if error is not None else "",
        refusal=reply.refusal,
        options=reply.options,
    )


def hint_for(error: RequestError) -> str:
    """What to do about an error that ended the job."""
    if error.code == "option":
        return "Start a new run with another value."
    return "Mend that and go on with --resume."


def _length(response: Response) -> int:
    return len(response.thought) + len(response.answer)
