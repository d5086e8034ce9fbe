"""From what a server sent to what was said in it: whole bodies and streams, and what can be wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2
import openai

from o1lab.inference.calls import OPTIONS, PERMANENT, RequestError
from o1lab.inference.errors import explain
from o1lab.inference.events import ChatError
from o1lab.serve.registry import ModelAddress

CONTENT_FILTER = "content_filter"
_MOST_TOKENS = 10**9
"""A count above this is none, whoever sends it."""


@dataclass
class Reply:
    """What one request brought, as far as it came."""

    thought: str = ""
    answer: str = ""
    refusal: str = ""
    finish_reason: str = ""
    model: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    thought_tokens: int | None = None
    fault: RequestError | None = None
    raw: str = ""
    options: dict[str, Any] | None = None
    """What was sent besides the messages."""

    @property
    def text(self) -> str:
        return self.thought + self.answer

    def judged(self) -> Reply:
        """The same, with a fault where a reply that came whole is none."""
        if self.fault is None:
            self.fault = self._flaw()
        return self

    def _flaw(self) -> RequestError | None:
        if self.finish_reason == CONTENT_FILTER:
            return RequestError(CONTENT_FILTER, "The server's moderation cut the answer off.")
        if self.refusal and not self.answer:
            return RequestError("refusal", "The model refused to answer.")
        if self.text.strip():
            return None
        if self.finish_reason == "length":
            return RequestError("length", "Every token went into thoughts that were not sent: raise max_tokens.")
        return RequestError("empty", "The server sent an answer with nothing in it.", retryable=True)


def read_body(text: str, content_type: str = "") -> Reply:
    """What a body that came at once says. Never raises: what is no answer has a fault, and its text as ``raw``."""
    if "html" in content_type or text.lstrip()[:1] == "<":
        sentence = "The server sent a web page instead of an answer: is the url right?"
        return Reply(fault=RequestError("not_api", sentence, retryable=True), raw=text)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        return Reply(
            fault=RequestError("malformed", "The server sent something that is not JSON.", retryable=True), raw=text
        )
    if data.get("error"):
        return Reply(fault=error_in(data["error"]), raw=text)
    reply = Reply(raw=text)
    _take_facts(reply, data)
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if isinstance(choice, dict) and isinstance(message, dict):
        reply.thought, reply.answer, reply.refusal = spoken(message)
        reply.finish_reason = _text(choice.get("finish_reason"))
    return reply.judged()


def too_much(begins: str) -> Reply:
    """The reply of a server that does not stop sending; ``begins`` is how."""
    return Reply(
        fault=RequestError("endless", "The server sent far more than an answer, without an end.", True), raw=begins
    )


def spoken(message: Mapping[str, Any]) -> tuple[str, str, str]:
    """(thought, answer, refusal) of a message or of a stream's delta."""
    thought = message.get("reasoning_content") or message.get("reasoning")
    content = message.get("content")
    if isinstance(content, list):  # parts, as some servers send them
        content = "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    return _text(thought), _text(content), _text(message.get("refusal"))


def error_in(error: Any) -> RequestError:
    """The fault of an error that came inside a body or stream whose status said all was well.

    Where its code is a status or means one, it is the fault that this status would have been.
    """
    told = error.get("message") if isinstance(error, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, str):
        code = int(code) if _STATUS.fullmatch(code) else _MEANS.get(code, code)
    if code in (CONTENT_FILTER, "content_policy_violation"):
        return RequestError(CONTENT_FILTER, "The server's moderation refused the prompt.")
    if isinstance(code, int) and 400 <= code < 500:
        fault = fault_of(status_error(code, error), _SOMEBODY)
        return replace(fault, sentence=fault.sentence[:1].upper() + fault.sentence[1:])
    return RequestError(
        "server", f"The server stopped with an error: {_text(told)[:200] or 'it does not say which'}", True
    )


_STATUS = re.compile("[45][0-9]{2}")
_MEANS = {
    "context_length_exceeded": 400, "invalid_api_key": 401, "insufficient_quota": 402, "model_not_found": 404,
    "rate_limit_exceeded": 429,
}  # fmt: skip
_SOMEBODY = ModelAddress("the server", "the model", "")


def status_error(status: int, told: Any) -> openai.APIStatusError:
    """The error the client would have raised, had this come as the answer to a request of its own.

    ``told`` is the ``error`` object of the body, whatever it is.
    """
    body = told if isinstance(told, dict) else {}
    message = body.get("message")
    response = httpx2.Response(status, request=httpx2.Request("POST", "http://engine/"), json={"error": body})
    kind = openai.BadRequestError if status == 400 else openai.APIStatusError
    return kind(message if isinstance(message, str) else f"status {status}", response=response, body=body)


def fault_of(error: openai.APIStatusError, target: ModelAddress) -> RequestError:
    """The fault that the local engine would have made of this error."""
    return fault_from(error, explain(error, target))


def fault_from(error: Exception, said: ChatError) -> RequestError:
    """The fault that an error is, once it is put in words."""
    wrong_option = said.code == "refused" and isinstance(error, openai.APIStatusError) and error.param in OPTIONS
    code = "option" if wrong_option else said.code
    return RequestError(code, said.sentence, retryable=code not in PERMANENT)


@dataclass
class StreamReader:
    """Puts a stream's events together."""

    reply: Reply = field(default_factory=Reply)
    counted: bool = False
    """Whether the chunk came that holds nothing but the counts of tokens: it is the last one."""
    events: int = 0
    _thoughts: list[str] = field(default_factory=list)
    _answers: list[str] = field(default_factory=list)
    _refusals: list[str] = field(default_factory=list)

    def take(self, event: Any) -> None:
        if not isinstance(event, dict):
            raise ValueError("an event that is no object")  # noqa: TRY004 - one kind of error for a broken stream
        self.events += 1
        _take_facts(self.reply, event)
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            self.counted = self.counted or isinstance(event.get("usage"), dict)
            return
        self.reply.finish_reason = _text(choice.get("finish_reason")) or self.reply.finish_reason
        delta = choice.get("delta")
        if isinstance(delta, dict):
            for pieces, text in zip((self._thoughts, self._answers, self._refusals), spoken(delta), strict=True):
                if text:
                    pieces.append(text)

    def cut(self) -> None:
        """No more is read: whatever the server says, it was cut off."""
        self.reply.finish_reason = "length"

    def end(self) -> Reply:
        """All that came, whether or not it is whole."""
        reply = self.reply
        reply.thought, reply.answer = "".join(self._thoughts), "".join(self._answers)
        reply.refusal = "".join(self._refusals)
        return reply


def _take_facts(reply: Reply, data: Mapping[str, Any]) -> None:
    reply.model = _text(data.get("model")) or reply.model
    usage = data.get("usage")
    if not isinstance(usage, dict):
        return
    reply.input_tokens = _count(usage.get("prompt_tokens"))
    reply.output_tokens = _count(usage.get("completion_tokens"))
    details = usage.get("completion_tokens_details")
    if isinstance(details, dict):
        reply.thought_tokens = _count(details.get("reasoning_tokens"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value <= _MOST_TOKENS else None
