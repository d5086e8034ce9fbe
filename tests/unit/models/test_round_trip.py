"""Tokenizers that change a text are refused where scores of its tokens are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from o1lab.errors import RefusedError
from o1lab.models.prompts import PromptOptions, Written, placed_tokens
from o1lab.models.round_trip import require_round_trip


class Words:
    """Decodes to a fixed text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def decode(self, _ids: Any, **_options: Any) -> str:
        return self.text


@pytest.mark.parametrize(
    ("text", "back"), [("a b\nc", "a b c"), ("caf\u0065\u0301 x", "caf\u00e9 x"), ("", ""), (" lead", "lead")]
)
def test_white_space_and_composed_characters_may_differ(text: str, back: str) -> None:
    require_round_trip(Words(back), [1], text)


@pytest.mark.parametrize(
    ("text", "back", "message"),
    [
        ("So A + B", "so a + b", "it reads 'SoA+B' as 'soa+b'"),
        ("take ∑ of it", "take <unk> of it", "it reads '∑ofit' as '<unk>ofit'"),
        ("and more", "and", "it reads 'more' as ''"),
    ],
)
def test_another_text_is_refused(text: str, back: str, message: str) -> None:
    with pytest.raises(RefusedError, match="changes the text") as error:
        require_round_trip(Words(back), [1], text)
    assert message in error.value.message.replace("\\u2211", "∑") and error.value.code == "round_trip"


def test_a_real_tokenizer_without_a_sign(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="the train extra is not installed")
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz<>/?:. \n"
    words = Tokenizer(
        models.WordLevel({"[UNK]": 0} | {one: at for at, one in enumerate(letters, 1)}, unk_token="[UNK]")
    )
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer, words.decoder = pre_tokenizers.Split("", "isolated"), decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]")
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    asked = [{"role": "user", "content": "why?"}]
    tokens, places = placed_tokens(tokenizer, asked, PromptOptions(), Written("so it is.", "yes."))
    assert len(places) == len(tokens.completion)
    with pytest.raises(RefusedError, match="changes the text"):
        placed_tokens(tokenizer, asked, PromptOptions(), Written("So it is.", "yes."))
