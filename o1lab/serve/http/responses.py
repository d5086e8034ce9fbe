"""The bodies and events that answers are sent as: chat completions and text completions."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, ClassVar, Protocol

from o1lab.serve.http import keepalive
from o1lab.serve.protocol import Answer, ApiError, End, Piece, ScoredText
from o1lab.text import json_text


class Shape(Protocol):
    """How the choices of one kind of answer are written."""

    kind: ClassVar[str]
    chunk: ClassVar[str]
    prefix: ClassVar[str]

    def whole(self, index: int, pieces: Sequence[Piece], end: End) -> dict[str, Any]:
        """Return the finished choice."""

    def part(self, index: int, part: Piece | End, *, first: bool) -> dict[str, Any]:
        """Return the choice of one event."""


class ChatShape:
    """Choices of ``/v1/chat/completions``."""

    kind: ClassVar[str] = "chat.completion"
    chunk: ClassVar[str] = "chat.completion.chunk"
    prefix: ClassVar[str] = "chatcmpl"

    def whole(self, index: int, pieces: Sequence[Piece], end: End) -> dict[str, Any]:
        texts = {
            kind: "".join(piece.text for piece in pieces if piece.kind == kind)
            for kind in ("content", "reasoning_content")
        }
        message = {"role": "assistant", "content": texts["content"]}
        if texts["reasoning_content"]:
            message["reasoning_content"] = texts["reasoning_content"]
        found = self._logprobs(token for piece in pieces for token in piece.tokens)
        choice = {"index": index, "message": message, "finish_reason": end.reason, "logprobs": found}
        ids = [one for piece in pieces for one in piece.ids]
        return choice | ({"token_ids": ids} if ids else {})

    def part(self, index: int, part: Piece | End, *, first: bool) -> dict[str, Any]:
        delta: dict[str, Any] = {"role": "assistant", "content": ""} if first else {}
        if isinstance(part, End):
            return {"index": index, "delta": delta, "finish_reason": part.reason}
        choice = {"index": index, "delta": delta | {part.kind: part.text}, "finish_reason": None}
        choice |= {"token_ids": list(part.ids)} if part.ids else {}
        return choice | ({"logprobs": self._logprobs(part.tokens)} if part.tokens else {})

    def _logprobs(self, tokens: Iterable[ScoredText]) -> dict[str, Any] | None:
        found = [
            _token(token.text, token.logprob) | {"top_logprobs": [_token(*one) for one in token.top]}
            for token in tokens
        ]
        return {"content": found} if found else None


class TextShape:
    """Choices of ``/v1/completions``. Offsets are in characters of the text, an echoed prompt included."""

    kind: ClassVar[str] = "text_completion"
    chunk: ClassVar[str] = "text_completion"
    prefix: ClassVar[str] = "cmpl"

    def __init__(self) -> None:
        self._sent: defaultdict[int, int] = defaultdict(int)

    def whole(self, index: int, pieces: Sequence[Piece], end: End) -> dict[str, Any]:
        text = "".join(piece.text for piece in pieces)
        found = self._logprobs(index, [token for piece in pieces for token in piece.tokens])
        return {"index": index, "text": text, "logprobs": found, "finish_reason": end.reason}

    def part(self, index: int, part: Piece | End, *, first: bool) -> dict[str, Any]:
        del first  # text has no role
        if isinstance(part, End):
            return {"index": index, "text": "", "logprobs": None, "finish_reason": part.reason}
        found = self._logprobs(index, part.tokens)
        return {"index": index, "text": part.text, "logprobs": found, "finish_reason": None}

    def _logprobs(self, index: int, tokens: Sequence[ScoredText]) -> dict[str, Any] | None:
        if not tokens:
            return None
        offsets = []
        for token in tokens:
            offsets.append(self._sent[index])
            self._sent[index] += len(token.text)
        return {
            "tokens": [token.text for token in tokens],
            "token_logprobs": [token.logprob for token in tokens],
            "top_logprobs": [None if token.logprob is None else _alternatives(token) for token in tokens],
            "text_offset": offsets,
        }


def _alternatives(token: ScoredText) -> dict[str, float | None]:
    """Return the log-probability of the most likely tokens and of the token itself, by text."""
    found: dict[str, float | None] = {}
    for text, logprob in (*token.top, (token.text, token.logprob)):
        found.setdefault(text, logprob)  # bytes of a character look alike: the more likely one stays
    return found


def _token(text: str, logprob: float | None) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": None if "\ufffd" in text else list(text.encode())}


class Answers:
    """The answers to one request.

    Args:
        shape: how its choices are written.
        model: the model's name in the request.
        answers: the choices, those of a prompt side by side.
        per_prompt: the number of choices of a prompt, which counts once.
    """

    def __init__(self, shape: Shape, model: str, answers: list[Answer], per_prompt: int) -> None:
        self._shape, self._answers, self._per_prompt = shape, answers, per_prompt
        self._head = {"id": f"{shape.prefix}-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    async def body(self) -> dict[str, Any]:
        """Wait for all answers and return the response body."""
        found = await asyncio.gather(*(_collect(answer) for answer in self._answers))
        choices = [self._shape.whole(i, pieces, end) for i, (pieces, end) in enumerate(found)]
        usage = self._usage([end for _, end in found])
        return self._head | {"object": self._shape.kind, "choices": choices, "usage": usage}

    async def events(self, progress: keepalive.Progress, *, with_usage: bool) -> AsyncIterator[str]:
        """Yield server-sent events of all choices as their pieces arrive; an error is sent as an event.

        Args:
            progress: that of the model; comments are sent while it makes steps and nothing arrives.
            with_usage: whether the last event has the usage.
        """
        head = self._head | {"object": self._shape.chunk}
        arrivals: asyncio.Queue[tuple[int, Piece | End | Exception]] = asyncio.Queue()
        tasks = [asyncio.create_task(_forward(i, answer, arrivals)) for i, answer in enumerate(self._answers)]
        ends: dict[int, End] = {}
        begun: set[int] = set()
        try:
            while len(ends) < len(self._answers):
                try:
                    async with asyncio.timeout(keepalive.KEEP_ALIVE_S):
                        i, part = await arrivals.get()
                except TimeoutError:
                    if progress.advanced():
                        yield ": waiting\n\n"
                    continue
                if isinstance(part, Exception):
                    error = part if isinstance(part, ApiError) else ApiError(500, "Internal server error.")
                    yield _event(error.body)
                    break
                choice = self._shape.part(i, part, first=i not in begun)
                begun.add(i)
                if isinstance(part, End):
                    ends[i] = part
                yield _event(head | {"choices": [choice]})
            if with_usage and len(ends) == len(self._answers):
                yield _event(head | {"choices": [], "usage": self._usage([ends[i] for i in sorted(ends)])})
            yield "data: [DONE]\n\n"
        finally:
            # Also if the client disconnected: cancelling closes each answer and removes its row from the batch.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _usage(self, ends: list[End]) -> dict[str, Any] | None:
        """Return the token counts of all choices, None if the backend cannot count."""
        if any(end.prompt_tokens is None or end.completion_tokens is None for end in ends):
            return None
        prompt = sum(end.prompt_tokens or 0 for end in ends[:: self._per_prompt])
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


async def _collect(answer: Answer) -> tuple[list[Piece], End]:
    pieces: list[Piece] = []
    async for part in answer:
        if isinstance(part, End):
            return pieces, part
        pieces.append(part)
    raise ApiError(500, "The answer has no end.", "server_error")


async def _forward(i: int, answer: Answer, arrivals: asyncio.Queue[tuple[int, Piece | End | Exception]]) -> None:
    try:
        async for part in answer:
            arrivals.put_nowait((i, part))
    except Exception as error:
        arrivals.put_nowait((i, error))


def _event(data: dict[str, Any]) -> str:
    return f"data: {json_text(data)}\n\n"
