"""One call to a model and what came back, as the journal keeps it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, Self

Message = dict[str, str]
"""One message of the chat protocol: ``role`` and ``content``."""
Role = Literal["teacher", "critic"]
"""Which of a job's models a call goes to. Judges and evaluated models are asked as ``teacher``."""


def digest(role: str, messages: Sequence[Message]) -> str:
    """Short, the same for the same question to the same role."""
    return hashlib.sha256(json.dumps([role, list(messages)]).encode()).hexdigest()[:16]


State = Literal["done", "partial", "failed"]
RAW_LIMIT = 20_000


class RunStopped(Exception):  # noqa: N818 - it is no error: the run was stopped, by a person or by its budget
    """Nothing more may be asked. The conversation ends here; a resume takes it up again."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CallKey(NamedTuple):
    """Which call of a run: the item (a problem's or trace's id), its sample from 0, its turn from 0."""

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


@dataclass(frozen=True, slots=True)
class RequestError:
    """What went wrong with a call: a code scripts can count, a sentence, and whether asking again can help."""

    code: str
    sentence: str
    retryable: bool = False


TRANSIENT = frozenset({"timeout", "unreachable", "server", "rate_limit", "cut_off", "malformed", "empty"})
"""Faults that may be gone a moment later. After any other the same question gets the same answer."""
PERMANENT = frozenset({"context_length", "content_filter", "refusal", "length"})
"""Faults of the question itself: not even a later session asks again."""
FATAL = frozenset({"key", "quota", "no_model", "option"})
"""Faults that every other call would meet as well: they end the run."""
OPTIONS = frozenset({"temperature", "top_p", "seed", "reasoning_effort", "max_tokens", "max_completion_tokens"})
"""What a call is asked with besides its messages; a wrong value of one (the fault ``option``) is wrong for all."""


@dataclass(frozen=True, slots=True)
class Response:
    """What came of one call.

    ``done``: a whole response, whatever its ``finish_reason``. ``partial``: a stream that broke off, with what came.
    ``failed``: none. ``thought`` is what the server sent apart from the answer; marks inside ``answer`` stay there.
    Tokens are the server's counts, or estimates when ``estimated``. Where something went wrong ``raw`` is the server's
    own body as text, at most ``RAW_LIMIT`` characters of it; ``refusal`` what a model says that declines in a field
    apart (the fault ``refusal``). ``role`` is who was asked, ``asked`` the digest of the
    question, ``options`` what it was sent with; an engine that does not know them leaves them out.
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
        """Whether the call needs no more asking: a whole response, or a failure that asking again cannot help."""
        return self.state == "done" or (self.fault is not None and not self.fault.retryable)

    def line(self) -> str:
        """One line of JSON, without its newline."""
        values = asdict(self) | {"key": str(self.key)}
        return json.dumps({name: value for name, value in values.items() if value not in ("", None)})

    @classmethod
    def read(cls, line: str | bytes) -> Self:
        """The response that :meth:`line` wrote. Unknown keys are passed over.

        Raises:
            ValueError: it is none.
        """
        values: Any = json.loads(line)
        if not isinstance(values, dict) or not isinstance(values.get("key"), str):
            raise ValueError("not a response")  # noqa: TRY004 - one kind of error for whoever reads lines
        known = {name: value for name, value in values.items() if name in cls.__dataclass_fields__}
        fault = known.get("fault")
        try:
            known["key"] = CallKey.read(values["key"])
            known["fault"] = RequestError(**fault) if isinstance(fault, dict) else None
            return cls(**known)
        except TypeError as error:
            raise ValueError(str(error)) from error
