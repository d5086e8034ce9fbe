"""Ask the server of a model for the probabilities of the tokens of a response.

o1lab's own server has an endpoint for it. vLLM returns ``prompt_logprobs`` from ``/v1/completions``: it gets the token
ids of training (:mod:`o1lab.lens.encoder`), so that both servers score the same tokens. It returns the token at each
place and the most likely ones, but no distribution, so the entropy is not known.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

import httpx2

from o1lab.errors import LabError, RefusedError
from o1lab.lens.encoder import Encoder, open_encoder
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.manager import ServerManager
from o1lab.serve.records import PAST_PROXIES, SOLVER, certificates
from o1lab.serve.registry import ModelRef, open_model
from store.records import TraceText, scrubbed

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
    timeout = httpx2.Timeout(None, connect=_CONNECT_S)
    async with httpx2.AsyncClient(timeout=timeout, mounts=PAST_PROXIES, verify=certificates()) as client:
        if ref.record is None or ref.record.engine != "vllm":
            yield EmbeddedScorer(client, address, ref)
            return
        async with open_encoder(ref) as encoder:
            yield VllmScorer(client, address, ref, encoder)


def request_of(text: TraceText) -> dict[str, Any]:
    """Return the question and the response of a trace, as a row of a dataset has them."""
    cut_off = bool(text.thought) and not text.raw[text.thought_span[1] :].strip()
    asked = [dict(message) for message in text.context] or [{"role": "user", "content": text.statement}]
    return {
        "messages": [{**message, "content": scrubbed(message["content"])} for message in asked],
        "thought": scrubbed(text.thought),
        "solution": scrubbed(text.solution),
        "cut_off": "thought" if cut_off else "" if text.complete else "solution",
    }


class _ServerScorer:
    """A model on a server."""

    def __init__(self, client: httpx2.AsyncClient, address: ModelAddress, ref: ModelRef) -> None:
        self._client, self._address, self._ref = client, address, ref

    async def _post(self, path: str, body: Mapping[str, Any], refused: str = "") -> dict[str, Any]:
        """Return the JSON object of an answer; an empty one if the answer has none.

        Args:
            path: the path of the request.
            body: its body, without the model.
            refused: the beginning of the message if the server refuses the request.

        Raises:
            RefusedError: the server refuses the request, or gives no scores (code ``no_logprobs``).
            LabError: the server does not answer (code ``gone``).
        """
        url = f"{self._address.base_url.rstrip('/')}/{path}"
        headers = {"Authorization": f"Bearer {self._address.key}"}
        try:
            answer = await self._client.post(url, json={"model": self._address.model, **body}, headers=headers)
        except httpx2.HTTPError as error:
            raise LabError(
                f"The server of {self._ref.id} did not answer: {type(error).__name__}.",
                "Start the command again.",
                code="gone",
            ) from error
        try:
            found = await asyncio.to_thread(json.loads, answer.content)
        except ValueError:
            found = {}
        found = found if isinstance(found, dict) else {}
        if answer.status_code == 200 and "error" not in found:  # a response that began early has an error in its body
            return found
        error_body = found.get("error")
        message = str((error_body if isinstance(error_body, dict) else found).get("message") or "")
        if answer.status_code == 404 and "model" not in message:
            raise self._without_scores()
        raise RefusedError(f"{refused}{message or f'HTTP {answer.status_code}'}")

    def _without_scores(self) -> RefusedError:
        return RefusedError(
            f"The server of {self._ref.id} gives no scores of the tokens of a text.",
            "o1lab's own server does, and vLLM with prompt_logprobs: `o1lab serve MODEL`.",
            code="no_logprobs",
        )


class EmbeddedScorer(_ServerScorer):
    """A model on o1lab's own server."""

    async def scores(self, request: Mapping[str, Any], top: int) -> dict[str, list[Any]]:
        """Return the scores of the tokens of a response, see :class:`Scorer`."""
        found = await self._post("o1lab/score", {"top": top, **request})
        return {name: value for name, value in found.items() if isinstance(value, list)}


class VllmScorer(_ServerScorer):
    """A model of a running vLLM."""

    def __init__(self, client: httpx2.AsyncClient, address: ModelAddress, ref: ModelRef, encoder: Encoder) -> None:
        super().__init__(client, address, ref)
        self._encoder = encoder

    async def scores(self, request: Mapping[str, Any], top: int) -> dict[str, list[Any]]:
        """Return the scores of the tokens of a response, see :class:`Scorer`."""
        coded = await self._encoder.encode({**request, "options": self._ref.prompt.as_json()})
        ids = [*coded["prompt"], *coded["completion"]]
        body = {"prompt": ids, "max_tokens": 1, "temperature": 0, "prompt_logprobs": top}
        found = await self._post("completions", body, f"The server of {self._ref.id} refuses the chain: ")
        rows = _rows(found)
        if len(rows) != len(ids):
            raise self._without_scores()
        scores: dict[str, list[Any]] = {name: coded[name] for name in ("part", "start", "end")}
        own, likely = [], []
        for token, row in zip(ids[len(coded["prompt"]) :], rows[len(coded["prompt"]) :], strict=True):
            if not isinstance(row, dict) or str(token) not in row:
                raise self._without_scores()
            own.append(row[str(token)])
            likely.append(sorted(row.values(), key=lambda one: -one["logprob"])[:top])
        return scores | {
            "text": [one.get("decoded_token") or "" for one in own],
            "logprob": [one["logprob"] for one in own],
            "rank": [one.get("rank") for one in own],
            "entropy": [None] * len(own),
            "top": [[[one.get("decoded_token") or "", one["logprob"]] for one in row] for row in likely],
        }


def _rows(found: Mapping[str, Any]) -> list[Any]:
    """Return the log-probabilities by place; none if the answer has none."""
    choices = found.get("choices")
    first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    rows = first.get("prompt_logprobs") or found.get("prompt_logprobs")
    return rows if isinstance(rows, list) else []
