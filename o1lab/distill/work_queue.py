"""What a run has to do: its items, settled when it starts, and which of their samples are still to come.

Only ids and journal offsets stay in memory for the whole run; texts are read one batch at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from o1lab.distill.items import items, items_by_id
from o1lab.distill.methods.base import SourceItem
from o1lab.distill.run_directory import RunFolder
from o1lab.distill.settings import TeacherRunSettings
from o1lab.files import atomic_write
from store import teacher_runs
from store.connection import Store

_BATCH = 200


def freeze_items(folder: RunFolder, store: Store, settings: TeacherRunSettings) -> int:
    """Write down the run's items if that was not done yet; how many there are.

    Raises:
        QueryError: a filter cannot be read.
    """
    if not folder.agenda.exists():
        with atomic_write(folder.agenda) as file:
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
