"""Reads what a server sent, whole bodies and streams alike, into a :class:`Reply`. Never raises for bad input."""

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
"""Counts of tokens above this are wrong and ignored."""


class Piece(NamedTuple):
    """Some text of a reply; ``kind`` is ``thought``, ``answer`` or ``refusal``, by the field that it came in."""

    kind: str
    text: str


@dataclass
class Reply:
    """What one request brought, as far as it came. Marks of a thought inside ``answer`` stay there.

    Attributes:
        error: why it is not whole; None for a whole response.
        raw: the body as text, where something is wrong with it.
        options: what was sent besides the messages.
        status: the HTTP status, where one came.
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
    """Why a reply that came whole is not usable; None if it is."""
    if reply.finish_reason == CONTENT_FILTER:
        return RequestError.of(CONTENT_FILTER, "The server's moderation cut the answer off.")
    if reply.refusal and not reply.answer:
        return RequestError.of("refusal", "The model refused to answer.")
    if reply.text.strip():
        return None
    if reply.finish_reason == "length":
        return RequestError.of("length", "Every token went into thoughts that were not sent: raise max_tokens.")
    return empty(target)


@dataclass
class ReplyReader:
    """Puts a reply together from the events of a stream, or from one body.

    Args:
        target: the model that was asked, for the sentences of errors.
    """

    target: ModelAddress
    events: int = 0
    """How many events came."""
    ended: bool = False
    """Whether the server marked the end in another way than by a ``finish_reason``."""
    _reply: Reply = field(default_factory=Reply)
    _texts: dict[str, list[str]] = field(default_factory=lambda: {"thought": [], "answer": [], "refusal": []})

    @property
    def speaking(self) -> bool:
        """Whether any text came."""
        return any(self._texts.values())

    def sent(self, options: dict[str, Any]) -> None:
        """The request left with these options."""
        self._reply.options = options

    def reached(self, status: int) -> None:
        """The response began, with this HTTP status."""
        self._reply.status = status

    def take(self, event: Any) -> list[Piece]:
        """Add one event of a stream; the text that it brings.

        Raises:
            ValueError: it is not an object.
        """
        if not isinstance(event, dict):
            raise ValueError("an event that is not an object")  # noqa: TRY004 - one kind of error for a broken stream
        self.events += 1
        return self._add(event, "delta")

    def body(self, text: str, content_type: str = "") -> list[Piece]:
        """Add a body that came at once; the text that it brings. Where it is no answer the reply has an ``error``."""
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
        """Stop reading a stream that obeys no limit: it counts as cut off at its length."""
        self._reply.finish_reason = "length"

    def fail(self, error: RequestError, raw: str = "") -> None:
        """The request broke off; what came before stays."""
        self._reply.error, self._reply.status = error, error.status
        self._reply.raw = raw or error.raw

    def end(self) -> Reply:
        """All that came. A reply without an end mark has the error ``cut_off``, one without any text ``empty``."""
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
            self.ended = self.ended or isinstance(usage, dict)  # the last chunk holds nothing but the counts
            return []
        reply.finish_reason = _text(choice.get("finish_reason")) or reply.finish_reason
        message = choice.get(name)
        pieces = _pieces(message) if isinstance(message, dict) else []
        for piece in pieces:
            self._texts[piece.kind].append(piece.text)
        return pieces


def _pieces(message: Mapping[str, Any]) -> list[Piece]:
    """The texts of a message, or of the delta of a stream."""
    thought = message.get("reasoning_content") or message.get("reasoning")
    content = message.get("content")
    if isinstance(content, list):  # parts, as some servers send them
        content = "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    texts = {"thought": thought, "answer": content, "refusal": message.get("refusal")}
    return [Piece(kind, _text(text)) for kind, text in texts.items() if _text(text)]


def read_body(text: str, target: ModelAddress) -> Reply:
    """The reply in a body that came at once, with an ``error`` where it is not usable."""
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
