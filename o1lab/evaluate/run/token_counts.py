"""How many of a response's tokens were thought and how many answer, where the server does not say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from o1lab.errors import O1LabError
from o1lab.inference.calls import Response
from o1lab.inference.usage import rough_tokens
from store.evaluations import Turn

Count = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Sizes:
    """A sample's tokens; ``thought`` is None where it cannot be known, ``estimated`` where a count is a guess."""

    input: int
    output: int
    thought: int | None
    estimated: bool


def tokenizer_count(folder: str | None) -> Count | None:
    """How the model whose base lies in ``folder`` counts; None where it is not on this machine."""
    from o1lab.models.base import tokenizer_file

    if folder is None:
        return None
    try:
        path = tokenizer_file(Path(folder))
    except O1LabError:
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def sizes(responses: Sequence[Response], turns: Sequence[Turn], count: Count | None, *, hidden: bool) -> Sizes:
    """A sample's tokens.

    The server's counts go first. Where it does not tell the thought's, its total is divided as ``count`` (the model's
    own tokenizer) divides the text; without one as characters do, and that is an estimate.

    Args:
        hidden: whether the model is known to hide its thoughts; their tokens are unknown unless the server counts them.
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
            guessed = guessed or part < response.thought_tokens  # a server that leaves the thought out of its total
        elif turn is not None and turn.thought:
            each = count or rough_tokens
            inside, outside = each(turn.thought), each(turn.answer)
            part = round(written * inside / max(1, inside + outside))
            guessed = guessed or count is None
        elif hidden and response.thought_tokens is None:
            part = None
        thought = None if thought is None or part is None else thought + part
    return Sizes(sum(response.input_tokens for response in responses), output, thought, guessed)
