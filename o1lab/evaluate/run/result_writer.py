"""From responses to rows: samples that ended are scored and stored, many in one transaction, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from o1lab.evaluate.items import Item
from o1lab.evaluate.run.asking import SampleState
from o1lab.evaluate.scorers.base import Attempt, Score, Scorer, broken
from o1lab.inference.calls import RunStopped
from o1lab.inference.journal import JournalError
from o1lab.jobs.batch_writer import batches
from o1lab.jobs.runner import log_error
from store import evaluations
from store.connection import Store
from store.errors import StoreError
from store.evaluations import NewSample, NewScore

_WAITING = 256
"""So many samples that ended may wait to be taken in; then the asking waits."""
_BATCH = 256
_TOGETHER_S = 0.05
"""Samples that end within this time share a transaction and its fsync."""
_SCORED_AT_ONCE = 16
"""So many batches may be with the scorer: a judge takes its time over each."""


@dataclass(frozen=True, slots=True)
class FinishedSample:
    """A sample that is to be taken in: ``held`` was asked now, ``sample`` is known already (from an earlier
    evaluation, or of this one where it has its ``seq``)."""

    item: Item
    held: SampleState | None = None
    sample: NewSample | None = None
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class WrittenSample:
    """What a sample came to in the lab; ``anew`` is whether it was there before and was only scored."""

    sample: NewSample
    outcome: str
    anew: bool


class ResultWriter:
    """Takes samples in. Use as ``async with``; leaving it waits until all are in.

    ``landed`` is called in the event loop with each, once it is on the disk. A sample whose scorer may not be asked
    any more, or broke at it (``broken`` of them), is stored without a score, to be scored when the evaluation goes on.
    """

    def __init__(
        self,
        store: Store,
        evaluation_id: str,
        scorer: Scorer,
        *,
        make: Callable[[SampleState], NewSample],
        landed: Callable[[WrittenSample], None],
        log: Path,
    ) -> None:
        self._store = store
        self._id = evaluation_id
        self._scorer = scorer
        self._make = make
        self._landed = landed
        self._log = log
        self.broken = 0
        self._queue: asyncio.Queue[FinishedSample | None] = asyncio.Queue(_WAITING)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="landing")
        self._task: asyncio.Task[None]  # while entered

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is not None and issubclass(kind, asyncio.CancelledError):
                self._task.cancel()  # a judge may keep us waiting; what was said is in the journal
            elif not self._task.done():
                await self._queue.put(None)
            await self._task
        finally:
            self._thread.shutdown()

    async def put(self, ended: FinishedSample) -> None:
        """Hand one over; waits while too many are waiting.

        Raises:
            StoreError, OSError: nothing more will be taken in.
        """
        if self._task.done():
            self._task.result()
        await self._queue.put(ended)

    async def _work(self) -> None:
        seats = asyncio.Semaphore(_SCORED_AT_ONCE)
        try:
            async with asyncio.TaskGroup() as tasks:
                async for batch in batches(self._queue, most=_BATCH, together_s=_TOGETHER_S):
                    await seats.acquire()
                    tasks.create_task(self._land(batch)).add_done_callback(lambda _: seats.release())
        except BaseException as error:
            while not self._queue.empty():  # nobody shall wait for room that never comes
                self._queue.get_nowait()
                await asyncio.sleep(0)
            if isinstance(error, BaseExceptionGroup):
                raise error.exceptions[0] from None  # the first that went wrong; the others were cancelled
            raise

    async def _land(self, batch: Sequence[FinishedSample]) -> None:
        loop = asyncio.get_running_loop()
        samples = await loop.run_in_executor(self._thread, self._samples, batch)
        complete = [at for at, sample in enumerate(samples) if sample.state == "complete"]
        scores: dict[int, Score] = {}
        if complete:
            attempts = [Attempt(batch[at].item, samples[at].sample, samples[at].turns) for at in complete]
            try:
                for at, score in zip(complete, await self._scored(attempts), strict=True):
                    if score.error is None:
                        scores[at] = score
                    else:
                        self.broken += 1
                        log_error(self._log, score.error)
            except RunStopped:
                pass  # they wait for the next session
        for landed in await loop.run_in_executor(self._thread, self._write_each, batch, samples, scores):
            self._landed(landed)

    async def _scored(self, attempts: Sequence[Attempt]) -> list[Score]:
        try:
            return [score for _, score in zip(attempts, await self._scorer.score(attempts), strict=True)]
        except (RunStopped, JournalError, StoreError, OSError):
            raise
        except Exception as error:
            if len(attempts) > 1:
                return [score for one in attempts for score in await self._scored([one])]
            return [broken(error)]

    def _samples(self, batch: Sequence[FinishedSample]) -> list[NewSample]:
        """What is to be stored; counts tokens, so it runs in the landing's thread."""
        made = []
        for one in batch:
            if one.sample is not None:
                made.append(one.sample)
            else:
                assert one.held is not None  # noqa: S101 - one of both
                made.append(self._make(one.held))
        return made

    def _write_each(
        self, batch: Sequence[FinishedSample], samples: Sequence[NewSample], scores: dict[int, Score]
    ) -> list[WrittenSample]:
        """Store a batch, or one by one where something in it cannot be stored: that one fails, the others stay.

        Raises:
            StoreError, OSError: the database or the disk refuses.
        """
        try:
            return self._write(batch, samples, scores)
        except (StoreError, OSError):
            raise
        except Exception as error:
            if len(batch) > 1:
                return [
                    landed
                    for at, one in enumerate(batch)
                    for landed in self._write_each([one], [samples[at]], {0: scores[at]} if at in scores else {})
                ]
            log_error(self._log, error)
            reason = f"internal: {type(error).__name__}: {error}"[:200]
            bare = NewSample(samples[0].item, samples[0].sample, "failed", (), samples[0].cache_key, reason)
            return self._write(batch, [bare], {})

    def _write(
        self, batch: Sequence[FinishedSample], samples: Sequence[NewSample], scores: dict[int, Score]
    ) -> list[WrittenSample]:
        with self._store.explained(), self._store.db.atomic():
            db = self._store.db
            new = [sample for one, sample in zip(batch, samples, strict=True) if one.seq is None]
            made = iter(evaluations.add_samples(db, self._id, new))
            seqs = [next(made) if one.seq is None else one.seq for one in batch]
            label = self._scorer.label
            evaluations.add_scores(
                db,
                [
                    NewScore(seqs[at], label, score.outcome, score.value, score.answer, score.reason)
                    for at, score in scores.items()
                ],
            )
        return [
            WrittenSample(sample, _outcome(sample, scores.get(at)), one.seq is not None)
            for at, (one, sample) in enumerate(zip(batch, samples, strict=True))
        ]


def _outcome(sample: NewSample, score: Score | None) -> str:
    if sample.state != "complete":
        return sample.state
    return score.outcome if score is not None else "unscored"
