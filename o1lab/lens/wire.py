"""Requests of the lens to the server of a model, and the errors that its answers mean."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx2

from o1lab.errors import LabError, RefusedError
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.registry import ModelRef


async def post(
    client: httpx2.AsyncClient, address: ModelAddress, ref: ModelRef, path: str, body: Mapping[str, Any]
) -> tuple[int, dict[str, Any]]:
    """Return the status of an answer and its JSON object; an empty one if the answer has none.

    Raises:
        LabError: the server does not answer (code ``gone``).
    """
    url = f"{address.base_url.rstrip('/')}/{path}"
    try:
        answer = await client.post(url, json=body, headers={"Authorization": f"Bearer {address.key}"})
    except httpx2.HTTPError as error:
        raise LabError(
            f"The server of {ref.id} did not answer: {type(error).__name__}.", "Start the command again.", code="gone"
        ) from error
    try:
        found = await asyncio.to_thread(json.loads, answer.content)
    except ValueError:
        found = {}
    return answer.status_code, found if isinstance(found, dict) else {}


def message_of(status: int, found: Mapping[str, Any]) -> str:
    """Return what an answer says went wrong."""
    error = found.get("error")
    message = error.get("message") if isinstance(error, dict) else found.get("message")
    return str(message) if message else f"HTTP {status}"


def without_scores(ref: ModelRef) -> RefusedError:
    """Return the error that a server gives no scores."""
    return RefusedError(
        f"The server of {ref.id} gives no scores of the tokens of a text.",
        "o1lab's own server does, and vLLM with prompt_logprobs: `o1lab serve MODEL`.",
        code="no_logprobs",
    )
