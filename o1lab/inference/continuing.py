"""Requests that continue a response: the last message of the conversation is the assistant's.

o1lab's own servers take such a conversation with ``continue_final_message``. vLLM has a field of that name too, but its
templates trim the text and remove thoughts from it. So the request goes to ``/v1/completions``, with the tokens of its
own prompt followed by those of the response. Other servers answer such a message instead of continuing it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx2
import openai

from o1lab.errors import RefusedError
from o1lab.inference.calls import RequestError
from o1lab.models.prefixes import after_prompt
from o1lab.serve.endpoints import ModelAddress
from store.records import scrubbed

_TAIL = 60
"""Tokens at the end of a prompt: a mark may open a thought among them, and the response is encoded after them."""
_OF_PROMPTS = frozenset({"messages", "chat_template_kwargs", "prefix_token_ids", "return_token_ids"})
"""Fields of a chat request that a text completion does not have."""


class CannotContinueError(Exception):
    """A server cannot continue a response; ``error`` says why."""

    def __init__(self, error: RequestError) -> None:
        super().__init__(error.sentence)
        self.error = error


async def continuation(
    client: openai.AsyncOpenAI, target: ModelAddress, body: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Return the path and the body of a request that continues the last message.

    Args:
        client: a client of the server.
        target: the model.
        body: a chat request whose last message is the assistant's: the response so far, with its think marks. Its
            ``prefix_token_ids`` are the tokens of that text where they are known.

    Raises:
        CannotContinueError: the server cannot continue a text.
        openai.APIError: the server failed.
    """
    if target.continues == "messages":
        return "/chat/completions", {**body, "continue_final_message": True}
    if target.continues == "tokens":
        return "/completions", await _as_tokens(client, target, body)
    raise CannotContinueError(RequestError.of("no_continuing", *refusal_to_continue(target.model)))


def require_continuing(target: ModelAddress, name: str) -> None:
    """Check that a server can continue a response.

    Args:
        target: the model.
        name: its name in the lab.

    Raises:
        RefusedError: it cannot (code ``no_continuing``).
    """
    if not target.continues:
        raise RefusedError(*refusal_to_continue(name), code="no_continuing")


def refusal_to_continue(name: str) -> tuple[str, str]:
    """Return why a model with this name cannot continue a text, and what to do."""
    return (
        f"{name} only answers messages and cannot continue a text.",
        "Ask a base, a checkpoint (RUN/STEP), the solver, or a server that you started with `o1lab serve`.",
    )


async def _as_tokens(client: openai.AsyncOpenAI, target: ModelAddress, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request to vLLM's ``/v1/completions``; vLLM renders and tokenises the prompt itself."""
    *asked, last = body["messages"]
    options = {"chat_template_kwargs": body["chat_template_kwargs"]} if "chat_template_kwargs" in body else {}
    prompt = await _post(
        client, target, "tokenize", {"messages": asked, "add_generation_prompt": True, **options}, "tokens"
    )
    begun = body.get("prefix_token_ids")
    if begun is None:
        tail = str(await _post(client, target, "detokenize", {"tokens": prompt[-_TAIL:]}, "prompt"))
        begun = await _encoded_after(client, target, tail, after_prompt(tail, last["content"]))
    return {
        "prompt": [*prompt, *begun],
        **{name: value for name, value in body.items() if name not in _OF_PROMPTS},
    }


async def _encoded_after(client: openai.AsyncOpenAI, target: ModelAddress, tail: str, prefix: str) -> list[int]:
    """Return the tokens of a text after the end of a prompt, as :func:`o1lab.models.prompts.encode_after` does."""
    text = scrubbed(prefix)

    async def encode(some: str) -> list[int]:
        body = {"prompt": some, "add_special_tokens": False}
        return list(await _post(client, target, "tokenize", body, "tokens"))

    asked, whole = await asyncio.gather(encode(tail), encode(tail + text))
    return whole[len(asked) :] if whole[: len(asked)] == asked else await encode(text)


async def _post(client: openai.AsyncOpenAI, target: ModelAddress, path: str, body: dict[str, Any], wanted: str) -> Any:
    url = f"{target.base_url.rstrip('/').removesuffix('/v1')}/{path}"
    response = await client.post(url, cast_to=httpx2.Response, body={"model": target.model, **body})
    found = response.json()
    if not isinstance(found, dict) or not isinstance(found.get(wanted), list | str):
        raise CannotContinueError(
            RequestError.of(
                "no_continuing",
                f"The server of {target.model} does not return the tokens of its prompt (/{path}).",
                "Use a newer version of vLLM.",
            )
        )
    return found[wanted]
