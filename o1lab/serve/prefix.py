"""Prompts that begin alike: the keys and values of the last long prompt are kept, and requests that share its
beginning start from a copy of them.

So a chain that is cut at many places, or a prompt that is sampled many times, is read once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from o1lab.serve.kv import fork_rows, take_rows

LEAST = 64
"""Tokens from which a common beginning is worth a copy."""


@dataclass(frozen=True, slots=True)
class KeptPrefix:
    """A prompt that a model has read, and its keys and values, a cache of one row without padding."""

    ids: list[int]
    adapter: str
    cache: Any

    @classmethod
    def of(cls, cache: Any, row: int, ids: list[int], adapter: str) -> KeptPrefix:
        """Keep a copy of a row of ``cache``, which ends with the keys and values of ``ids``."""
        return cls(ids, adapter, take_rows(cache, [row], cache.get_seq_length() - len(ids)))

    def shared(self, ids: Sequence[int], adapter: str) -> int:
        """Return how many tokens at the beginning of a prompt are known; 0 if they are not worth a copy.

        The last token of a prompt is never among them: the model predicts the first token of the answer from it.
        """
        if adapter != self.adapter:
            return 0
        found = min(common(self.ids, ids), len(ids) - 1)
        return found if worthwhile(found, ids) else 0

    def fork(self, lengths: Sequence[int]) -> Any:
        """Return a cache whose rows are the first tokens of the prompt, as many as ``lengths`` says, padded on the
        left."""
        return fork_rows(self.cache, lengths)


def common(first: Sequence[int], second: Sequence[int]) -> int:
    """Return how many tokens two prompts have in common at their beginning."""
    size = min(len(first), len(second))
    if first[:size] == second[:size]:
        return size
    return next(at for at in range(size) if first[at] != second[at])


def worthwhile(shared: int, ids: Sequence[int]) -> bool:
    return shared >= LEAST and 2 * shared >= len(ids)
