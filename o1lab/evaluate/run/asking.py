"""Runs the conversation about one item turn by turn; asks for the final answer if a response was cut off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from o1lab.evaluate.items import Item
from o1lab.inference.calls import Message, Response
from o1lab.inference.thoughts import split
from o1lab.jobs.progress import Usage
from store.evaluations import State, Turn

FORCE = "Stop here and give your final answer now, in the form that was asked for. Do not explain it."
"""The message that asks for the final answer, after the text of the response that was cut off."""


class Ask(Protocol):
    """Make one call of the conversation, or return its journalled response; ``forced`` asks for the final answer."""

    async def __call__(self, turn: int, messages: Sequence[Message], *, forced: bool = False) -> Response: ...


@dataclass
class SampleState:
    """The state of one (item, sample) during its conversation, and its result. ``key`` is its cache key."""

    item: Item
    sample: int
    key: str
    usage: Usage = field(default_factory=Usage)
    responses: list[Response] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    state: State = "complete"
    reason: str = ""
    forced: bool = False

    def take(self, message: str, response: Response) -> None:
        """Add a turn: the user's message and its response."""
        self.responses.append(response)
        self.turns.append(Turn(message, *split(response)))
        self.state, self.reason = classify(response)

    def fail(self, reason: str) -> None:
        """Record an error in o1lab itself."""
        self.state, self.reason = "failed", reason


async def run_sample(sample: SampleState, ask: Ask, *, force: bool) -> None:
    """Run the conversation of a sample turn by turn.

    The history contains earlier answers without their thoughts, as chat templates do.

    Args:
        sample: the sample; its turns and state are filled in.
        ask: makes the calls.
        force: if the last turn is cut off, ask for the final answer, which becomes the answer of the sample.

    Raises:
        RunStopped: no more calls may be made.
    """
    history: list[Message] = [{"role": "system", "content": sample.item.system}] if sample.item.system else []
    for turn, message in enumerate(sample.item.turns):
        history.append({"role": "user", "content": message})
        sample.take(message, await ask(turn, history))
        if sample.state != "complete":
            break
        history.append({"role": "assistant", "content": sample.turns[-1].answer})
    last = sample.turns[-1]
    written = "\n\n".join(part for part in (last.thought, last.answer) if part)
    if not (force and sample.state == "incomplete" and len(sample.turns) == len(sample.item.turns) and written):
        return
    # Without thought marks: a chat template would drop the text between them.
    history += [{"role": "assistant", "content": written}, {"role": "user", "content": FORCE}]
    response = await ask(len(sample.item.turns), history, forced=True)
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
