"""One answer from one model, as a stream of events; whatever goes wrong becomes one clear sentence."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, cast

import httpx2
import openai

from o1lab.inference.errors import BrokenStreamError, explain
from o1lab.inference.events import Delta, Done, Event, Failed, Message, Recast, Sampling, Started
from o1lab.inference.thoughts import ThoughtSplitter
from o1lab.serve.records import PAST_PROXIES
from o1lab.serve.registry import ModelAddress

CONNECT_TIMEOUT_S = 10.0
SILENCE_TIMEOUT_S = 120.0
"""How long nothing at all may come: prompts queue behind others, long thoughts stream all the time."""


_FAILURES = (openai.OpenAIError, httpx2.HTTPError, httpx2.InvalidURL, BrokenStreamError, ValueError)


class ChatClient:
    """Holds one connection pool for all panes. Use as ``async with`` or call :meth:`close`."""

    def __init__(self, *, silence_timeout_s: float = SILENCE_TIMEOUT_S) -> None:
        timeout = httpx2.Timeout(silence_timeout_s, connect=CONNECT_TIMEOUT_S)
        self._http = openai.DefaultAioHttpClient(timeout=timeout, mounts=PAST_PROXIES)

    async def __aenter__(self) -> ChatClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def stream(
        self, target: ModelAddress, messages: Sequence[Message], sampling: Sampling | None = None
    ) -> AsyncIterator[Event]:
        """Stream ``target``'s answer. The last event is always ``Done`` or ``Failed``; nothing is raised but
        cancellation, which closes the connection so that the server stops as well.
        """
        began = time.perf_counter()
        speaking = False
        try:
            async for event in self._events(target, messages, sampling or Sampling(), began):
                speaking = True
                yield event
        except _FAILURES as error:
            yield Failed(explain(error, target, speaking=speaking), time.perf_counter() - began)

    async def _events(
        self, target: ModelAddress, messages: Sequence[Message], sampling: Sampling, began: float
    ) -> AsyncIterator[Event]:
        response = await self._ask(target, messages, sampling)
        if "text/event-stream" not in response.headers.get("content-type", "text/event-stream"):
            raise BrokenStreamError("html", response.headers.get("content-type", ""))
        stream = response.parse()
        splitter, first, last, finish, usage = ThoughtSplitter(), None, began, None, None
        async for chunk in stream:
            usage = getattr(chunk, "usage", None) or usage
            if not getattr(chunk, "choices", None):
                continue
            last = time.perf_counter()
            choice = chunk.choices[0]
            finish = choice.finish_reason or finish
            for event in _deltas(choice.delta, splitter):
                if first is None:
                    first = last
                    yield Started(first - began)
                yield event
        for event in splitter.flush():
            yield event
        if finish is None:
            raise BrokenStreamError("half" if first is not None else "empty")
        if finish == "error":
            raise BrokenStreamError("half")
        yield _done(finish, usage, began, first, last)

    async def _ask(self, target: ModelAddress, messages: Sequence[Message], sampling: Sampling) -> Any:
        """Send the question; drop or rename the optional parameters that this server refuses by name.

        Reasoning models take ``max_completion_tokens`` and no temperature; older servers
        no ``stream_options``.
        """
        client = openai.AsyncOpenAI(base_url=target.base_url, api_key=target.key, http_client=self._http, max_retries=0)
        options = _options(sampling)
        while True:
            try:
                return await client.chat.completions.with_raw_response.create(
                    model=target.model, messages=cast(Any, list(messages)), stream=True, **options
                )
            except openai.BadRequestError as error:
                refused = refused_option(error, options)
                if refused is None:
                    raise
                value = options.pop(refused)
                if refused == "max_tokens":
                    options["max_completion_tokens"] = value


async def stream_chat(
    target: ModelAddress, messages: Sequence[Message], sampling: Sampling | None = None
) -> AsyncIterator[Event]:
    """:meth:`ChatClient.stream` with a client of its own, for a single answer."""
    async with ChatClient() as client:
        async for event in client.stream(target, messages, sampling):
            yield event


def _options(sampling: Sampling) -> dict[str, Any]:
    options = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "seed": sampling.seed,
        "stop": list(sampling.stop) or None,
        "stream_options": {"include_usage": True},
    }
    return {name: value for name, value in options.items() if value is not None}


def refused_option(error: openai.BadRequestError, options: Mapping[str, Any]) -> str | None:
    """The optional parameter this error names as not taken, if there is one.

    One whose value is wrong is taken: a server that says which values there are wants one of those.
    """
    message = str(error).lower()
    if error.code == "context_length_exceeded" or any(word in message for word in _WRONG_VALUE):
        return None
    if error.code not in _NOT_TAKEN_CODES and not any(word in message for word in _NOT_TAKEN):
        return None
    return error.param if error.param in options else next((name for name in options if name in message), None)


_NOT_TAKEN = (
    "unsupported",
    "not support",
    "unrecognized",
    "unknown",
    "unexpected",
    "extra",
    "not permitted",
    "deprecated",
)
_NOT_TAKEN_CODES = ("unsupported_parameter", "unsupported_value", "unknown_parameter")
_WRONG_VALUE = ("supported values are", "invalid value", "must be one of")


def _deltas(delta: Any, splitter: ThoughtSplitter) -> list[Delta | Recast]:
    """The events of one chunk: thought under either of its field names, content split by its marks."""
    events: list[Delta | Recast] = []
    if delta is None:
        return events
    thought = getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None)
    if isinstance(thought, str) and thought:
        events.append(Delta("thought", thought))
    if content := delta.content:
        events.extend(splitter.feed(content))
    return events


def _done(finish: str, usage: Any, began: float, first: float | None, last: float) -> Done:
    completion = getattr(usage, "completion_tokens", None)
    details = getattr(usage, "completion_tokens_details", None)
    thought = getattr(details, "reasoning_tokens", None)
    decoding = last - first if first is not None else 0.0
    speed = (completion - 1) / decoding if completion and completion > 1 and decoding > 0 else None
    return Done(
        finish_reason=finish,
        prompt_tokens=getattr(usage, "prompt_tokens", None),
        completion_tokens=completion,
        thought_tokens=thought,
        answer_tokens=completion - thought if completion is not None and thought is not None else None,
        seconds=time.perf_counter() - began,
        ttft_s=first - began if first is not None else None,
        tokens_per_second=speed,
    )


async def rendered_prompt(target: ModelAddress, messages: Sequence[Message]) -> str | None:
    """The prompt exactly as the model sees it, template applied; ``None`` where the server cannot say."""
    url = f"{target.base_url.rstrip('/')}/o1lab/render"
    payload = {"model": target.model, "messages": list(messages)}
    try:
        async with httpx2.AsyncClient(timeout=10, mounts=PAST_PROXIES) as client:
            answer = await client.post(url, json=payload, headers={"Authorization": f"Bearer {target.key}"})
        prompt = answer.json().get("prompt") if answer.status_code == 200 else None
    except (httpx2.HTTPError, json.JSONDecodeError, AttributeError):
        return None
    return prompt if isinstance(prompt, str) else None
