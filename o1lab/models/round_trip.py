"""Check that the tokens of a text decode to it: a tokenizer may lower the case or lack characters. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unicodedata import normalize

from o1lab.errors import RefusedError

_SHOWN = 12


def require_round_trip(tokenizer: Any, ids: Sequence[int], text: str) -> None:
    """Check that tokens are those of a text. White space and the composition of characters may differ.

    Args:
        tokenizer: one of transformers.
        ids: the tokens.
        text: what was encoded.

    Raises:
        RefusedError: they are of another text (code ``round_trip``).
    """
    back = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    wanted, got = ("".join(normalize("NFKC", one).split()) for one in (text, back))
    if wanted == got:
        return
    pairs = enumerate(zip(wanted, got, strict=False))
    at = next((place for place, (ours, theirs) in pairs if ours != theirs), min(len(wanted), len(got)))
    ours, theirs = (one[at : at + _SHOWN] for one in (wanted, got))
    raise RefusedError(
        f"The tokenizer of this model changes the text: it reads {ours!r} as {theirs!r}.",
        "Its scores would be of another text. Use a model with another tokenizer.",
        code="round_trip",
    )
