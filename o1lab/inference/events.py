"""The events of a streamed chat answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from o1lab.inference.calls import RequestError

Kind = Literal["thought", "answer"]


@dataclass(frozen=True)
class Sampling:
    """Sampling parameters. ``None`` means the server's default; ``temperature`` 0 is greedy."""

    temperature: float | None = 0.0
    top_p: float | None = None
    max_tokens: int | None = 512
    seed: int | None = 1
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Started:
    """The first token arrived, ``ttft_s`` seconds after the request was sent."""

    ttft_s: float


@dataclass(frozen=True)
class Delta:
    """More text of the thought or of the answer, without think tags."""

    kind: Kind
    text: str


@dataclass(frozen=True)
class Recast:
    """Part of the answer so far is in fact thought: a closing think mark arrived without an opening one at the start.

    Some chat templates put the opening mark into the prompt, so the response contains only the closing one.

    Attributes:
        answer: what remains of the answer so far.
        thought: the text to add to the thought.
    """

    answer: str
    thought: str


@dataclass(frozen=True)
class Noted:
    """The request was changed, because the server refuses part of it; ``text`` says what and why, for people."""

    text: str


@dataclass(frozen=True)
class Done:
    """The answer is complete or reached its limit.

    Attributes:
        finish_reason: as the server reports it, such as ``stop`` or ``length``.
        prompt_tokens, completion_tokens: the server's counts; None if it reports none.
        thought_tokens, answer_tokens: the parts of ``completion_tokens``; None if the server does not report them.
        seconds: duration of the whole request.
        ttft_s: seconds until the first token; None if none came.
        tokens_per_second: the rate from the first token to the last.
        raw: the text as the model wrote it, with its think marks; that of the continuation if it continued a response.
        token_ids: its tokens, without those that the prompt has already; empty if the server does not report them.
    """

    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None
    thought_tokens: int | None
    answer_tokens: int | None
    seconds: float
    ttft_s: float | None
    tokens_per_second: float | None
    raw: str = ""
    token_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Failed:
    """The answer failed; the text before it stays valid."""

    error: RequestError
    seconds: float = 0.0


Event = Started | Delta | Recast | Noted | Done | Failed


@dataclass
class Answer:
    """An answer that accumulates: apply every event, then read the fields."""

    thought: str = ""
    answer: str = ""
    ttft_s: float | None = None
    done: Done | None = None
    error: RequestError | None = None
    stopped: bool = False
    notes: list[str] = field(default_factory=list)

    def apply(self, event: Event) -> None:
        match event:
            case Started(ttft_s=ttft):
                self.ttft_s = ttft
            case Delta(kind="thought", text=text):
                self.thought += text
            case Delta(text=text):
                self.answer += text
            case Recast(answer=answer, thought=thought):
                self.thought, self.answer = "\n\n".join(filter(None, (self.thought, thought))), answer
            case Noted(text=text):
                self.notes.append(text)
            case Done():
                self.done = event
            case Failed(error=error):
                self.error = error

    @property
    def state(self) -> Literal["streaming", "done", "stopped", "failed"]:
        if self.error is not None:
            return "failed"
        if self.stopped:
            return "stopped"
        return "done" if self.done is not None else "streaming"
