"""Cache keys of the samples of one evaluation."""

from __future__ import annotations

import hashlib
import json

from o1lab.evaluate.items import Item
from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.serve.identity import Identity


class CacheKeys:
    """Cache keys of the samples of one evaluation. Samples with the same key are interchangeable.

    A key covers everything that affects a response: the model's revision and chat template, the messages of all turns,
    the sampling settings (with budget forcing, and the token limits of responses and of forced answers), the seed and
    the sample's number.
    Without a seed only greedy responses are reusable.
    """

    def __init__(self, identity: Identity, settings: EvaluationSettings) -> None:
        self._identity, self._settings = identity, settings
        self.reusable = settings.reuse and (settings.temperature == 0 or settings.seed is not None)
        self._head = [
            identity.revision, identity.template, settings.temperature, settings.top_p, settings.max_tokens,
            settings.reasoning_effort, settings.seed, settings.force_answer,
        ]  # fmt: skip
        if settings.forcing is not None:  # others keep the keys of earlier versions
            self._head += [settings.budget_forcing, settings.wait, settings.max_thought_tokens]

    def system(self, item: Item) -> str:
        """Return the system message of an item: that of the settings, else its own, else that of the student's run."""
        given = self._settings.system
        return (item.system or self._identity.system_prompt) if given is None else given

    def key(self, item: Item, sample: int) -> str:
        """Return the key of a sample, 32 hexadecimal digits."""
        parts = [*self._head, self.system(item), list(item.turns), sample]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
