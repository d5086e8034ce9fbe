"""Tags of prompts as persons write them."""

from __future__ import annotations

from collections.abc import Sequence

from o1lab.errors import UsageError
from store.records import LONGEST_NAME, is_name


def valid(words: Sequence[str]) -> list[str]:
    """Return tags in lower case, each once.

    Raises:
        UsageError: one has a space, a comma, a colon, a quote or a slash, or is too long.
    """
    wanted = list(dict.fromkeys(word.strip().lower() for word in words if word.strip()))
    for word in wanted:
        if not is_name(word) or any(char in word for char in ' ,:"'):
            raise UsageError(
                f"'{word[:LONGEST_NAME]}' is not a valid tag.",
                f'A tag is a word of up to {LONGEST_NAME} characters, without spaces and any of , : " and slashes.',
            )
    return wanted
