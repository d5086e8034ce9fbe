"""Samples that need not be asked again: the key is everything that decides a response."""

from __future__ import annotations

import hashlib
import json

from o1lab.evaluate.items import Item
from o1lab.evaluate.run.identity import Identity
from o1lab.evaluate.run.settings import EvaluationSettings


class CacheKeys:
    """Keys of one evaluation's samples.

    In a key: the model's revision and chat template, the messages of all turns, how it is sampled (maximum tokens and
    the tokens of a forced answer too), the seed and the sample's number. Without a seed only greedy answers are equal.
    """

    def __init__(self, identity: Identity, settings: EvaluationSettings) -> None:
        self.reusable = settings.reuse and (settings.temperature == 0 or settings.seed is not None)
        self._head = [
            identity.revision, identity.template, settings.temperature, settings.top_p, settings.max_tokens,
            settings.reasoning_effort, settings.seed, settings.force_answer,
        ]  # fmt: skip

    def key(self, item: Item, sample: int) -> str:
        """The key of an item's sample."""
        parts = [*self._head, item.system, list(item.turns), sample]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
