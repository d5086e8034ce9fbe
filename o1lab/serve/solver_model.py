"""The backend of the solver teacher, which is a search program and not a language model."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from o1lab.serve.protocol import (
    Answer,
    ApiError,
    ChainScores,
    ChatRequest,
    CompletionRequest,
    End,
    Message,
    Piece,
    ScoreRequest,
    split_prefix,
)
from o1lab.serve.records import SOLVER
from o1lab.serve.solver import OUTSIDE, SolverReply, respond, resume


class Solver:
    """A backend for :func:`o1lab.serve.http.api.make_api`. ``tokenizer`` (the student's) counts its tokens."""

    engine = "solver"
    folder: Path | None = None

    def __init__(self, tokenizer: Tokenizer | None) -> None:
        self._tokenizer = tokenizer

    def cards(self) -> list[dict[str, Any]]:
        return [{"id": SOLVER, "object": "model", "owned_by": "o1lab", "description": OUTSIDE, "language_model": False}]

    def status(self) -> dict[str, Any]:
        return {"engine": self.engine, "description": OUTSIDE}

    def steps(self) -> int:
        """Return 0: its answers do not take long."""
        return 0

    def render(self, request: ChatRequest, messages: list[Message]) -> dict[str, Any]:
        prompt = self._question(request.model, messages)
        return {"prompt": prompt, "prompt_tokens": self._count(prompt), "note": OUTSIDE}

    def open(self, request: ChatRequest, messages: list[Message], seed: int | None) -> Answer:
        del seed  # the solver is deterministic
        if request.logprobs:
            raise ApiError(400, "The solver has no log-probabilities.", "unsupported_parameter", "logprobs")
        asked, prefix = split_prefix(messages) if request.continue_final_message else (messages, None)
        return self._answer(self._question(request.model, asked), request, prefix)

    def open_text(self, request: CompletionRequest, prompt: str | list[int], seed: int | None) -> Answer:
        raise ApiError(400, "The solver is not a language model: use /v1/chat/completions.", "invalid_request")

    async def score(self, request: ScoreRequest, messages: list[Message]) -> ChainScores:
        raise ApiError(400, "The solver is a program and has no log-probabilities.", "no_logprobs")

    def load_adapter(self, name: str, path: Path) -> None:
        raise ApiError(400, f"The solver has no weights, so {name} ({path.name}) cannot be loaded.", "no_adapters")

    def remove_adapter(self, name: str) -> None:
        raise ApiError(404, f"The solver has no adapter {name}.", "model_not_found")

    def close(self) -> None:
        """Do nothing: the solver holds no resources."""

    async def _answer(self, question: str, request: ChatRequest, prefix: str | None) -> Answer:
        # A continuation is the text of the response, with the marks of the thought.
        reply = respond(question) if prefix is None else SolverReply("", resume(question, prefix))
        pieces = [Piece("reasoning_content", word) for word in words(reply.thought)]
        thought_pieces = len(pieces)
        pieces += [Piece("content", word) for word in words(_before_stop(reply.answer, request.stops))]
        allowed = len(pieces) if request.limit is None else self._fitting(pieces, request.limit)
        for piece in pieces[:allowed]:
            yield piece
            await asyncio.sleep(0)  # send each word separately, and let other requests run
        sent = "".join(piece.text for piece in pieces[:allowed])
        thought = "".join(piece.text for piece in pieces[: min(allowed, thought_pieces)])
        yield End(
            "stop" if allowed == len(pieces) else "length",
            self._count(question + (prefix or "")),
            self._count(sent),
            self._count(thought),
        )

    def _fitting(self, pieces: list[Piece], limit: int) -> int:
        """Return how many of ``pieces`` fit into ``limit`` tokens; without a tokenizer, a word is one token."""
        used = 0
        for i, piece in enumerate(pieces):
            used += self._count(piece.text) or 1
            if used > limit:
                return i
        return len(pieces)

    def _count(self, text: str) -> int | None:
        return None if self._tokenizer is None else len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _question(self, model: str, messages: list[Message]) -> str:
        if model != SOLVER:
            raise ApiError(404, f"There is no model called {model} here, only {SOLVER}.", "model_not_found", "model")
        questions = [str(message["content"]) for message in messages if message["role"] == "user"]
        if not questions:
            raise ApiError(400, "The messages contain no user message.", "invalid_request", "messages")
        return questions[-1]


def words(text: str) -> list[str]:
    """Split ``text`` before each word; the parts joined are ``text``."""
    return re.findall(r"\s*\S+\s*\Z|\s*\S+", text)


def _before_stop(text: str, stops: tuple[str, ...]) -> str:
    ends = [at for stop in stops if stop and (at := text.find(stop)) >= 0]
    return text[: min(ends, default=len(text))]
