"""Score recorded chains: the probability of each token by models of the lab."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from o1lab.errors import RefusedError
from o1lab.lens.scorers import open_scorer, request_of, require_scores
from o1lab.paths import Lab
from o1lab.serve.identity import identify
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import ModelRef
from store import token_scores, traces
from store.connection import Store
from store.token_scores import TokenScores

TOP = 5
"""The number of alternatives that are kept of each token."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A chain that a model did not score, and the reason."""

    trace_id: str
    model: str
    error: str


@dataclass(frozen=True, slots=True)
class Pass:
    """The result of a pass over some chains.

    Attributes:
        models: the key of each model (:func:`model_key`), in the order of the models.
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
        wanted = list(trace_ids) if again else await store.in_thread(token_scores.missing, trace_ids, key)
        todo.append((ref, key, wanted))
    total, done = sum(len(wanted) for _, _, wanted in todo), 0
    failures: list[Failure] = []
    for ref, key, wanted in todo:
        if not wanted:
            continue
        async with open_scorer(ref, manager) as scorer:
            for trace_id in wanted:
                text = await store.in_thread(traces.text, trace_id)
                try:
                    tokens = await scorer.scores(request_of(text), TOP)
                except RefusedError as error:
                    failures.append(Failure(trace_id, ref.id, error.message))
                else:
                    found = TokenScores(trace_id, key, ref.id, losses_of(tokens), tokens)
                    await store.in_thread(token_scores.add, [found])
                done += 1
                on_scored(done, total)
    return Pass(tuple(keys), done - len(failures), len(refs) * len(trace_ids) - total, tuple(failures))


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
