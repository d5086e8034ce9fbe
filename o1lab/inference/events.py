"""What the stream of one chat answer consists of: plain values for screens, commands and tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from o1lab.inference.calls import RequestError

Kind = Literal["thought", "answer"]


@dataclass(frozen=True)
class Sampling:
    """How to answer. ``None`` leaves the choice to the server; ``temperature`` 0 is greedy."""

    temperature: float | None = 0.0
    top_p: float | None = None
    max_tokens: int | None = 512
    seed: int | None = 1
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Started:
    """The first token came, ``ttft_s`` seconds after the question left."""

    ttft_s: float


@dataclass(frozen=True)
class Delta:
    """More text of the thought or of the answer, marks removed."""

    kind: Kind
    text: str


@dataclass(frozen=True)
class Recast:
    """All that came as answer so far was thought: a closing mark arrived whose opening mark never did.

    Some chat templates open the thought inside the prompt, so the answer holds only its end.
    """


@dataclass(frozen=True)
class Done:
    """The answer ended by itself or at its limit; ``finish_reason`` is the server's word (stop, length...).

    Tokens are the server's count, ``None`` where it gives none. ``thought_tokens`` is known when the server
    tells reasoning apart. ``tokens_per_second`` counts from the first token to the last.
    """

    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None
    thought_tokens: int | None
    answer_tokens: int | None
    seconds: float
    ttft_s: float | None
    tokens_per_second: float | None


@dataclass(frozen=True)
class Failed:
    """The answer will not be completed; what came before stays valid."""

    error: RequestError
    seconds: float = 0.0


Event = Started | Delta | Recast | Done | Failed


@dataclass
class Answer:
    """An answer as it grows: apply every event, read the fields."""

    thought: str = ""
    answer: str = ""
    ttft_s: float | None = None
    done: Done | None = None
    error: RequestError | None = None
    stopped: bool = False

    def apply(self, event: Event) -> None:
        match event:
            case Started(ttft_s=ttft):
                self.ttft_s = ttft
            case Delta(kind="thought", text=text):
                self.thought += text
            case Delta(text=text):
                self.answer += text
            case Recast():
                self.thought, self.answer = self.thought + self.answer, ""
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
