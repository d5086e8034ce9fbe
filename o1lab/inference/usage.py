"""Tokens and money that calls took, and estimates of tokens where no server counted them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from o1lab.inference.calls import Response
from o1lab.text import CJK

RULE = "4 characters a token, 1 where they are Chinese, Japanese or Korean"
_TEMPLATE = 32
_WIDE = re.compile(f"[\u2e80-\u33ff{CJK}\uff00-\uffef]")  # with radicals, punctuation and full-width forms


def rough_tokens(text: str) -> int:
    """Tokens of ``text`` by ``RULE``."""
    wide = 0 if text.isascii() else len(_WIDE.findall(text))
    return wide + (len(text) - wide + 3) // 4


def most_tokens(messages: Iterable[Mapping[str, str]]) -> int:
    """A number of tokens these messages cannot exceed: no tokenizer makes more than one of a byte, and a template adds
    a few a message."""
    return sum(len(message["content"].encode("utf-8", "replace")) + _TEMPLATE for message in messages)


@dataclass
class Usage:
    """Tokens and US dollars of some journalled attempts."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0

    def add(self, response: Response) -> None:
        self.input_tokens += response.input_tokens
        self.output_tokens += response.output_tokens
        self.cost_usd += response.cost_usd
