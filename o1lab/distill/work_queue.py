"""What a run has to do: its items, settled when it starts, and which of their samples are still to come.

Only ids and places in the journal are held for the whole run; texts are read a batch at a time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from o1lab.distill.items import items, items_by_id
from o1lab.distill.methods.base import SourceItem
from o1lab.distill.settings import TeacherRunSettings
from o1lab.inference import journal
from o1lab.inference.calls import CallKey, Response
from o1lab.jobs.directory import RunFolder, replacing
from store import teacher_runs
from store.connection import Store

_BATCH = 200


def freeze_items(folder: RunFolder, store: Store, settings: TeacherRunSettings) -> int:
    """Write down the run's items if that was not done yet; how many there are.

    Raises:
        QueryError: a filter cannot be read.
    """
    if not folder.agenda.exists():
        with replacing(folder.agenda) as file:
            file.writelines(f"{item.id}\n" for item in items(store, settings))
    with folder.agenda.open("rb") as file:
        return sum(1 for _ in file)


def pending(folder: RunFolder, store: Store, settings: TeacherRunSettings) -> Iterator[list[tuple[SourceItem, int]]]:
    """Batches of (item, sample) that did not come to an end yet, in the run's order."""
    with folder.agenda.open(encoding="ascii") as lines:
        while ids := [line.strip() for line in islice(lines, _BATCH)]:
            ended = teacher_runs.ended(store.db, folder.id, ids)
            open_ids = [id for id in ids if any((id, sample) not in ended for sample in range(settings.n))]
            yield [
                (item, sample)
                for item in items_by_id(store, settings, open_ids)
                for sample in range(settings.n)
                if (item.id, sample) not in ended
            ]


@dataclass
class Usage:
    """What the journalled tries of one sample took."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0

    def add(self, response: Response) -> None:
        self.input_tokens += response.input_tokens
        self.output_tokens += response.output_tokens
        self.cost_usd += response.cost_usd


@dataclass
class JournalIndex:
    """Where the journal holds what samples that have not ended need: offsets of final responses, and what was spent."""

    path: Path
    _offsets: dict[CallKey, int] = field(default_factory=dict)
    _spent: dict[tuple[str, int], Usage] = field(default_factory=dict)

    def add(self, offset: int, response: Response) -> None:
        key = response.key
        if response.final:
            self._offsets[key] = offset
        self._spent.setdefault((key.item, key.sample), Usage()).add(response)

    def find(self, key: CallKey) -> Response | None:
        """The final response of a call; None when it is still to be asked."""
        offset = self._offsets.get(key)
        return None if offset is None else journal.read_at(self.path, offset)

    def __contains__(self, key: CallKey) -> bool:
        return key in self._offsets

    def take(self, offset: int, key: CallKey) -> None:
        """Let a response stand for its call although asking again might help: it was tried often enough."""
        self._offsets[key] = offset

    def spent(self, item: str, sample: int) -> Usage:
        """What the sample took before this session, taken out of the index."""
        return self._spent.pop((item, sample), None) or Usage()

    @property
    def total(self) -> Usage:
        total = Usage()
        for one in self._spent.values():
            total.input_tokens += one.input_tokens
            total.output_tokens += one.output_tokens
            total.cost_usd += one.cost_usd
        return total

    def __len__(self) -> int:
        return len(self._offsets)


Ended = Callable[[set[str]], set[tuple[str, int]]]
"""The (item, sample) pairs of these items that have come to an end."""


def index_journal(path: Path, ended_of: Ended) -> JournalIndex:
    """Index what a journal holds of samples that have not come to an end."""
    index = JournalIndex(path)
    lines = journal.lines(path)
    while batch := list(islice(lines, _BATCH)):
        ended = ended_of({key.item for _, key, _ in batch})
        for offset, key, line in batch:
            if (key.item, key.sample) not in ended:
                with contextlib.suppress(ValueError):  # half a line of a crash
                    index.add(offset, Response.read(line))
    return index
