"""Ask the server of a model how likely it finds the tokens of a response."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

import httpx2

from o1lab.errors import RefusedError
from o1lab.lens.vllm import VllmScorer, open_encoder
from o1lab.lens.wire import message_of, post, without_scores
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.manager import ServerManager
from o1lab.serve.records import PAST_PROXIES, SOLVER
from o1lab.serve.registry import ModelRef, open_model
from store.records import TraceText

_CONNECT_S = 30.0


class Scorer(Protocol):
    """A model that scores the tokens of responses."""

    async def scores(self, request: Mapping[str, Any], top: int) -> dict[str, list[Any]]:
        """Return the scores of the tokens of a response.

        Args:
            request: the question and the response, see :func:`request_of`.
            top: the number of alternatives of each token.

        Returns:
            A list for each figure, as in :class:`store.token_scores.TokenScores`.

        Raises:
            RefusedError: the model does not score this response.
            LabError: its server does not answer.
        """


def require_scores(ref: ModelRef) -> None:
    """Check that a model can score tokens.

    Raises:
        RefusedError: it is an endpoint or the solver.
    """
    if ref.id == SOLVER or ref.endpoint is not None:
        what = "The solver is a program" if ref.id == SOLVER else f"{ref.id} is an endpoint"
        raise RefusedError(
            f"{what} and gives no scores of the tokens of a text.",
            "Name a base, a checkpoint (RUN/STEP) or a server that you started with `o1lab serve`.",
            code="no_logprobs",
        )


@asynccontextmanager
async def open_scorer(ref: ModelRef, manager: ServerManager) -> AsyncIterator[Scorer]:
    """Open a model that scores tokens; start a server or load an adapter if necessary.

    Raises:
        LabError: the model cannot be opened.
    """
    address = await open_model(ref, manager, scores=True)
    async with httpx2.AsyncClient(timeout=httpx2.Timeout(None, connect=_CONNECT_S), mounts=PAST_PROXIES) as client:
        if ref.record is None or ref.record.engine != "vllm":
            yield _Embedded(client, address, ref)
            return
        async with open_encoder(ref) as tokens:
            yield VllmScorer(client, address, ref, tokens)


def request_of(text: TraceText) -> dict[str, Any]:
    """Return the question and the response of a trace, as a row of a dataset has them."""
    cut_off = bool(text.thought) and not text.raw[text.thought_span[1] :].strip()
    asked = [dict(message) for message in text.context] or [{"role": "user", "content": text.statement}]
    return {
        "messages": [{**message, "content": _sound(message["content"])} for message in asked],
        "thought": _sound(text.thought),
        "solution": _sound(text.solution),
        "cut_off": "thought" if cut_off else "" if text.complete else "solution",
    }


class _Embedded:
    """o1lab's own server."""

    def __init__(self, client: httpx2.AsyncClient, address: ModelAddress, ref: ModelRef) -> None:
        self._client, self._address, self._ref = client, address, ref

    async def scores(self, request: Mapping[str, Any], top: int) -> dict[str, list[Any]]:
        body = {"model": self._address.model, "top": top, **request}
        status, found = await post(self._client, self._address, self._ref, "o1lab/score", body)
        if status == 200 and "error" not in found:  # a response that has begun early has an error in its body
            return {name: value for name, value in found.items() if isinstance(value, list)}
        message = message_of(status, found)
        if status == 404 and "model" not in message:
            raise without_scores(self._ref)
        raise RefusedError(message)


def _sound(text: str) -> str:
    """Replace lone surrogates, which cannot be tokenised, as training does."""
    return text.encode("utf-8", "replace").decode("utf-8")
