"""A conversation of several calls. Turns are numbered in order, so that a replay makes the same calls."""

from __future__ import annotations

from collections.abc import Sequence

from o1lab.chains.marks import pattern
from o1lab.distill.methods.base import Ask
from o1lab.inference.calls import Message, Role
from o1lab.inference.thoughts import split


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


def has_marks(text: str) -> bool:
    """Return whether ``text`` contains a mark of any think format."""
    return pattern().search(text) is not None


def without_marks(text: str) -> str:
    """Return ``text`` without think marks, so that it can be put between marks."""
    return pattern().sub("", text).strip()
