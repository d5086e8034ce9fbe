"""What a teacher run works with while it is running; engines get it when they are opened."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from o1lab.distill import work_queue
from o1lab.distill.methods.base import Method, SourceItem, single
from o1lab.distill.run_directory import RunFolder
from o1lab.distill.settings import TeacherRunSettings
from o1lab.inference.backend import CallContext
from o1lab.inference.calls import CallKey, Message, Role
from o1lab.inference.engines.offline import OfflineWork
from o1lab.inference.journal import JournalIndex, index_journal
from o1lab.inference.models import ModelClient
from o1lab.inference.prompts import Prompt
from o1lab.jobs.pipeline import Feed, Reader
from o1lab.paths import Lab
from store import teacher_runs
from store.connection import Store


@dataclass
class Job:
    """All that a run works with while it is running."""

    lab: Lab
    folder: RunFolder
    settings: TeacherRunSettings
    store: Store
    prompts: Mapping[str, Prompt]
    method: Method
    models: Mapping[Role, ModelClient]
    context: CallContext
    index: JournalIndex
    read: Reader

    def to_do(self) -> Feed[tuple[SourceItem, int]]:
        """(item, sample) pairs that have not come to an end, in the run's order."""
        return Feed(work_queue.pending(self.folder, self.store, self.settings), self.read)

    async def reindex(self) -> JournalIndex:
        """Read the journal again, after an engine wrote responses into it by another way than ``call``."""
        self.index = await self.read(read_index, self.folder, self.store)
        return self.index

    def offline(self) -> OfflineWork:
        """What an engine needs that sends everything first.

        Raises:
            UsageError: the method needs several calls a conversation.
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
    """What the journal of a run holds of samples that have not come to an end."""
    return index_journal(folder.journal, lambda items: teacher_runs.ended(store.db, folder.id, items))
