"""Asking a model for a single answer, as the panes of a conversation do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from o1lab.inference.calls import Message
from o1lab.inference.chat_client import ChatClient
from o1lab.inference.events import Event, Sampling
from o1lab.serve.endpoints import ModelAddress


async def stream_chat(
    target: ModelAddress, messages: Sequence[Message], sampling: Sampling | None = None
) -> AsyncIterator[Event]:
    async with ChatClient() as client:
        async for event in client.stream(target, messages, sampling):
            yield event
