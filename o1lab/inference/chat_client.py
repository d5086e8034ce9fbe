"""Streams a chat answer as events, over the shared transport."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import httpx2

from o1lab.config import FIRST_TOKEN_S, ChatConfig
from o1lab.inference.calls import Message
from o1lab.inference.events import Delta, Done, Event, Failed, Noted, Recast, Sampling, Started
from o1lab.inference.refused import Refusals
from o1lab.inference.stream import Piece, Reply, ReplyReader
from o1lab.inference.thoughts import ThoughtSplitter
from o1lab.inference.transport import Transport
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.records import PAST_PROXIES, certificates

CONNECT_TIMEOUT_S = 30.0


class ChatClient:
    """Streams chat answers with one connection pool. Use as ``async with``, or call :meth:`close`.

    Args:
        limits: how long a server may be silent; None for the defaults.
    """

    def __init__(self, limits: ChatConfig | None = None) -> None:
        limits = limits or ChatConfig()
        self._transport = Transport(
            silence_timeout_s=limits.silence_timeout_s,
            first_token_timeout_s=limits.first_token_timeout_s,
            default_first_s=FIRST_TOKEN_S,
            connect_timeout_s=CONNECT_TIMEOUT_S,
        )

    async def __aenter__(self) -> ChatClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._transport.close()

    async def stream(
        self,
        target: ModelAddress,
        messages: Sequence[Message],
        sampling: Sampling | None = None,
        *,
        prefix_token_ids: Sequence[int] | None = None,
        reader: ReplyReader | None = None,
    ) -> AsyncIterator[Event]:
        """Stream the answer of a model. If the last message is the assistant's, stream what continues it.

        Then the events begin with the text of that message, and the rest follows it as if the model had written all.
        Errors are not raised but yielded as ``Failed``. Cancelling closes the connection, so that the server stops too.

        Args:
            target: the model.
            messages: the conversation so far.
            sampling: the sampling parameters; None for the defaults.
            prefix_token_ids: the tokens of the last message, if it is continued and they are known; else its text is
                encoded.
            reader: reads the reply of ``target``; a caller that stops an answer gets the text received so far from it.

        Yields:
            Events; the last one is ``Done`` or ``Failed``.
        """
        began = last = time.perf_counter()
        first: float | None = None
        notes: list[Event] = []
        refusals = Refusals(target, lambda text: notes.append(Noted(text)))
        reader, splitter = reader or ReplyReader(target), ThoughtSplitter()
        body = {"model": target.model, "messages": list(messages), "stream": True} | _options(sampling or Sampling())
        if target.continues:
            body["return_token_ids"] = True
        if messages[-1]["role"] == "assistant":
            for begun in splitter.feed(messages[-1]["content"]):
                yield begun
            if prefix_token_ids is not None:
                body["prefix_token_ids"] = list(prefix_token_ids)
        async with aclosing(self._transport.send(body, reader, refusals)) as pieces:
            async for piece in pieces:
                last = time.perf_counter()
                for event in [*notes, *_events(piece, splitter)]:
                    if first is None and not isinstance(event, Noted):
                        first = last
                        yield Started(first - began)
                    yield event
                notes.clear()
        for event in [*notes, *splitter.flush()]:
            yield event
        reply, seconds = reader.end(), time.perf_counter() - began
        if reader.repeats:
            yield Recast(reply.answer, "")
        if reply.error is not None and reply.error.code != "refusal":  # a refusal is an answer
            yield Failed(reply.error, seconds)
        else:
            yield _done(reply, seconds, began, first, last)


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


def _events(piece: Piece, splitter: ThoughtSplitter) -> list[Delta | Recast]:
    """Return the events of a piece of text; think tags split the content, and a refusal becomes the answer."""
    match piece.kind:
        case "thought":
            splitter.thought_is_separate()
            return [Delta("thought", piece.text)]
        case "refusal":
            return [Delta("answer", piece.text)]
    return splitter.feed(piece.text)


def _done(reply: Reply, seconds: float, began: float, first: float | None, last: float) -> Done:
    written, thought = reply.output_tokens, reply.thought_tokens
    decoding = last - first if first is not None else 0.0
    return Done(
        finish_reason=reply.finish_reason,
        prompt_tokens=reply.input_tokens,
        completion_tokens=written,
        thought_tokens=thought,
        answer_tokens=written - thought if written is not None and thought is not None else None,
        seconds=seconds,
        ttft_s=first - began if first is not None else None,
        tokens_per_second=(written - 1) / decoding if written and written > 1 and decoding > 0 else None,
        raw=reply.answer,
        token_ids=tuple(reply.token_ids),
    )


async def rendered_prompt(target: ModelAddress, messages: Sequence[Message]) -> str | None:
    """Return the prompt as the model sees it, with the chat template applied; None if the server cannot render it."""
    url = f"{target.base_url.rstrip('/')}/o1lab/render"  # only o1lab's own servers have it
    payload = {"model": target.model, "messages": list(messages), **target.fields}
    try:
        async with httpx2.AsyncClient(timeout=10, mounts=PAST_PROXIES, verify=certificates()) as client:
            answer = await client.post(url, json=payload, headers={"Authorization": f"Bearer {target.key}"})
        prompt = answer.json().get("prompt") if answer.status_code == 200 else None
    except (httpx2.HTTPError, ValueError, AttributeError):
        return None
    return prompt if isinstance(prompt, str) else None
