"""The conversation about one item: turn by turn, and a request for the final answer where a response was cut off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from o1lab.chains import parse
from o1lab.evaluate.items import Item
from o1lab.inference.calls import Message, Response
from o1lab.jobs.progress import Usage
from store.evaluations import State, Turn

FORCE = "Stop here and give your final answer now, in the form that was asked for. Do not explain it."
"""The message that follows a response that was cut off, after its own text as the assistant's."""
_CUT = frozenset({"length", "max_tokens", "model_length", "abort"})
"""What servers call the end of a response that did not end by itself."""


class Ask(Protocol):
    """Make one call of the conversation, or give its journalled response; ``forced`` asks for the last word."""

    async def __call__(self, turn: int, messages: Sequence[Message], *, forced: bool = False) -> Response: ...


@dataclass
class SampleState:
    """One (item, sample) while it is asked, and its result. ``key`` is its key in the cache."""

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
        self.state, self.reason = judged(response)

    def fail(self, reason: str) -> None:
        """Something went wrong in o1lab itself."""
        self.state, self.reason = "failed", reason


async def run_sample(sample: SampleState, ask: Ask, *, force: bool) -> None:
    """Hold the conversation turn by turn; the history holds earlier answers without their thoughts, as templates do it.

    Args:
        force: where the last turn is cut off, ask once more for the final answer, which is then the sample's answer.

    Raises:
        RunStopped: nothing more may be asked.
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
    # Without the marks of a thought: a template would drop what stands between them.
    history += [{"role": "assistant", "content": written}, {"role": "user", "content": FORCE}]
    response = await ask(len(sample.item.turns), history, forced=True)
    state, reason = judged(response)
    if state == "failed" and (response.fault is None or not response.fault.retryable):
        sample.responses.append(response)  # it is as cut off as it was
        sample.reason = f"{sample.reason}; its last word failed: {reason}"
        return
    sample.take(FORCE, response)
    sample.forced = True


def judged(response: Response) -> tuple[State, str]:
    """Whether a response is whole, was cut off, or is none; and why."""
    fault = response.fault
    if fault is None:
        cut = response.finish_reason in _CUT
        return ("incomplete", response.finish_reason) if cut else ("complete", "")
    if fault.code == "length":  # all of it went into a thought that is not shown
        return "incomplete", "length"
    if fault.code == "refusal" and response.refusal:  # a field of its own, but an answer
        return "complete", ""
    if fault.code == "content_filter" and response.answer + response.thought:
        return "incomplete", fault.code
    return "failed", fault.code


def split(response: Response) -> tuple[str, str]:
    """(thought, answer) of a response, whichever way the server tells them apart."""
    answer = response.answer or response.refusal
    if response.thought:
        return response.thought, answer
    parsed = parse.parse(answer)
    if parsed.thought is None and parsed.format is parse.ThinkFormat.PLAIN:
        return "", answer
    return parsed.thought_of(answer), parsed.solution_of(answer)
