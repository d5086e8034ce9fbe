"""Parses the body or the stream of a server into a :class:`Reply`. Bad input becomes an error in the reply."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from o1lab.inference.calls import RequestError
from o1lab.inference.errors import classify_body, cut_off, empty, malformed, not_api, without_key
from o1lab.serve.registry import ModelAddress

CONTENT_FILTER = "content_filter"
_MOST_TOKENS = 10**9
"""Token counts above this are ignored as wrong."""


class Piece(NamedTuple):
    """A piece of text of a reply; ``kind`` is ``thought``, ``answer`` or ``refusal``, by the field that it came in."""

    kind: str
    text: str


@dataclass
class Reply:
    """The response to one request, perhaps partial. Think tags inside ``answer`` stay there.

    Attributes:
        error: why it is not complete; None if it is.
        raw: the body as text if there was an error.
        options: the request's parameters besides the messages.
        status: the HTTP status, if there was one.
    """

    thought: str = ""
    answer: str = ""
    refusal: str = ""
    finish_reason: str = ""
    model: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    thought_tokens: int | None = None
    error: RequestError | None = None
    raw: str = ""
    options: dict[str, Any] | None = None
    status: int | None = None

    @property
    def text(self) -> str:
        return self.thought + self.answer


def flaw(reply: Reply, target: ModelAddress) -> RequestError | None:
    """Return why a complete reply is not usable; None if it is."""
    if reply.finish_reason == CONTENT_FILTER:
        return RequestError.of(CONTENT_FILTER, "The server's moderation cut off the answer.")
    if reply.refusal and not reply.answer:
        return RequestError.of("refusal", "The model refused to answer.")
    if reply.text.strip():
        return None
    if reply.finish_reason == "length":
        return RequestError.of("length", "All tokens were used for hidden thoughts. Raise max_tokens.")
    return empty(target)


@dataclass
class ReplyReader:
    """Builds a reply from the events of a stream, or from one body.

    Args:
        target: the model that was asked; error messages name it.
    """

    target: ModelAddress
    events: int = 0
    """The number of events received."""
    ended: bool = False
    """Whether the server marked the end other than by a ``finish_reason``."""
    _reply: Reply = field(default_factory=Reply)
    _texts: dict[str, list[str]] = field(default_factory=lambda: {"thought": [], "answer": [], "refusal": []})

    @property
    def speaking(self) -> bool:
        """Whether any text was received."""
        return any(self._texts.values())

    def sent(self, options: dict[str, Any]) -> None:
        """Record the options of the request."""
        self._reply.options = options

    def reached(self, status: int) -> None:
        """Record the HTTP status of the response."""
        self._reply.status = status

    def take(self, event: Any) -> list[Piece]:
        """Add one event of a stream and return its text.

        Raises:
            ValueError: it is not an object.
        """
        if not isinstance(event, dict):
            raise ValueError("an event that is not an object")  # noqa: TRY004 - callers catch one kind of error
        self.events += 1
        return self._add(event, "delta")

    def body(self, text: str, content_type: str = "") -> list[Piece]:
        """Add a whole body and return its text. If it is not a chat completion, the reply gets an ``error``."""
        reply = self._reply
        reply.raw = text
        if "html" in content_type or text.lstrip()[:1] == "<":
            reply.error = not_api(self.target, content_type)
            return []
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, dict):
            reply.error = malformed(self.target)
        elif data.get("error"):
            reply.error = classify_body(data["error"], self.target)
        else:
            self.ended = True
            return self._add(data, "message")
        return []

    def cut(self) -> None:
        """End a stream that exceeds its limit; the reply has the finish reason ``length``."""
        self._reply.finish_reason = "length"

    def fail(self, error: RequestError, raw: str = "") -> None:
        """Record an error; the text received before stays."""
        self._reply.error, self._reply.status = error, error.status
        self._reply.raw = raw or error.raw

    def end(self) -> Reply:
        """Return the reply. Without an end mark it has the error ``cut_off``, without any text ``empty``."""
        reply = self._reply
        reply.thought, reply.answer, reply.refusal = ("".join(texts) for texts in self._texts.values())
        reply.raw = without_key(reply.raw, self.target.key)
        if reply.error is None:
            if reply.finish_reason == "error" or (reply.text and not (reply.finish_reason or self.ended)):
                reply.error = cut_off(self.target)
            elif not (reply.text or reply.refusal or reply.finish_reason):
                reply.error = empty(self.target)
        return reply

    def _add(self, data: Mapping[str, Any], name: str) -> list[Piece]:
        reply, usage, choices = self._reply, data.get("usage"), data.get("choices")
        reply.model = _text(data.get("model")) or reply.model
        if isinstance(usage, dict):
            reply.input_tokens = _count(usage.get("prompt_tokens"))
            reply.output_tokens = _count(usage.get("completion_tokens"))
            details = usage.get("completion_tokens_details")
            if isinstance(details, dict):
                reply.thought_tokens = _count(details.get("reasoning_tokens"))
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            self.ended = self.ended or isinstance(usage, dict)  # the last chunk has only the token counts
            return []
        reply.finish_reason = _text(choice.get("finish_reason")) or reply.finish_reason
        message = choice.get(name)
        pieces = _pieces(message) if isinstance(message, dict) else []
        for piece in pieces:
            self._texts[piece.kind].append(piece.text)
        return pieces


def _pieces(message: Mapping[str, Any]) -> list[Piece]:
    """Return the texts of a message, or of the delta of a stream."""
    thought = message.get("reasoning_content") or message.get("reasoning")
    content = message.get("content")
    if isinstance(content, list):  # parts, as some servers send them
        content = "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    texts = {"thought": thought, "answer": content, "refusal": message.get("refusal")}
    return [Piece(kind, _text(text)) for kind, text in texts.items() if _text(text)]


def read_body(text: str, target: ModelAddress) -> Reply:
    """Parse a whole body into a reply, with an ``error`` if it is not usable."""
    reader = ReplyReader(target)
    reader.body(text)
    reply = reader.end()
    reply.error = reply.error or flaw(reply, target)
    return reply


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value <= _MOST_TOKENS else None
