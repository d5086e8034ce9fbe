"""The client of jobs: makes calls, retries them where that can help, and journals every response."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import count
from typing import Self

from o1lab.inference.backend import CallContext, OnAttempt
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
from o1lab.inference.errors import host_of, wait_text
from o1lab.inference.limits import Price, prompt_tokens, rough_tokens, worst_case
from o1lab.inference.models import ModelClient
from o1lab.inference.settings import RequestSettings, StreamMode
from o1lab.inference.stream import Reply, ReplyReader
from o1lab.inference.transport import Transport
from o1lab.jobs.control import RunStopped
from store.records import now

CONNECT_TIMEOUT_S = 30.0
STREAM_FROM = 4096
"""``stream: auto`` streams if ``max_tokens`` is above this."""
LONGEST_HOLD_S = 86_400.0
"""The longest pause in seconds that is granted to a server that asks for one."""
SHOWN_HOLD_S = 30.0
"""A pause of this many seconds or more is shown."""

_SLOW_DOWNS = 20
"""A call may get status 429 (slow down) this many times ``attempts``, because it is not a failure of the call."""
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
        for model in models.values():
            model.refusals.note = context.progress.note
        self._failed_in_a_row = 0

    async def __aenter__(self) -> Self:
        self._transport = Transport(
            silence_timeout_s=self._settings.silence_timeout_s,
            first_token_timeout_s=self._settings.first_token_timeout_s,
            connect_timeout_s=CONNECT_TIMEOUT_S,
            connections=2 * self._settings.concurrency,  # never reached
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._transport.close()

    async def call(
        self,
        key: CallKey,
        messages: Sequence[Message],
        role: Role = "teacher",
        on_attempt: OnAttempt | None = None,
        *,
        max_tokens: int | None = None,
    ) -> Response:
        """Make a call; retry until there is a complete response or a retry cannot help.

        Args:
            key: identifies the call.
            messages: the messages to send.
            role: the model to ask.
            on_attempt: called with every attempt.
            max_tokens: the limit of this call; None for that of the settings.

        Returns:
            The complete response, or else the longest.

        Raises:
            RunStopped: no more calls may be made. All attempts are in the journal.
        """
        model, context, best, tries, slowed = self._models[role], self._context, None, 0, 0
        settings = (
            self._settings if max_tokens is None else self._settings.model_copy(update={"max_tokens": max_tokens})
        )
        for attempt in count(1):
            response, error = await self._attempt(role, key, messages, attempt, settings)
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
                self._hold(model, error.retry_after_s)
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
        self, role: Role, key: CallKey, messages: Sequence[Message], attempt: int, settings: RequestSettings
    ) -> tuple[Response, RequestError | None]:
        """Make one attempt within the budget and the rates, and journal it: the response, and its error if any."""
        model, context = self._models[role], self._context
        prompt = prompt_tokens(messages)
        worst, worst_usd = worst_case(messages, settings.max_tokens, model.price)
        guess = prompt + model.typical(settings.max_tokens)
        await context.control.gate()
        await context.budget.reserve(worst, worst_usd)
        try:
            await model.limits.admit(guess)
            context.progress.activity = ""
            asked_at, began = now(), time.perf_counter()
            context.progress.in_flight += 1
            try:
                reply = await self._send(model, key, messages, settings)
            finally:
                context.progress.in_flight -= 1
            response = replace(
                as_response(key, reply, model.price, prompt),
                attempt=attempt,
                asked_at=asked_at,
                seconds=round(time.perf_counter() - began, 4),
                role=role,
                asked=digest(role, messages),
            )
            model.limits.settle(guess, response.input_tokens + response.output_tokens)
            if response.state == "done":
                model.wrote(response.output_tokens)
            await context.record(response)
        finally:
            context.budget.settle(worst, worst_usd)
        return response, reply.error

    async def _send(
        self, model: ModelClient, key: CallKey, messages: Sequence[Message], settings: RequestSettings
    ) -> Reply:
        """Send the request; what this server refuses is left out for the rest of the job."""
        request = model.wanted(settings, key.sample, messages)
        if self._streams:
            request |= {"stream": True, "stream_options": {"include_usage": True}}
        reader = ReplyReader(model.target)
        async with aclosing(self._transport.send(request, reader, model.refusals)) as pieces:
            async for _ in pieces:
                pass
        return reader.end()

    def _hold(self, model: ModelClient, seconds: float) -> None:
        """Send nothing to a model for as long as its server asks; a long wait is shown."""
        model.limits.pause(min(seconds, LONGEST_HOLD_S))
        if seconds >= SHOWN_HOLD_S:
            self._context.progress.activity = (
                f"{host_of(model.target)} asks to wait; the next request to {model.target.model} is sent "
                f"{wait_text(min(seconds, LONGEST_HOLD_S))}."
            )

    async def _wait_before_retry(self, model: ModelClient, attempt: int, error: RequestError) -> None:
        """Back off exponentially; if the server asks to slow down, all calls to the model wait."""
        backoff = min(_LONGEST_BACKOFF_S, _BACKOFF_S * 2 ** min(attempt - 1, 10))
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - calls that failed together must not be retried together
        if error.code != "rate_limit":
            await self._context.clock.wait(self._context.control.stopping, backoff * jitter)
        elif error.retry_after_s is None:
            model.limits.pause(backoff * jitter)
        await self._context.control.gate()

    def _count_failure(self, error: RequestError) -> None:
        """Stop the job after many failed calls in a row, because the next ones would fail too."""
        if error.code in PERMANENT:
            return
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= max(20, 2 * self._settings.concurrency):
            self._context.control.stop(
                "failures",
                f"{self._failed_in_a_row} calls in a row failed: {error.sentence}",
                "Correct that; resuming repeats failed calls.",
            )


def as_response(key: CallKey, reply: Reply, price: Price, prompt: int) -> Response:
    """Convert a reply to a response.

    Args:
        key: the call.
        reply: what the server sent.
        price: the model's price.
        prompt: estimated number of input tokens, for servers that do not report them.
    """
    error = reply.error
    state: State = "done" if error is None else ("partial" if reply.text else "failed")
    # A request that failed without any text was not processed; one that returned text was, and costs.
    processed = error is None or bool(reply.text)
    guessed_input, guessed_output = (prompt, rough_tokens(reply.text)) if processed else (0, 0)
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
        estimated=reply.output_tokens is None and processed,
        cost_usd=price.of(input_tokens, output_tokens),
        status=reply.status,
        fault=error,
        raw=reply.raw[:RAW_LIMIT] if error is not None else "",
        refusal=reply.refusal,
        options=reply.options,
    )


def hint_for(error: RequestError) -> str:
    """Return what to do about an error that ended the job; the job adds how to resume it."""
    if error.fits is not None:
        return f"Add --max-tokens {error.fits} (or less) to the command that resumes it."
    return "Start a new run with another value." if error.code == "option" else error.hint or "Correct that."


def _length(response: Response) -> int:
    return len(response.thought) + len(response.answer)
