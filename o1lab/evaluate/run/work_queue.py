"""The tasks of an evaluation: samples to ask, to reuse from earlier evaluations, or only to score.

Ids and offsets stay in memory for the whole run; texts are read when needed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from o1lab.evaluate.items import Item
from o1lab.evaluate.run.directory import EvalFolder, ItemsById
from o1lab.evaluate.run.result_writer import FinishedSample
from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.inference import journal
from o1lab.inference.journal import JournalIndex
from o1lab.jobs.progress import Usage
from o1lab.serve.identity import Identity
from store import evaluations, sample_list
from store.batches import batched
from store.connection import Store
from store.evaluations import Tally

_BATCH = 200
"""The number of items that are read, and looked up among earlier samples, at once."""


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


@dataclass(frozen=True, slots=True)
class Ask:
    """A sample to ask the model for. ``key`` is its cache key."""

    item: Item
    sample: int
    key: str


@dataclass(frozen=True, slots=True)
class Reuse:
    """A sample that an earlier evaluation has with the same key, in row ``seq``."""

    item: Item
    sample: int
    key: str
    seq: int

    def fetch(self, store: Store) -> FinishedSample:
        """Read the earlier sample as one of this evaluation, without cost."""
        with store.explained():
            evaluation_id, found = evaluations.sample(store.db, self.seq)
        meta = {**found.meta, "reused_from": evaluation_id}
        taken = replace(
            found, item=self.item.id, sample=self.sample, cache_key=self.key, cached=True, cost_usd=0.0, meta=meta
        )
        return FinishedSample(self.item, sample=taken)


@dataclass(frozen=True, slots=True)
class ScoreOnly:
    """A sample of this evaluation that only needs its score."""

    items: ItemsById
    seq: int

    def fetch(self, store: Store) -> FinishedSample:
        with store.explained():
            _, found = evaluations.sample(store.db, self.seq)
        return FinishedSample(self.items[found.item], sample=found, seq=self.seq)


Task = Ask | Reuse | ScoreOnly


@dataclass
class Progress:
    """The progress of an evaluation, from the database and the journals."""

    tally: Tally
    failed: set[tuple[str, int]]
    """Samples that failed and are repeated."""
    ended: set[tuple[str, int]]
    to_score: list[int]
    """The rows of complete samples that the scorer has not scored, or is to score again."""
    index: JournalIndex
    usage: Usage = field(default_factory=Usage)
    """All tokens and costs so far, failed attempts included."""


def read_progress(folder: EvalFolder, store: Store, label: str, *, retry_unscored: bool) -> Progress:
    """Read the progress of an evaluation. Reads its journals once, in constant memory.

    Args:
        folder: the directory of the evaluation.
        store: the database.
        label: the label of the scorer.
        retry_unscored: score samples again that the scorer left unscored. The answers of a judge are in its journal,
            so only failed calls are repeated.
    """
    db = store.db
    with store.explained():
        tally, ended = evaluations.tally(db, folder.id, label), sample_list.ended(db, folder.id)
        failed = {(item, sample) for _, item, sample in sample_list.places(db, folder.id, label, "failed")}
        if retry_unscored:
            waiting = [seq for seq, _, _ in sample_list.places(db, folder.id, label, "unscored")]
        else:
            waiting = sample_list.to_score(db, folder.id, label)
    found = Progress(tally, failed, ended, waiting, JournalIndex(folder.journal))
    for offset, response in journal.read(folder.journal):
        found.usage.add(response)
        if (response.key.item, response.key.sample) not in ended:
            found.index.add(offset, response)
    for path in folder.judge_journals:
        for _, response in journal.read(path):
            found.usage.add(response)
    return found


def to_do(
    folder: EvalFolder, store: Store, so_far: Progress, keys: CacheKeys, samples: int | None
) -> Iterator[list[Task]]:
    """Yield batches of tasks: first samples that only need a score, then unfinished ones in the suite's order.

    Args:
        folder: the directory of the evaluation.
        store: the database.
        so_far: the progress of the evaluation.
        keys: the cache keys of its samples.
        samples: the number of samples per item; None if the model is not asked.
    """
    if so_far.to_score:
        items = ItemsById(folder)
        for seqs in batched(so_far.to_score, _BATCH):
            yield [ScoreOnly(items, seq) for seq in seqs]
    if samples is None:
        return
    for batch in batched(folder.items(), _BATCH):
        pairs = [
            (item, sample, keys.key(item, sample))
            for item in batch
            for sample in range(samples)
            if (item.id, sample) not in so_far.ended
        ]
        known: dict[str, int] = {}
        if keys.reusable and pairs:
            with store.explained():
                known = sample_list.cached(store.db, [key for _, _, key in pairs])
        yield [
            Reuse(item, sample, key, known[key]) if key in known else Ask(item, sample, key)
            for item, sample, key in pairs
        ]
