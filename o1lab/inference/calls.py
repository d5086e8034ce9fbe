"""A call to a model and its response, as stored in the journal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Self

from o1lab.small_files import as_kind
from o1lab.text import parse_json

Message = dict[str, str]
"""One message of the chat protocol: ``role`` and ``content``."""
Role = Literal["teacher", "critic", "student"]
"""Which of a job's models a call goes to. Judges and evaluated models are asked as ``teacher``."""


def digest(role: str, messages: Sequence[Message]) -> str:
    """Return a short hash of the messages and the role that they are sent to."""
    return hashlib.sha256(json.dumps([role, list(messages)]).encode()).hexdigest()[:16]


State = Literal["done", "partial", "failed"]
RAW_LIMIT = 20_000


class CallKey(NamedTuple):
    """Identifies a call of a job: the id of its problem, trace or item, its sample and its turn, both from 0."""

    item: str
    sample: int
    turn: int = 0

    def __str__(self) -> str:
        return f"{self.item}/{self.sample}/{self.turn}"

    @classmethod
    def read(cls, text: str) -> Self:
        """Parse ``item/sample/turn``.

        Raises:
            ValueError: it is not a key.
        """
        item, sample, turn = text.rsplit("/", 2)
        return cls(item, int(sample), int(turn))


TRANSIENT = frozenset({"timeout", "unreachable", "server", "rate_limit", "cut_off", "malformed", "empty"})
"""Errors that a second attempt may avoid. For all others, the same request gets the same answer."""
PERMANENT = frozenset({"context_length", "content_filter", "refusal", "length"})
"""Errors caused by the request itself; later sessions do not send it again."""
FATAL = frozenset({"key", "quota", "no_model", "no_continuing", "option", "max_tokens"})
"""Errors that affect every call; they stop the job."""
ENDS = frozenset({
    "stop", "end_turn", "stop_sequence", "eos", "eos_token", "complete", "completed", "finished", "tool_calls",
    "tool_use", "function_call",
})  # fmt: skip
"""Finish reasons of complete responses, in lower case."""
LIMITS = frozenset({"length", "max_tokens", "max_output_tokens", "model_length"})
"""Finish reasons of responses that reached their maximum length."""
MODERATED = frozenset({"content_filter", "safety", "sensitive", "recitation", "blocklist", "prohibited_content"})
"""Finish reasons of responses that the server's moderation ended. Any other finish reason is a failure."""
OPTIONS = frozenset({"temperature", "top_p", "seed", "reasoning_effort", "max_tokens", "max_completion_tokens", "stop"})
"""Parameters of a request besides its messages. A wrong value (the error ``option``) is wrong for all calls."""


@dataclass(frozen=True, slots=True)
class RequestError:
    """Why a call failed. No field contains a key. The journal stores the first three.

    Attributes:
        code: a code for scripts; ``TRANSIENT``, ``PERMANENT`` and ``FATAL`` group the codes by consequence.
        sentence: what happened, for people.
        retryable: whether a later session sends the request again.
        hint: what to do about it.
        retry_after_s: the seconds that the server asks to wait.
        fits: the largest ``max_tokens`` that the server accepts for this prompt, if that was the error.
        status: the HTTP status, if there was one.
        raw: the server's response as text.
    """

    code: str
    sentence: str
    retryable: bool = False
    hint: str = field(default="", compare=False)
    retry_after_s: float | None = field(default=None, compare=False)
    fits: int | None = field(default=None, compare=False)
    status: int | None = field(default=None, compare=False)
    raw: str = field(default="", compare=False)

    @classmethod
    def of(cls, code: str, sentence: str, hint: str = "", **more: Any) -> Self:
        """Make an error; its code decides whether it is retryable."""
        return cls(code, sentence, code not in PERMANENT, hint, **more)

    @property
    def transient(self) -> bool:
        """Whether a second attempt may succeed."""
        return self.code in TRANSIENT

    def as_json(self) -> dict[str, Any]:
        """Return the fields that the journal stores."""
        return {"code": self.code, "sentence": self.sentence, "retryable": self.retryable}


@dataclass(frozen=True, slots=True)
class Response:
    """The result of one attempt of a call.

    Attributes:
        key: the call.
        state: ``done``: a complete response, whatever its ``finish_reason``; ``partial``: the text of a stream that was
            cut off; ``failed``: no text.
        thought: the reasoning that the server sent in a separate field; think tags inside ``answer`` stay there.
        input_tokens, output_tokens, thought_tokens: the server's counts, or estimates if ``estimated``.
        fault: why the response is not complete; None if it is.
        raw: the server's body as text if there was an error, at most ``RAW_LIMIT`` characters.
        refusal: the text of a refusal that the server sent in a separate field (the error ``refusal``).
        role, asked, options: the role of the model, the digest of the messages, and the request's parameters; empty if
            the engine does not know them.
    """

    key: CallKey
    state: State
    thought: str = ""
    answer: str = ""
    finish_reason: str = ""
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    thought_tokens: int | None = None
    estimated: bool = False
    cost_usd: float = 0.0
    seconds: float = 0.0
    attempt: int = 1
    asked_at: str = ""
    status: int | None = None
    fault: RequestError | None = None
    raw: str = ""
    refusal: str = ""
    role: str = ""
    asked: str = ""
    options: dict[str, Any] | None = None

    @property
    def whole(self) -> bool:
        """Whether the response is complete: it has no error and was not cut off.

        Journals of older versions contain responses without a finish reason, or with one that means a failure.
        """
        return self.state == "done" and (not self.finish_reason or self.finish_reason.lower() in ENDS)

    @property
    def final(self) -> bool:
        """Whether the call needs no retry in a later session: it is complete, or its error is permanent."""
        return self.state == "done" or (self.fault is not None and not self.fault.retryable)

    def line(self) -> str:
        """Return the response as one line of JSON, without a newline."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values |= {"key": str(self.key), "fault": self.fault.as_json() if self.fault is not None else None}
        return json.dumps({name: value for name, value in values.items() if value not in ("", None)})

    @classmethod
    def read(cls, line: str | bytes) -> Self:
        """Parse a line that :meth:`line` wrote. Unknown keys are ignored.

        Raises:
            ValueError: it is not a response.
        """
        values: Any = parse_json(line)
        if not isinstance(values, dict) or not isinstance(values.get("key"), str):
            raise ValueError("not a response")  # noqa: TRY004 - callers catch one kind of error
        return as_kind(values | {"key": CallKey.read(values["key"])}, cls)
