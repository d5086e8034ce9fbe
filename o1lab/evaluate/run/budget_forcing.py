"""Budget forcing: lengthens thoughts by appending a word to them, and shortens them by closing them.

Muennighoff et al. (2025), "s1: Simple test-time scaling" (arXiv:2501.19393), section 3.1. When a thought ends, its
closing mark is left out and a word such as "Wait" is appended, so that the model continues to think; a thought that
reaches a limit is closed, and the model has to answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from o1lab.chains.parse import join
from o1lab.inference.calls import LIMITS, Message, Response
from o1lab.inference.limits import rough_tokens
from o1lab.inference.thoughts import split


class AskNext(Protocol):
    """Make the next call of a conversation, with at most ``limit`` tokens."""

    async def __call__(self, messages: Sequence[Message], limit: int) -> Response: ...


@dataclass(frozen=True, slots=True)
class ForcedResponse:
    """A response with a thought that was made longer or shorter.

    Attributes:
        response: the response.
        waits: how often its thought was continued.
        dropped: the tokens of the answers that were left out for it.
        closed: whether its thought was closed.
    """

    response: Response
    waits: int = 0
    dropped: int = 0
    closed: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Forcing:
    """How thoughts are made longer or shorter.

    Attributes:
        waits: how often a thought that ends is continued.
        wait: the word that is appended to it.
        most: the tokens after which a thought is closed; None for no limit.
        max_tokens: the limit of the whole response.
    """

    waits: int
    wait: str
    most: int | None
    max_tokens: int

    async def respond(
        self, history: Sequence[Message], ask: AskNext, size: Callable[[str], int] = rough_tokens
    ) -> ForcedResponse:
        """Return the response to a conversation.

        A response without a thought is returned as it is. If the limit of the thought has cut it off, it is first
        continued up to the limit of the response. The same happens to a thought without marks: a chat template may have
        opened it in the prompt, which a server without a thought parser does not report. Such a thought is not closed
        at its limit. After an error, the text before it is lost, and the sample is asked again.

        Args:
            history: the conversation, which ends with the user's message.
            ask: makes the calls.
            size: counts the tokens of a text.

        Raises:
            RunStopped: no more calls may be made.
        """
        is_rough = size is rough_tokens
        calls = [await ask(history, self.most or self.max_tokens)]
        thought, answer = split(calls[0])
        if calls[0].fault is not None:
            return ForcedResponse(calls[0])

        async def go_on(prefix: str, limit: int) -> tuple[str, str]:
            calls.append(await ask([*history, {"role": "assistant", "content": prefix}], limit))
            return split(replace(calls[-1], thought="", answer=prefix + calls[-1].answer))

        def is_cut() -> bool:
            return self.most is not None and calls[-1].finish_reason.lower() in LIMITS

        if not thought:
            room = self.max_tokens - size(calls[0].answer)
            if not (is_cut() and calls[0].answer and room > 0):
                return ForcedResponse(calls[0])
            thought, answer = await go_on(calls[0].answer, room)
            return ForcedResponse(joined(calls, thought, answer, dropped=0, is_rough=is_rough))
        waited, closed, dropped, begun = 0, False, 0, ""
        while waited < self.waits and calls[-1].whole:
            room = (self.most or self.max_tokens) - size(thought)
            if room <= 0:
                break
            dropped += tokens_of_answer(calls[-1], thought.removeprefix(begun), answer, size)
            begun = f"{thought.rstrip()}\n{self.wait}"
            thought, answer = await go_on(f"<think>\n{begun}", room)
            waited += 1
        room = self.max_tokens - size(thought) - size(answer)
        if is_cut() and room > 0:
            closed = not answer
            thought, answer = await go_on(join(thought, answer, closed=True), room)
        if len(calls) == 1:
            return ForcedResponse(calls[0])
        response = joined(calls, thought, answer, dropped=dropped, is_rough=is_rough)
        return ForcedResponse(response, waited, dropped, closed=closed)


def joined(calls: Sequence[Response], thought: str, answer: str, *, dropped: int, is_rough: bool) -> Response:
    """Return all calls as one response.

    Its tokens are all that the calls wrote, without those of dropped answers. If a server did not count them, they are
    estimated from the text.

    Args:
        calls: the calls.
        thought: the whole thought.
        answer: the answer.
        dropped: the tokens of dropped answers.
        is_rough: whether no tokenizer says how many these are.
    """
    counted = all(one.output_tokens and not one.estimated for one in calls)
    in_text = rough_tokens(thought) + rough_tokens(answer)
    return replace(
        calls[-1],
        key=calls[0].key,
        thought="",
        answer=join(thought, answer),
        input_tokens=calls[0].input_tokens,
        output_tokens=sum(one.output_tokens for one in calls) - dropped if counted else in_text,
        thought_tokens=None,
        estimated=not counted or (dropped > 0 and is_rough),
        cost_usd=sum(one.cost_usd for one in calls),
        seconds=sum(one.seconds for one in calls),
        asked_at=calls[0].asked_at,
    )


def tokens_of_answer(call: Response, thought: str, answer: str, size: Callable[[str], int]) -> int:
    """Return the tokens of the answer of a call: its share of the total that the server counted, if it did.

    Args:
        call: the call.
        thought: the part of the thought that the call wrote.
        answer: its answer.
        size: counts the tokens of a text.
    """
    inside, outside = size(thought), size(answer)
    if not call.output_tokens or call.estimated:
        return outside
    return round(call.output_tokens * outside / max(1, inside + outside))
