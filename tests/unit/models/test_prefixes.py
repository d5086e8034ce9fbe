"""What of the beginning of a response follows a prompt."""

from __future__ import annotations

from typing import Any

import pytest

from o1lab.models.prefixes import after_prompt, prefix_ids
from o1lab.models.prompts import PromptOptions, Written, render, training_tokens


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


def sentencepiece() -> Any:
    """A tokenizer in the manner of Llama 2: every text begins with a space, and each character is a token."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = ["<unk>", "\u2581", "\n", *map(chr, range(33, 127))]
    made = Tokenizer(models.BPE({letter: at for at, letter in enumerate(letters)}, [], unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    made.decoder = decoders.Metaspace(prepend_scheme="first")
    template = "{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }}\n{% endfor %}"
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        unk_token="<unk>",
        chat_template=template + "{% if add_generation_prompt %}>{% endif %}",
    )


def test_the_tokens_of_a_prefix_are_those_of_training() -> None:
    tokenizer, messages, options = sentencepiece(), [{"role": "user", "content": "Hi"}], PromptOptions()
    prefix = "<think>\nAdd the ones"
    found = prefix_ids(tokenizer, render(tokenizer, messages, options), prefix)
    learned = training_tokens(tokenizer, messages, options, Written("Add the ones", "", "thought")).completion
    assert found == learned
    assert len(found) == len(prefix) < len(tokenizer(prefix, add_special_tokens=False)["input_ids"])
