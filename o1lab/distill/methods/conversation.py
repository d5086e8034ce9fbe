"""A conversation of several calls: turns are numbered one after the other, so that replaying it asks the same again."""

from __future__ import annotations

import re
from collections.abc import Sequence

from o1lab.chains.parse import parse
from o1lab.distill.methods.base import Ask
from o1lab.inference.calls import Message, Response, Role

_MARKS = re.compile(r"</?(?:think|Thought|Output)>|<\|(?:begin|end)_of_(?:thought|solution)\|>")


class GivenUp(Exception):  # noqa: N818 - no error: the conversation came to nothing, and ``reason`` says why
    """The conversation ends without a trace. Without a reason a call failed, which whoever made it knows."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class Conversation:
    """Asks turn after turn; ``keys`` are those of the calls so far, ``turn`` is the number of the next."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.turn = 0
        self.keys: list[str] = []

    async def say(self, messages: Sequence[Message], *, role: Role = "teacher") -> str:
        """What the model answers, without what it thought before.

        Raises:
            GivenUp: no whole answer came.
        """
        turn, self.turn = self.turn, self.turn + 1
        response = await self._ask(turn, messages, role=role)
        self.keys.append(str(response.key))
        if response.state != "done":
            raise GivenUp
        if response.finish_reason == "length":
            raise GivenUp(f"a call was cut off at the maximum of tokens: call {turn}")
        if not (answer := spoken(response)):
            raise GivenUp(f"a call brought an empty answer: call {turn}")
        return answer


def spoken(response: Response) -> str:
    """The answer of a response without the thought that stands before it."""
    return parse(response.answer).solution_of(response.answer)


def has_marks(text: str) -> bool:
    """Whether a mark of any think format stands in ``text``."""
    return _MARKS.search(text) is not None


def without_marks(text: str) -> str:
    """``text`` without think marks: what is put between marks must hold none."""
    return _MARKS.sub("", text).strip()
