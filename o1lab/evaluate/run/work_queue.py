"""What an evaluation has to do: samples to be asked, to be taken from earlier evaluations, or only to be scored.

Ids and places are held for the whole run; texts are read when they are needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

from o1lab.evaluate.items import Item
from o1lab.evaluate.run.cache import CacheKeys
from o1lab.evaluate.run.directory import EvalFolder, ItemsById
from o1lab.evaluate.run.result_writer import FinishedSample
from o1lab.inference import journal
from o1lab.inference.journal import JournalIndex
from o1lab.jobs.progress import Usage
from store import evaluations, sample_list
from store.connection import Store
from store.evaluations import Tally

_BATCH = 200
"""Items that are read, and looked for among earlier samples, at once."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A sample that has to be asked for. ``key`` is its key in the cache."""

    item: Item
    sample: int
    key: str


@dataclass(frozen=True, slots=True)
class Reuse:
    """A sample that an earlier evaluation asked for in just the same way, as ``seq``."""

    item: Item
    sample: int
    key: str
    seq: int

    def fetch(self, store: Store) -> FinishedSample:
        """That sample as one of this evaluation: it cost nothing."""
        with store.explained():
            evaluation_id, found = evaluations.sample(store.db, self.seq)
        meta = {**found.meta, "reused_from": evaluation_id}
        taken = replace(
            found, item=self.item.id, sample=self.sample, cache_key=self.key, cached=True, cost_usd=0.0, meta=meta
        )
        return FinishedSample(self.item, sample=taken)


@dataclass(frozen=True, slots=True)
class ScoreOnly:
    """A sample of this evaluation that wants nothing but its score."""

    items: ItemsById
    seq: int

    def fetch(self, store: Store) -> FinishedSample:
        with store.explained():
            _, found = evaluations.sample(store.db, self.seq)
        return FinishedSample(self.items[found.item], sample=found, seq=self.seq)


Task = Ask | Reuse | ScoreOnly


@dataclass
class SoFar:
    """How far an evaluation has come: what the lab and the journals know of it."""

    tally: Tally
    failed: set[tuple[str, int]]
    """Samples that failed: they are repeated."""
    ended: set[tuple[str, int]]
    to_score: list[int]
    """The seqs of complete samples that the scorer has not looked at, or is to look at again."""
    index: JournalIndex
    usage: Usage = field(default_factory=Usage)
    """All tokens and money so far, failed attempts included."""


def look(folder: EvalFolder, store: Store, label: str, *, again: bool) -> SoFar:
    """See how far an evaluation has come. Reads its journals once; memory stays flat.

    Args:
        label: the scorer's.
        again: look again at what the scorer could not tell. What a judge answered is in its journal, so that only
            what failed is asked again.
    """
    db = store.db
    with store.explained():
        tally, ended = evaluations.tally(db, folder.id, label), sample_list.ended(db, folder.id)
        failed = {(item, sample) for _, item, sample in sample_list.places(db, folder.id, label, "failed")}
        if again:
            waiting = [seq for seq, _, _ in sample_list.places(db, folder.id, label, "unscored")]
        else:
            waiting = sample_list.to_score(db, folder.id, label)
    found = SoFar(tally, failed, ended, waiting, JournalIndex(folder.journal))
    for offset, response in journal.read(folder.journal):
        found.usage.add(response)
        if (response.key.item, response.key.sample) not in ended:
            found.index.add(offset, response)
    for path in folder.judge_journals:
        for _, response in journal.read(path):
            found.usage.add(response)
    return found


def to_do(
    folder: EvalFolder, store: Store, so_far: SoFar, keys: CacheKeys, samples: int | None
) -> Iterator[list[Task]]:
    """Batches of tasks: first what only has to be scored, then what did not come to an end, in the suite's order.

    Args:
        samples: of each item; None where nothing is asked for.
    """
    if so_far.to_score:
        items = ItemsById(folder)
        for start in range(0, len(so_far.to_score), _BATCH):
            yield [ScoreOnly(items, seq) for seq in so_far.to_score[start : start + _BATCH]]
    if samples is None:
        return
    each = folder.items()
    while batch := list(islice(each, _BATCH)):
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
