"""Counts the thought and answer tokens of responses whose server does not report them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from o1lab.errors import O1LabError
from o1lab.inference.calls import Response
from o1lab.inference.limits import rough_tokens
from store.evaluations import Turn

Count = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Sizes:
    """The tokens of a sample; ``thought`` is None if it is unknown, ``estimated`` is whether a count is estimated."""

    input: int
    output: int
    thought: int | None
    estimated: bool


def tokenizer_count(folder: str | None) -> Count | None:
    """Return a function that counts tokens with the tokenizer of a base; None if the base is not on this machine."""
    from o1lab.models.base import token_counter

    if folder is None:
        return None
    try:
        return token_counter(Path(folder))
    except O1LabError:
        return None


def sizes(responses: Sequence[Response], turns: Sequence[Turn], count: Count | None, *, hidden: bool) -> Sizes:
    """Count the tokens of a sample.

    The counts of the server have priority. If it does not report the thought, its total is divided in the proportion
    that ``count`` finds in the text, or, without ``count``, in a rough proportion that is marked as an estimate.

    Args:
        responses: the responses of the sample, one per call.
        turns: the turns of the sample.
        count: counts tokens with the model's own tokenizer; None if there is none.
        hidden: whether the model hides its thoughts; their tokens are unknown unless the server counts them.
    """
    thought: int | None = 0
    output, guessed = 0, any(response.estimated for response in responses)
    for number, response in enumerate(responses):
        turn = turns[number] if number < len(turns) else None
        written, exact = response.output_tokens, not response.estimated
        if not exact and count is not None:
            written = count(response.thought) + count(response.answer)
        output += written
        part: int | None = 0
        if response.thought_tokens:
            part = min(response.thought_tokens, written)
            guessed = guessed or part < response.thought_tokens  # the server leaves the thought out of its total
        elif turn is not None and turn.thought:
            each = count or rough_tokens
            inside, outside = each(turn.thought), each(turn.answer)
            part = round(written * inside / max(1, inside + outside))
            guessed = guessed or count is None
        elif hidden and response.thought_tokens is None:
            part = None
        thought = None if thought is None or part is None else thought + part
    return Sizes(sum(response.input_tokens for response in responses), output, thought, guessed)
