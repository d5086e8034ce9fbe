"""The open parts of a running teacher run, which engines receive, and the queue of its samples.

Only ids and journal offsets stay in memory for the whole run; texts are read one batch at a time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

from o1lab.distill.items import items, items_by_id
from o1lab.distill.method import Method, SourceItem, single
from o1lab.distill.run_directory import RunFolder
from o1lab.distill.settings import TeacherRunSettings
from o1lab.files import atomic_write
from o1lab.inference.backend import CallContext
from o1lab.inference.calls import CallKey, Message, Role
from o1lab.inference.engines.offline import OfflineWork
from o1lab.inference.journal import JournalIndex, index_journal
from o1lab.inference.models import ModelClient
from o1lab.inference.prompts import Prompt
from o1lab.jobs.pipeline import Feed, StoreThread
from o1lab.paths import Lab
from store import teacher_runs
from store.batches import batched
from store.connection import Store

_BATCH = 200


@dataclass
class Job:
    """Everything a run needs while it is running."""

    lab: Lab
    folder: RunFolder
    settings: TeacherRunSettings
    store: Store
    prompts: Mapping[str, Prompt]
    method: Method
    models: Mapping[Role, ModelClient]
    context: CallContext
    index: JournalIndex
    read: StoreThread

    def to_do(self) -> Feed[tuple[SourceItem, int]]:
        """The (item, sample) pairs that have no result yet, in the run's order."""
        return Feed(pending(self.folder, self.store, self.settings), self.read)

    async def reindex(self) -> JournalIndex:
        """Read the journal again after an engine wrote responses to it without ``call``."""
        self.index = await self.read(read_index, self.folder, self.store)
        return self.index

    def offline(self) -> OfflineWork:
        """Return what an engine needs that sends all requests before any conversation begins.

        Raises:
            UsageError: the method needs several calls per conversation.
        """
        method = single(self.settings.engine, self.method)

        async def requests() -> AsyncIterator[tuple[CallKey, list[Message]]]:
            async for item, sample in self.to_do():
                yield CallKey(item.id, sample), method.messages(item)

        return OfflineWork(
            self.lab, self.folder.id, self.folder.path, self.folder.prompts.stat().st_mtime,
            f"{self.folder.verb} resume {self.folder.id}", self.settings, self.settings.stream,
            self.models["teacher"], self.context, self.index, requests, self.reindex,
        )  # fmt: skip


def read_index(folder: RunFolder, store: Store) -> JournalIndex:
    """Index the responses in a run's journal whose samples have no result yet."""
    return index_journal(folder.journal, lambda items: teacher_runs.ended(store.db, folder.id, items))


def freeze_items(folder: RunFolder, store: Store, settings: TeacherRunSettings) -> int:
    """Write the ids of the run's items to its directory, unless they are there already.

    Returns:
        The number of items.

    Raises:
        QueryError: a filter cannot be read.
    """
    if not folder.items_file.exists():
        with atomic_write(folder.items_file) as file:
            file.writelines(f"{item.id}\n" for item in items(store, settings))
    with folder.items_file.open("rb") as file:
        return sum(1 for _ in file)


def pending(folder: RunFolder, store: Store, settings: TeacherRunSettings) -> Iterator[list[tuple[SourceItem, int]]]:
    """Yield batches of the (item, sample) pairs that have no result yet, in the run's order."""
    with folder.items_file.open(encoding="ascii") as lines:
        for ids in batched(map(str.strip, lines), _BATCH):
            ended = teacher_runs.ended(store.db, folder.id, ids)
            open_ids = [id for id in ids if any((id, sample) not in ended for sample in range(settings.n))]
            yield [
                (item, sample)
                for item in items_by_id(store, settings, open_ids)
                for sample in range(settings.n)
                if (item.id, sample) not in ended
            ]
