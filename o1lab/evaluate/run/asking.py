"""Runs the conversation about one item turn by turn; asks for the final answer if a response was cut off."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from o1lab.evaluate.items import Item
from o1lab.evaluate.run.budget_forcing import Forcing
from o1lab.inference.calls import Message, Response
from o1lab.inference.limits import rough_tokens
from o1lab.inference.thoughts import split
from o1lab.jobs.progress import Usage
from store.evaluations import State, Turn

FORCE = "Stop here and give your final answer now, in the form that was asked for. Do not explain it."
"""The message that asks for the final answer, after the text of the response that was cut off."""


class AskModel(Protocol):
    """Make one call of the conversation, or return its journalled response.

    ``call`` is its number in the conversation; ``limit`` replaces the limit of tokens.
    """

    async def __call__(self, call: int, messages: Sequence[Message], *, limit: int | None = None) -> Response: ...


@dataclass
class SampleState:
    """The state of one (item, sample) during its conversation, and its result. ``key`` is its cache key.

    Attributes:
        system: the system message of the conversation; empty for none.
        waits: how often its thoughts were continued.
        dropped: the tokens of the answers that were left out for it.
    """

    item: Item
    sample: int
    key: str
    system: str = ""
    usage: Usage = field(default_factory=Usage)
    responses: list[Response] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    state: State = "complete"
    reason: str = ""
    forced: bool = False
    waits: int = 0
    dropped: int = 0

    def take(self, message: str, response: Response) -> None:
        """Add a turn: the user's message and its response."""
        self.responses.append(response)
        self.turns.append(Turn(message, *split(response)))
        self.state, self.reason = classify(response)

    def fail(self, reason: str) -> None:
        """Record an error in o1lab itself."""
        self.state, self.reason = "failed", reason


async def run_sample(
    sample: SampleState,
    ask: AskModel,
    *,
    last_word: int | None = None,
    forcing: Forcing | None = None,
    size: Callable[[str], int] = rough_tokens,
) -> None:
    """Run the conversation of a sample turn by turn.

    The history contains earlier answers without their thoughts, as chat templates do.

    Args:
        sample: the sample; its turns and state are filled in.
        ask: makes the calls.
        last_word: if the last turn is cut off, ask for the final answer in this many tokens; it becomes the answer of
            the sample.
        forcing: makes thoughts longer or shorter.
        size: counts the tokens of a text.

    Raises:
        RunStopped: no more calls may be made.
    """
    history: list[Message] = [{"role": "system", "content": sample.system}] if sample.system else []
    calls = itertools.count()

    async def ask_next(messages: Sequence[Message], limit: int) -> Response:
        return await ask(next(calls), messages, limit=limit)

    for message in sample.item.turns:
        history.append({"role": "user", "content": message})
        if forcing is None:
            response = await ask(next(calls), history)
        else:
            made = await forcing.respond(history, ask_next, size)
            response = made.response
            sample.waits += made.waits
            sample.dropped += made.dropped
            sample.forced = sample.forced or made.closed
        sample.take(message, response)
        if sample.state != "complete":
            break
        history.append({"role": "assistant", "content": sample.turns[-1].answer})
    last = sample.turns[-1]
    written = "\n\n".join(part for part in (last.thought, last.answer) if part)
    is_last = len(sample.turns) == len(sample.item.turns)
    if last_word is None or sample.state != "incomplete" or not is_last or not written:
        return
    # Without thought marks: a chat template would drop the text between them.
    history += [{"role": "assistant", "content": written}, {"role": "user", "content": FORCE}]
    response = await ask(next(calls), history, limit=last_word)
    state, reason = classify(response)
    if state == "failed" and (response.fault is None or not response.fault.retryable):
        sample.responses.append(response)  # the sample stays incomplete
        sample.reason = f"{sample.reason}; the request for a final answer failed: {reason}"
        return
    sample.take(FORCE, response)
    sample.forced = True


def classify(response: Response) -> tuple[State, str]:
    """Return whether a response is complete, cut off or missing, and why."""
    fault = response.fault
    if fault is None:
        return ("complete", "") if response.whole else ("incomplete", response.finish_reason)
    if fault.code == "length":  # all tokens went into a hidden thought
        return "incomplete", "length"
    if fault.code == "refusal" and response.refusal:  # a separate field, but an answer
        return "complete", ""
    if fault.code == "content_filter" and response.answer + response.thought:
        return "incomplete", fault.code
    return "failed", fault.code
