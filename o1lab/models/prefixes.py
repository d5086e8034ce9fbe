"""The beginning of a response that a model continues, as tokens after its prompt."""

from __future__ import annotations

from typing import Any

from o1lab.chains.marks import folded, table
from o1lab.models.prompts import encode_after, open_thought
from store.records import scrubbed


def after_prompt(prompt: str, prefix: str) -> str:
    """Return the part of the beginning of a response that follows a prompt.

    Some templates put the mark that opens a thought into the prompt. There, the response begins inside the thought, so
    its own opening mark is left out, and so is white space that the prompt ends with already.

    Args:
        prompt: the rendered prompt, the beginning of the assistant's turn included.
        prefix: the beginning of the response with its think marks, as a model wrote it or a person changed it.
    """
    if open_thought(prompt) is None:
        return prefix
    begun = prefix.lstrip()
    opening = max(
        (mark for one in table() for mark in one.opens if folded(begun).startswith(mark)), key=len, default=""
    )
    if not opening:
        return prefix
    rest = begun[len(opening) :]
    return rest.lstrip() if prompt[-1:].isspace() else rest


def prefix_ids(tokenizer: Any, prompt: str, prefix: str) -> list[int]:
    """Return the tokens of the beginning of a response, the same as training has: see
    :func:`o1lab.models.prompts.encode_after`.

    A model writes its tokens after those of the prompt, so none of them spans both.

    Args:
        tokenizer: the tokenizer of the model.
        prompt: the rendered prompt.
        prefix: the beginning of the response; see :func:`after_prompt`. Lone surrogates are replaced, as in training.
    """
    return encode_after(tokenizer, prompt, scrubbed(after_prompt(prompt, prefix)))[1]
