"""Estimates of token counts, for servers that do not report them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from o1lab.text import CJK

RULE = "4 characters a token, 1 where they are Chinese, Japanese or Korean"
_TEMPLATE = 32
_WIDE = re.compile(f"[\u2e80-\u33ff{CJK}\uff00-\uffef]")  # with radicals, punctuation and full-width forms


def rough_tokens(text: str) -> int:
    """Estimate the tokens of ``text`` by ``RULE``."""
    wide = 0 if text.isascii() else len(_WIDE.findall(text))
    return wide + (len(text) - wide + 3) // 4


def most_tokens(messages: Iterable[Mapping[str, str]]) -> int:
    """Return an upper bound of the tokens of these messages.

    No tokenizer makes more than one token of a byte; a chat template adds a few per message.
    """
    return sum(len(message["content"].encode("utf-8", "replace")) + _TEMPLATE for message in messages)
