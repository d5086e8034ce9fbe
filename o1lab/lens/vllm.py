"""Token scores from a running vLLM, by ``prompt_logprobs`` of ``/v1/completions``.

The server gets the token ids of training (:mod:`o1lab.lens.token_worker`), so that the scores are of the same tokens as
those of o1lab's own server. vLLM returns the token at each place and the most likely ones, but no distribution: the
entropy is not known.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx2

from o1lab.errors import LabError, RefusedError
from o1lab.lens.wire import message_of, post, without_scores
from o1lab.process import QUIET_ENVIRONMENT
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.registry import ModelRef

_LONGEST_LINE = 1 << 28
"""Bytes of a line of the worker: a chain of 100,000 tokens takes 3 MB."""


class VllmScorer:
    """A model of a running vLLM."""

    def __init__(self, client: httpx2.AsyncClient, address: ModelAddress, ref: ModelRef, tokens: Encoder) -> None:
        self._client, self._address, self._ref, self._tokens = client, address, ref, tokens

    async def scores(self, request: Mapping[str, Any], top: int) -> dict[str, list[Any]]:
        """Return the scores of the tokens of a response, see :class:`o1lab.lens.asking.Scorer`."""
        coded = await self._tokens.encode({**request, "options": self._ref.prompt.as_json()})
        ids = [*coded["prompt"], *coded["completion"]]
        body = {
            "model": self._address.model, "prompt": ids, "max_tokens": 1, "temperature": 0, "prompt_logprobs": top,
        }  # fmt: skip
        status, found = await post(self._client, self._address, self._ref, "completions", body)
        if status != 200:
            message = message_of(status, found)
            if status == 404 and "model" not in message:
                raise without_scores(self._ref)
            raise RefusedError(f"The server of {self._ref.id} refuses the chain: {message}")
        rows = _rows(found)
        if len(rows) != len(ids):
            raise without_scores(self._ref)
        scores: dict[str, list[Any]] = {name: coded[name] for name in ("part", "start", "end")}
        own, likely = [], []
        for token, row in zip(ids[len(coded["prompt"]) :], rows[len(coded["prompt"]) :], strict=True):
            if not isinstance(row, dict) or str(token) not in row:
                raise without_scores(self._ref)
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


class Encoder:
    """Encodes responses in a process of its own, one after the other."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._lock = asyncio.Lock()
        self._sent = 0

    async def encode(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Return the tokens of a job, see :func:`o1lab.lens.token_worker.encoded`.

        The answer to a job that was cancelled after it was sent still arrives: it is left out.

        Raises:
            RefusedError: the response cannot be encoded.
            LabError: the process has ended.
        """
        assert self._process.stdin is not None  # noqa: S101 - asked for
        async with self._lock:
            self._sent += 1
            own = self._sent
            with suppress(BrokenPipeError, ConnectionResetError):  # it has ended: reading says so
                self._process.stdin.write(json.dumps({**job, "id": own}).encode() + b"\n")
                await self._process.stdin.drain()
            found = await self._line()
            while found.pop("id") != own:
                found = await self._line()
        return _checked(found)

    async def ready(self) -> None:
        """Wait until the tokenizer is loaded.

        Raises:
            LabError: it cannot be loaded, or the process has ended.
        """
        _checked(await self._line())

    async def _line(self) -> dict[str, Any]:
        """Return the next line of the process."""
        assert self._process.stdout is not None  # noqa: S101 - asked for
        line = await self._process.stdout.readline()
        if not line:
            raise LabError("The process that encodes texts has ended.", "Start the command again.", code="gone")
        found: dict[str, Any] = await asyncio.to_thread(json.loads, line)
        return found


def _checked(found: dict[str, Any]) -> dict[str, Any]:
    """Return an answer of the process, or raise the error that it reports."""
    if "error" in found:
        error = found["error"]
        raise (RefusedError if found["refused"] else LabError)(error["message"], error["hint"], code=error["code"])
    return found


@asynccontextmanager
async def open_encoder(ref: ModelRef) -> AsyncIterator[Encoder]:
    """Start the process that encodes for the model of a running server, by the tokenizer of its base.

    Raises:
        LabError: the server does not say what its base is, or the tokenizer cannot be loaded.
    """
    base = ref.record.base if ref.record is not None else ""
    if not base:
        raise LabError(f"The base of the server of {ref.id} is not known.", "Start the server again: o1lab serve")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "o1lab.lens.token_worker", base,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env=os.environ | QUIET_ENVIRONMENT, limit=_LONGEST_LINE,
    )  # fmt: skip
    try:
        encoder = Encoder(process)
        await encoder.ready()
        yield encoder
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
