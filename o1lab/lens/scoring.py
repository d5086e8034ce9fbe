"""Score recorded chains: how likely models of the lab find each token of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any

import httpx2

from o1lab.errors import LabError, RefusedError
from o1lab.paths import Lab
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.identity import identify
from o1lab.serve.manager import ServerManager
from o1lab.serve.records import PAST_PROXIES
from o1lab.serve.registry import SOLVER, ModelRef, open_model
from store import token_scores, traces
from store.connection import Store
from store.records import TraceText
from store.token_scores import TokenScores

TOP = 5
"""The number of alternatives that are kept of each token."""
_CONNECT_S = 30.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A chain that a model did not score, and why."""

    trace_id: str
    model: str
    error: str


@dataclass(frozen=True, slots=True)
class Pass:
    """What a pass over some chains did.

    Attributes:
        models: what identifies each model, in the order of the models.
        scored: the number of chains that were scored.
        known: the number of those that had been before.
        failures: the chains that were not.
    """

    models: tuple[str, ...]
    scored: int
    known: int
    failures: tuple[Failure, ...]


async def score_traces(
    lab: Lab,
    store: Store,
    trace_ids: Sequence[str],
    refs: Sequence[ModelRef],
    manager: ServerManager,
    *,
    again: bool = False,
    on_scored: Callable[[int, int], None] = lambda _done, _total: None,
) -> Pass:
    """Score traces by models, one chain after the other, and store each score before the next request.

    Args:
        lab: the lab.
        store: its database.
        trace_ids: the traces.
        refs: the models.
        manager: runs their servers.
        again: whether chains that a model has scored are scored again.
        on_scored: called with the number of finished chains and of all.

    Raises:
        RefusedError: a model has no token scores.
        LabError: a model cannot be opened.
    """
    for ref in refs:
        require_scores(ref)
    keys = [await asyncio.to_thread(model_key, lab, ref) for ref in refs]
    todo: list[tuple[ModelRef, str, list[str]]] = []
    for ref, key in zip(refs, keys, strict=True):
        wanted = list(trace_ids) if again else await asyncio.to_thread(token_scores.missing, store.db, trace_ids, key)
        todo.append((ref, key, wanted))
    total, done = sum(len(wanted) for _, _, wanted in todo), 0
    failures: list[Failure] = []
    for ref, key, wanted in todo:
        if not wanted:
            continue
        address = await open_model(ref, manager, scores=True)
        async with httpx2.AsyncClient(timeout=httpx2.Timeout(None, connect=_CONNECT_S), mounts=PAST_PROXIES) as client:
            for trace_id in wanted:
                text = await asyncio.to_thread(traces.text, store.db, trace_id)
                try:
                    tokens = await _scores(client, address, ref, text)
                except RefusedError as error:
                    failures.append(Failure(trace_id, ref.id, error.message))
                else:
                    found = TokenScores(trace_id, key, ref.id, losses_of(tokens), tokens)
                    await asyncio.to_thread(token_scores.add, store.db, [found])
                done += 1
                on_scored(done, total)
    return Pass(tuple(keys), done - len(failures), len(refs) * len(trace_ids) - total, tuple(failures))


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


def model_key(lab: Lab, ref: ModelRef) -> str:
    """Return what identifies the model, with its template and its system prompt, for stored scores."""
    found = identify(lab, ref)
    return sha256(json.dumps([found.revision, found.template, found.system_prompt]).encode()).hexdigest()[:16]


def losses_of(tokens: dict[str, list[Any]]) -> dict[str, tuple[int, float]]:
    """Return the number of tokens and their mean negative log-probability in nats, by part of the response."""
    found: dict[str, tuple[int, float]] = {}
    for part in ("thought", "solution", "mark"):
        values = [-one for one, where in zip(tokens["logprob"], tokens["part"], strict=True) if where == part]
        if values:
            found[part] = (len(values), sum(values) / len(values))
    return found


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


async def _scores(
    client: httpx2.AsyncClient, address: ModelAddress, ref: ModelRef, text: TraceText
) -> dict[str, list[Any]]:
    url = f"{address.base_url.rstrip('/')}/o1lab/score"
    body = {"model": address.model, "top": TOP, **request_of(text)}
    try:
        answer = await client.post(url, json=body, headers={"Authorization": f"Bearer {address.key}"})
    except httpx2.HTTPError as error:
        raise LabError(
            f"The server of {ref.id} did not answer: {type(error).__name__}.", "Start the command again.", code="gone"
        ) from error
    try:
        found = await asyncio.to_thread(partial(json.loads, answer.content))
        if answer.status_code == 200:
            return {name: value for name, value in found.items() if isinstance(value, list)}
        message = str(found["error"]["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        message = f"HTTP {answer.status_code}"
    if answer.status_code == 404 and "model" not in message:
        raise RefusedError(
            f"The server of {ref.id} gives no scores of the tokens of a text.",
            "o1lab's own server does: `o1lab serve MODEL`.",
            code="no_logprobs",
        )
    raise RefusedError(message)


def _sound(text: str) -> str:
    """Replace lone surrogates, which cannot be tokenised, as training does."""
    return text.encode("utf-8", "replace").decode("utf-8")
