"""A conversation of several calls. Turns are numbered in order, so that a replay makes the same calls."""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from o1lab.chains.marks import pattern
from o1lab.distill.method import Ask, Draft, Method, SourceItem
from o1lab.inference.calls import Message, Role
from o1lab.inference.thoughts import split

_SINGLE_BACKSLASH = re.compile(r"(?<!\\)\\(?![\\\"/]|n(?![a-z])|u[0-9a-fA-F]{4})")
_CONTROL = re.compile(r"[\x08\x0c\t\r]|\n(?:eq|e|u|abla|ot|mid)\b")


class GivenUp(Exception):  # noqa: N818 - not an error: the conversation ends without a trace
    """The conversation ends without a trace. ``reason`` is empty if a call failed, which is recorded elsewhere."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class Conversation:
    """Makes calls turn by turn; ``keys`` are the keys of the calls so far, ``turn`` is the number of the next."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.turn = 0
        self.keys: list[str] = []

    async def say(self, messages: Sequence[Message], *, role: Role = "teacher") -> str:
        """Send messages and return the answer without its thought.

        Raises:
            GivenUp: the call failed, or its answer is truncated or empty.
        """
        turn, self.turn = self.turn, self.turn + 1
        response = await self._ask(turn, messages, role=role)
        self.keys.append(str(response.key))
        if response.state != "done":
            raise GivenUp
        if not response.whole:
            raise GivenUp(f"a call was cut off at the maximum of tokens: call {turn}")
        if not (answer := split(response)[1].strip()):
            raise GivenUp(f"a call returned an empty answer: call {turn}")
        return answer


class ConversationMethod(Method):
    """A method whose conversation has several calls and may be given up."""

    @abstractmethod
    async def converse(self, item: SourceItem, talk: Conversation) -> Draft:
        """Run the conversation about ``item``.

        Raises:
            GivenUp: it ends without a trace.
        """

    async def respond(self, item: SourceItem, sample: int, ask: Ask) -> Draft:
        try:
            return await self.converse(item, Conversation(ask))
        except GivenUp as end:
            return Draft("", complete=False, rejected=end.reason)


def has_marks(text: str) -> bool:
    """Return whether ``text`` contains a mark of any think format."""
    return pattern().search(text) is not None


def without_marks(text: str) -> str:
    """Return ``text`` without think marks, so that it can be put between marks."""
    return pattern().sub("", text).strip()


def last_object(text: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
    """Return the last JSON object in ``text`` that is ``wanted``; its ``reason`` may have LaTeX as models write it."""
    found = _last(text, wanted)
    if found is None or _CONTROL.search(str(found.get("reason"))):
        # LaTeX with single backslashes is invalid JSON, or JSON that turns \\frac into a form feed.
        found = _last(_SINGLE_BACKSLASH.sub(r"\\\\", text), wanted) or found
    return found


def _last(text: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
    decoder, found = json.JSONDecoder(strict=False), None
    for brace in re.finditer(r"\{", text):
        try:
            value, _ = decoder.raw_decode(text, brace.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and wanted(value):
            found = value
    return found
