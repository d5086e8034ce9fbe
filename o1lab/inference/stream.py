"""Parses the body or the stream of a server into a :class:`Reply`. Bad input becomes an error in the reply."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from o1lab.inference.calls import ENDS, LIMITS, MODERATED, RequestError
from o1lab.inference.errors import classify_body, cut_off, empty, malformed, not_api
from o1lab.inference.thoughts import SeparateThought
from o1lab.ingest.importers.texts import THOUGHT_KEYS, glued
from o1lab.serve.endpoints import ModelAddress

_LINE = re.compile(r"\r\n|\n|\r(?!$)")
DONE = "[DONE]"


class EventParser:
    """Makes the data of events from the bytes of a stream.

    Follows the WHATWG standard: UTF-8 with an optional byte-order mark; lines end with LF, CRLF or CR; comments, ids
    and event names are ignored. A line that is a JSON object is an event too: some servers write an error like that
    into a stream that has begun.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""
        self._data: list[str] = []

    def feed(self, received: bytes) -> Iterator[str]:
        """Yield the data of the events that ``received`` completes."""
        *lines, self._rest = _LINE.split(self._rest + self._decoder.decode(received))
        for line in lines:
            yield from self._take(line)

    def end(self) -> Iterator[str]:
        """Yield the data of the last event if only its empty line is missing; one that was cut off is ignored."""
        if self._rest.strip() == f"data: {DONE}":
            yield DONE
        elif not self._rest.strip():
            yield from self._take("")

    def _take(self, line: str) -> Iterator[str]:
        if not line:
            if self._data:
                yield "\n".join(self._data)
                self._data = []
        elif line.startswith("data:"):
            self._data.append(line[5:].removeprefix(" "))
        elif line.startswith("{"):
            yield line


_MOST_TOKENS = 10**9
"""Token counts above this are ignored as wrong."""
_TEXT_FIELDS = ("text", "thinking", "reasoning", "summary", "content", "value")
_SURROGATES = re.compile("[\ud800-\udbff][\udc00-\udfff]")


class Piece(NamedTuple):
    """A piece of text of a reply; ``kind`` is ``thought``, ``answer`` or ``refusal``, by the field that it came in."""

    kind: str
    text: str


@dataclass
class Reply:
    """The response to one request, perhaps partial. Think marks inside ``answer`` stay there.

    Attributes:
        error: why it is not complete; None if it is.
        raw: the body as text if there was an error.
        options: the request's parameters besides the messages.
        status: the HTTP status, if there was one.
        token_ids: the tokens that the model wrote, after those of its prompt, if the server reports them.
        token_ends: the offset in ``answer`` at which each of them ends; -1 if it came together with the next one.
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
    token_ids: list[int] = field(default_factory=list)
    token_ends: list[int] = field(default_factory=list)

    @property
    def text(self) -> str:
        return self.thought + self.answer


@dataclass
class ReplyReader:
    """Builds a reply from the events of a stream, or from one body.

    Args:
        target: the model that was asked; error messages name it.
    """

    target: ModelAddress
    continues: bool = False
    """Whether the model continues a response, to which it may have nothing to add."""
    events: int = 0
    """The number of events received."""
    ended: bool = False
    """Whether the server marked the end of the stream, or sent a body."""
    _reply: Reply = field(default_factory=Reply)
    _texts: dict[str, list[str]] = field(default_factory=lambda: {"thought": [], "answer": [], "refusal": []})
    _separate: SeparateThought = field(default_factory=SeparateThought)
    _half: dict[str, str] = field(default_factory=dict)
    """The first halves of surrogate pairs that a server cut in two, by kind."""
    repeats: bool = False
    """Whether every piece of the answer repeated the text before it; set by :meth:`end`."""
    _called: bool = False
    _answered: int = 0

    @property
    def speaking(self) -> bool:
        """Whether any text was received."""
        return any(self._texts.values())

    @property
    def failed(self) -> bool:
        """Whether an error was received, after which nothing is read."""
        return self._reply.error is not None

    def sent(self, options: dict[str, Any]) -> None:
        """Record the options of the request."""
        self._reply.options = options

    def reached(self, status: int) -> None:
        """Record the HTTP status of the response."""
        self._reply.status = status

    def take(self, data: str) -> list[Piece]:
        """Add the data of one event of a stream and return its text; an error becomes that of the reply."""
        self.events += 1
        if data.startswith(DONE):
            self.ended = True
            return []
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            self.fail(malformed(self.target, data))
        elif (error := _error_in(event)) is not None:
            self.fail(classify_body(error, self.target, data), data)
        else:
            return self._add(event)
        return []

    def body(self, text: str, content_type: str = "") -> list[Piece]:
        """Add a whole body and return its text. If it is not a chat completion, the reply gets an ``error``."""
        reply = self._reply
        reply.raw = text
        if "html" in content_type or text.lstrip()[:1] == "<":
            reply.error = not_api(self.target, content_type)
            return []
        try:
            data = json.loads(text.lstrip("\ufeff"))
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, dict):
            reply.error = malformed(self.target)
        elif (error := _error_in(data)) is not None:
            reply.error = classify_body(error, self.target)
        else:
            self.ended = True
            return [*self._add(data, whole=True), *self.rest()]
        return []

    def rest(self) -> list[Piece]:
        """Return the text that was kept back, at the end of the stream."""
        pieces = [Piece("thought", self._separate.flush()), *(Piece(*half) for half in self._half.items())]
        self._half = {}
        pieces = [piece for piece in pieces if piece.text]
        for piece in pieces:
            self._texts[piece.kind].append(piece.text)
        return pieces

    def cut(self) -> None:
        """End a stream that exceeds its limit; the reply has the finish reason ``length``."""
        self._reply.finish_reason = "length"

    def fail(self, error: RequestError, raw: str = "") -> None:
        """Record an error; the text received before stays."""
        self._reply.error = error
        self._reply.status = error.status or self._reply.status
        self._reply.raw = raw or error.raw

    def so_far(self) -> Reply:
        """Return the texts and tokens that have arrived, without judging them."""
        thought, answer, refusal = ("".join(texts) for texts in self._texts.values())
        ids, ends = self._reply.token_ids, self._reply.token_ends
        return Reply(thought, answer, refusal, token_ids=list(ids), token_ends=list(ends))

    def end(self) -> Reply:
        """Return the reply. It has an error unless the server marked the response as complete or at its limit."""
        reply = self._reply
        self.rest()
        reply.error = reply.error or self._repeated()
        reply.thought, reply.answer, reply.refusal = ("".join(texts) for texts in self._texts.values())
        reply.raw = self.target.redact(reply.raw)
        reply.error = reply.error or self._flaw(reply)
        return reply

    def _flaw(self, reply: Reply) -> RequestError | None:
        """Return why a reply without an error is not usable; None if it is."""
        reason = reply.finish_reason.lower()
        if not (reply.text or reply.refusal or reason):
            return empty(self.target)
        if reason in MODERATED:
            return RequestError.of("content_filter", "The server's moderation cut off the answer.")
        if reason not in ENDS | LIMITS:
            return cut_off(self.target, reason=reply.finish_reason if reason or self.ended else None)
        if reply.refusal and not reply.answer:
            return RequestError.of("refusal", "The model refused to answer.")
        if reply.text.strip() or (self.continues and reason in ENDS):
            return None
        if reason in LIMITS:
            return RequestError.of("length", "All tokens were used for hidden thoughts. Raise max_tokens.")
        if self._called:
            sentence = f"{self.target.model} asked to call a tool instead of answering."
            return RequestError.of("tool_call", sentence, "Ask a model that is served without tools.")
        return empty(self.target)

    def _repeated(self) -> RequestError | None:
        """Return an error if each piece of the answer repeats all text before it, as in no version of the protocol."""
        pieces = self._texts["answer"]
        pairs = list(pairwise(pieces))
        if len(pairs) < 2 or not all(len(new) > len(old) and new.startswith(old) for old, new in pairs):
            return None
        self._texts["answer"], self.repeats = pieces[-1:], True
        sentence = f"The server of {self.target.model} repeats the whole text in every piece of its stream."
        return RequestError.of("malformed", sentence, "Use stream: never, or another server.")

    def _add(self, data: Mapping[str, Any], *, whole: bool = False) -> list[Piece]:
        reply, usage = self._reply, data.get("usage")
        reply.model = _text(data.get("model")) or reply.model
        if isinstance(usage, dict):
            reply.input_tokens = _count(usage.get("prompt_tokens"))
            reply.output_tokens = _count(usage.get("completion_tokens"))
            details = usage.get("completion_tokens_details")
            if isinstance(details, dict):
                reply.thought_tokens = _count(details.get("reasoning_tokens"))
        choices = data.get("choices")
        of_first = [
            one
            for one in (choices if isinstance(choices, list) else ())
            if isinstance(one, dict) and not one.get("index")  # a server may send several responses at once
        ]
        if not of_first:
            return []
        choice = of_first[0]
        reason = _text(choice.get("finish_reason"))
        reply.finish_reason = reason if reason.lower() not in ("", "null", "none") else reply.finish_reason
        message = choice.get("delta") or choice.get("message")
        if not isinstance(message, dict):
            message = {"content": choice.get("text")}
        self._called = self._called or bool(message.get("tool_calls") or message.get("function_call"))
        pieces = [piece for kind, text in _parts(message, whole=whole) if (piece := self._piece(kind, text)).text]
        for piece in pieces:
            self._texts[piece.kind].append(piece.text)
            self._answered += len(piece.text) if piece.kind == "answer" else 0
        if isinstance(ids := choice.get("token_ids"), list) and ids:
            reply.token_ids += [one for one in ids if isinstance(one, int)]
            reply.token_ends += [-1] * (len(reply.token_ids) - len(reply.token_ends) - 1) + [self._answered]
        return pieces

    def _piece(self, kind: str, text: str) -> Piece:
        """Return a piece of text with surrogate pairs joined, and without the marks around a separate thought."""
        text = self._half.pop(kind, "") + text
        if "\ud800" <= text[-1:] <= "\udbff":
            self._half[kind], text = text[-1:], text[:-1]
        text = _SURROGATES.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)
        return Piece(kind, self._separate.feed(text) if kind == "thought" else text)


def _error_in(data: Mapping[str, Any]) -> Any:
    """Return the error that an event or a body consists of or contains; None if there is none."""
    choices = data.get("choices")
    for one in (data, *(choices if isinstance(choices, list) else ())):
        if isinstance(one, dict) and one.get("error"):
            return one["error"]
    is_error = data.get("object") == "error" or isinstance(data.get("message"), str) or bool(data.get("detail"))
    return data if is_error and not choices and not data.get("usage") else None


def _parts(message: Mapping[str, Any], *, whole: bool) -> list[tuple[str, str]]:
    """Return the texts of a message, or of the delta of a stream, by kind.

    Servers name the thought differently, and some repeat it in several fields; the first that has text counts.
    """
    thought = next(filter(None, (_inner(message.get(name), whole=whole) for name in THOUGHT_KEYS)), "")
    found = [("thought", thought), ("refusal", _text(message.get("refusal")))]
    content = message.get("content")
    if not isinstance(content, list):
        return [*found, ("answer", _inner(content, whole=whole))]
    texts: dict[str, list[str]] = {"thought": [], "answer": [], "refusal": []}
    for part in content:
        kind = str(part.get("type", "")) if isinstance(part, dict) else ""
        hidden = "think" in kind or "reason" in kind
        texts["thought" if hidden else "refusal" if kind == "refusal" else "answer"].append(
            _text(part.get("refusal")) if kind == "refusal" else _inner(part, whole=whole)
        )
    return [*found, *((kind, _joined(parts, whole=whole)) for kind, parts in texts.items())]


def _inner(value: Any, *, whole: bool) -> str:
    """Return the text inside a text, a list of parts, or a part."""
    match value:
        case str():
            return value
        case list():
            return _joined([_inner(one, whole=whole) for one in value], whole=whole)
        case dict():
            return next(filter(None, (_inner(value.get(name), whole=whole) for name in _TEXT_FIELDS)), "")
    return ""


def _joined(parts: list[str], *, whole: bool) -> str:
    """Join parts; those of a whole message begin a line unless there is white space between them already."""
    return glued(filter(None, parts)) if whole else "".join(parts)


def read_body(text: str, target: ModelAddress) -> Reply:
    """Parse a whole body into a reply, with an ``error`` if it is not usable."""
    reader = ReplyReader(target)
    reader.body(text)
    return reader.end()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value <= _MOST_TOKENS else None
