"""The OpenAI protocol: requests, the parts of an answer, and the interface of the models that give it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from o1lab.models.prompts import CutOff, Place, Written

Message = dict[str, Any]
"""A message: ``role``, ``content`` as text, and ``tool_calls`` where an earlier answer made some."""

MAX_TOP = 20
"""The largest number of alternatives that log-probabilities come with, as in OpenAI's interface."""

_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "audio": (),
    "best_of": (1,),
    "frequency_penalty": (0,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "grammar": ("",),
    "guided_choice": ([],),
    "guided_grammar": ("",),
    "guided_json": ({},),
    "guided_regex": ("",),
    "ignore_eos": (False,),
    "logit_bias": ({},),
    "min_p": (0,),
    "min_tokens": (0,),
    "modalities": (["text"],),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "response_format": ({"type": "text"},),
    "structured_outputs": ({},),
    "suffix": ("",),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_k": (-1, 0),
    "use_beam_search": (False,),
    "web_search_options": (),
}
"""Fields that would change the answer and are not supported, with the values that ask for nothing."""


class ApiError(Exception):
    """An error response of the protocol."""

    def __init__(self, status: int, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param

    @property
    def body(self) -> dict[str, Any]:
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


class SamplingRequest(BaseModel):
    """The fields that both kinds of requests share. Fields without effect on the answer (``user``) are ignored."""

    model_config = ConfigDict(extra="ignore")

    model: str
    max_tokens: int | None = Field(default=None, ge=0, le=2**31)
    temperature: float | None = Field(default=None, ge=0, le=10)
    top_p: float | None = Field(default=None, ge=0, le=1)
    seed: int | None = Field(default=None, ge=-(2**62), le=2**62)
    n: int | None = Field(default=None, ge=1, le=64)
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Return a request.

        Raises:
            ApiError: a field has a wrong value, or asks for something that this server does not do.
        """
        for name, neutral in _NEUTRAL.items():
            if body.get(name) is not None and body[name] not in neutral:
                raise ApiError(400, f"This server does not support {name}; omit it.", "unsupported_parameter", name)
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ApiError(400, f"{where}: {first['msg']}.", "invalid_request", where) from error

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def seeds(self) -> list[int | None]:
        """The seed of each choice."""
        return [None if self.seed is None else self.seed + i for i in range(self.n or 1)]

    @property
    def with_usage(self) -> bool:
        """Whether a stream ends with the token counts."""
        return bool((self.stream_options or {}).get("include_usage"))


class ChatRequest(SamplingRequest):
    """A request of ``/v1/chat/completions``."""

    messages: list[dict[str, Any]] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1, le=2**31)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=2**31)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=MAX_TOP)
    chat_template_kwargs: dict[str, Any] | None = None
    continue_final_message: bool = Field(
        default=False, description="Continue the last message, which is the assistant's, instead of answering it."
    )
    prefix_token_ids: list[StrictInt] | None = Field(
        default=None, description="The tokens of that message where they are known; else its text is encoded."
    )
    return_token_ids: bool = Field(default=False, description="Answer with the ids of the tokens, as vLLM does.")
    default_system: bool = Field(default=True, description="Ask a student with the system prompt of its run.")

    @property
    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def top(self) -> int | None:
        """The number of alternatives of each token; None if log-probabilities are not requested."""
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionRequest(SamplingRequest):
    """A request of ``/v1/completions``: prompts are text or token ids, and no template is applied."""

    prompt: (
        Annotated[str, Field(min_length=1)]
        | Annotated[list[StrictInt], Field(min_length=1)]
        | Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=512)]
        | Annotated[list[Annotated[list[StrictInt], Field(min_length=1)]], Field(min_length=1, max_length=512)]
    )
    max_tokens: int | None = Field(default=16, ge=0, le=2**31)
    logprobs: int | None = Field(default=None, ge=0, le=MAX_TOP)
    echo: bool | None = None
    add_special_tokens: bool = Field(default=True, description="Begin a text with the model's first token, if any.")

    @property
    def limit(self) -> int:
        return 16 if self.max_tokens is None else self.max_tokens

    @property
    def top(self) -> int | None:
        """The number of alternatives of each token; None if log-probabilities are not requested."""
        return self.logprobs

    @property
    def prompts(self) -> list[str | list[int]]:
        """The prompts, each of which gets ``n`` choices."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        found: list[Any] = self.prompt
        return [found] if isinstance(found[0], int) else found


class ScoreRequest(SamplingRequest):
    """A request of ``/v1/o1lab/score``: score the tokens of a given response.

    The builder of training rows puts the response into the format of the student, so that the scores are those of the
    tokens that training sees.
    """

    messages: list[dict[str, Any]] = Field(min_length=1)
    thought: str = ""
    solution: str = ""
    cut_off: CutOff = ""
    top: int = Field(default=0, ge=0, le=MAX_TOP, description="Number of alternatives of each token.")
    default_system: bool = Field(default=True, description="Ask a student with the system prompt of its run.")

    @property
    def response(self) -> Written:
        return Written(self.thought, self.solution, self.cut_off)


def plain_messages(given: Any) -> list[Message]:
    """Return messages with content parts joined to text and the role ``developer`` as ``system``.

    Raises:
        ApiError: a message has other content than text, or there are none.
    """
    messages = []
    for i, message in enumerate(given if isinstance(given, list) else []):
        found = message if isinstance(message, dict) else {}
        role, content, calls = found.get("role"), found.get("content"), found.get("tool_calls")
        if isinstance(content, list):
            texts = [part.get("text") for part in content if isinstance(part, dict)]
            parts = [text for text in texts if isinstance(text, str)]
            content = "".join(parts) if len(parts) == len(content) else None
        elif content is None and calls:
            content = ""  # an answer that only called tools
        if not isinstance(role, str) or not isinstance(content, str):
            raise ApiError(400, "A message needs a role and text content.", "invalid_request", f"messages.{i}")
        # Templates know no developer: the role replaces system in requests to newer models.
        plain = {"role": "system" if role == "developer" else role, "content": content}
        messages.append(plain | ({"tool_calls": calls} if calls else {}))
    if not messages:
        raise ApiError(400, "There are no messages.", "invalid_request", "messages")
    return messages


def split_prefix(messages: list[Message]) -> tuple[list[Message], str]:
    """Return the messages before the last one, and the text of the last one, which a model continues.

    Raises:
        ApiError: the last message is not the assistant's, or it is the only one.
    """
    *before, last = messages
    if last["role"] != "assistant" or not before or "tool_calls" in last:
        raise ApiError(
            400,
            "Only a text of the assistant that answers another message can be continued.",
            "invalid_request",
            "continue_final_message",
        )
    return before, str(last["content"])


@dataclass(frozen=True, slots=True)
class ScoredText:
    """A token as text.

    Attributes:
        text: its text; with U+FFFD if it is only part of a character.
        logprob: its natural log-probability before temperature; None for the first token of a prompt.
        top: the most likely tokens at its place with their log-probabilities, the most likely first.
    """

    text: str
    logprob: float | None
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of text to send, the field of the protocol it belongs to, and its tokens or their ids if requested."""

    kind: Literal["content", "reasoning_content"]
    text: str
    tokens: tuple[ScoredText, ...] = ()
    ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class End:
    """The end of an answer, with counts in tokens; None if the backend cannot count."""

    reason: str
    prompt_tokens: int | None
    completion_tokens: int | None
    reasoning_tokens: int | None = None


Answer = AsyncIterator[Piece | End]


@dataclass(frozen=True, slots=True)
class TokenView:
    """The score of one token: see :class:`o1lab.serve.engine.sampling.TokenScore`."""

    text: ScoredText
    rank: int
    entropy: float


@dataclass(frozen=True, slots=True)
class ChainScores:
    """The scores of a response.

    Attributes:
        prompt_tokens: the number of tokens of the question, which are not scored.
        places: the position of each token of the completion.
        tokens: its scores, in the same order.
    """

    prompt_tokens: int
    places: Sequence[Place]
    tokens: Sequence[TokenView]

    def as_json(self) -> dict[str, Any]:
        """Return the body of the answer: a list for each figure, with an entry for each token of the completion."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "part": [place.part for place in self.places],
            "start": [place.start for place in self.places],
            "end": [place.end for place in self.places],
            "text": [one.text.text for one in self.tokens],
            "logprob": [one.text.logprob for one in self.tokens],
            "rank": [one.rank for one in self.tokens],
            "entropy": [one.entropy for one in self.tokens],
            "top": [one.text.top for one in self.tokens],
        }


class Backend(Protocol):
    """What answers requests. ``open`` and ``open_text`` check and raise ``ApiError`` before anything is sent."""

    engine: str
    folder: Path | None
    """The folder of the base model, if there is one."""

    def cards(self) -> list[dict[str, Any]]: ...
    def status(self) -> dict[str, Any]: ...
    def steps(self) -> int: ...  # turns of the loop with work so far, for all requests
    def render(self, request: ChatRequest, messages: list[Message]) -> dict[str, Any]: ...
    def open(self, request: ChatRequest, messages: list[Message], seed: int | None) -> Answer: ...
    def open_text(self, request: CompletionRequest, prompt: str | list[int], seed: int | None) -> Answer: ...
    async def score(self, request: ScoreRequest, messages: list[Message]) -> ChainScores: ...
    def load_adapter(self, name: str, path: Path) -> None: ...
    def remove_adapter(self, name: str) -> None: ...
    def close(self) -> None: ...
