"""One call to a model and its response, as the journal holds them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Self

Message = dict[str, str]
"""One message of the chat protocol: ``role`` and ``content``."""
Role = Literal["teacher", "critic"]
"""Which of a job's models a call goes to. Judges and evaluated models are asked as ``teacher``."""


def digest(role: str, messages: Sequence[Message]) -> str:
    """A short hash of the messages and the role they are sent to."""
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
        """The key written as ``item/sample/turn``; ``ValueError`` for anything else."""
        item, sample, turn = text.rsplit("/", 2)
        return cls(item, int(sample), int(turn))


TRANSIENT = frozenset({"timeout", "unreachable", "server", "rate_limit", "cut_off", "malformed", "empty"})
"""Errors that a second attempt may not meet. After any other the same request gets the same answer."""
PERMANENT = frozenset({"context_length", "content_filter", "refusal", "length"})
"""Errors that come from the request itself: not even a later session sends it again."""
FATAL = frozenset({"key", "quota", "no_model", "option"})
"""Errors that every other call would meet as well: they end the run."""
OPTIONS = frozenset({"temperature", "top_p", "seed", "reasoning_effort", "max_tokens", "max_completion_tokens"})
"""What a call is sent with besides its messages; a wrong value of one (the error ``option``) is wrong for all calls."""


@dataclass(frozen=True, slots=True)
class RequestError:
    """Why a call failed. No field ever holds a key.

    Attributes:
        code: what scripts count; ``TRANSIENT``, ``PERMANENT`` and ``FATAL`` say what follows from it.
        sentence: what happened, for a person.
        retryable: whether a later session sends the request again.
        hint: what to do about it.
        retry_after_s: how many seconds the server asks to wait.
        status: the HTTP status, where there was one.
        raw: what the server sent, as text.

    The journal holds the first three.
    """

    code: str
    sentence: str
    retryable: bool = False
    hint: str = field(default="", compare=False)
    retry_after_s: float | None = field(default=None, compare=False)
    status: int | None = field(default=None, compare=False)
    raw: str = field(default="", compare=False)

    @classmethod
    def of(cls, code: str, sentence: str, hint: str = "", **more: Any) -> Self:
        """An error whose code decides whether a later session sends the request again."""
        return cls(code, sentence, code not in PERMANENT, hint, **more)

    @property
    def transient(self) -> bool:
        """Whether a second attempt may succeed."""
        return self.code in TRANSIENT

    def as_json(self) -> dict[str, Any]:
        """What the journal holds."""
        return {"code": self.code, "sentence": self.sentence, "retryable": self.retryable}


@dataclass(frozen=True, slots=True)
class Response:
    """The result of one attempt of a call.

    Attributes:
        state: ``done``: a whole response, whatever its ``finish_reason``; ``partial``: a stream that broke off, with
            what came; ``failed``: nothing came.
        thought: what the server sent in a field of its own; marks inside ``answer`` stay there.
        input_tokens, output_tokens, thought_tokens: the server's counts, or estimates when ``estimated``.
        fault: why it is not whole.
        raw: the server's body as text where something went wrong, at most ``RAW_LIMIT`` characters.
        refusal: the text of a model that declines in a field of its own (the error ``refusal``).
        role, asked, options: which model was asked, the digest of the messages, and what they were sent with; an
            engine that does not know them leaves them out.
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
    def final(self) -> bool:
        """Whether the call is over: a whole response, or an error that no later session can avoid."""
        return self.state == "done" or (self.fault is not None and not self.fault.retryable)

    def line(self) -> str:
        """One line of JSON, without its newline."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values |= {"key": str(self.key), "fault": self.fault.as_json() if self.fault is not None else None}
        return json.dumps({name: value for name, value in values.items() if value not in ("", None)})

    @classmethod
    def read(cls, line: str | bytes) -> Self:
        """The response that :meth:`line` wrote. Unknown keys are ignored.

        Raises:
            ValueError: it is not one.
        """
        values: Any = json.loads(line)
        if not isinstance(values, dict) or not isinstance(values.get("key"), str):
            raise ValueError("not a response")  # noqa: TRY004 - one kind of error for all who read lines
        known = {name: value for name, value in values.items() if name in cls.__dataclass_fields__}
        fault = known.get("fault")
        try:
            known["key"] = CallKey.read(values["key"])
            known["fault"] = RequestError(**fault) if isinstance(fault, dict) else None
            return cls(**known)
        except TypeError as error:
            raise ValueError(str(error)) from error
