"""What of the beginning of a response follows a prompt."""

from __future__ import annotations

import pytest

from o1lab.models.prefixes import after_prompt


@pytest.mark.parametrize(
    ("prompt", "prefix", "rest"),
    [
        ("User: Hi\nAssistant: ", "<think>\nAdd", "<think>\nAdd"),
        ("<|assistant|>\n<think>\n", "<think>\nAdd ", "Add "),
        ("<|assistant|>\n<think>", "<think>\nAdd", "\nAdd"),
        ("<|assistant|>\n<think>\n", "\n<THINK>Add", "Add"),
        ("<|assistant|>\n<think>\n", "Add", "Add"),
        ("<|assistant|>\n<think>\n", "<think>\nAdd\n</think>\n\nAnswer", "Add\n</think>\n\nAnswer"),
    ],
)
def test_the_mark_that_a_prompt_ends_with_is_not_repeated(prompt: str, prefix: str, rest: str) -> None:
    assert after_prompt(prompt, prefix) == rest
