"""Scores finished samples and stores them, many in one transaction, off the event loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from o1lab.errors import internal_reason
from o1lab.evaluate.items import Item
from o1lab.evaluate.run.asking import SampleState
from o1lab.evaluate.scorers.base import Attempt, Score, Scorer, broken
from o1lab.inference.journal import JournalError
from o1lab.jobs.control import RunStopped
from o1lab.jobs.pipeline import StoreWriter
from o1lab.jobs.runner import log_error
from store import evaluations
from store.connection import Store
from store.errors import StoreError
from store.evaluations import NewSample, NewScore

_SCORED_AT_ONCE = 16
"""The number of batches that are scored concurrently: a judge is slow."""


@dataclass(frozen=True, slots=True)
class FinishedSample:
    """A sample to be stored.

    Attributes:
        item: its item.
        asked: its conversation, if the model was asked in this session.
        sample: the sample, if it was stored before, in an earlier evaluation or in this one.
        seq: its row in this evaluation, if it only needs a score.
    """

    item: Item
    asked: SampleState | None = None
    sample: NewSample | None = None
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class WrittenSample:
    """A stored sample; ``rescored`` is whether it was stored before and only its score is new."""

    sample: NewSample
    outcome: str
    rescored: bool


@dataclass(frozen=True, slots=True)
class _Scored:
    """A sample with its score, ready to be stored."""

    finished: FinishedSample
    sample: NewSample
    score: Score | None = None


class ResultWriter(StoreWriter[FinishedSample, WrittenSample]):
    """Scores and stores samples. Use as ``async with``; leaving it waits until all are stored.

    A sample is stored without a score if the scorer may make no more calls or raised an error (``broken`` counts
    these); it is scored when the evaluation resumes.

    Args:
        make: makes the row of a conversation; called in the writer's thread.
        on_stored: called in the event loop with each sample, once it is committed.
        log: the file for tracebacks.
    """

    def __init__(
        self,
        store: Store,
        evaluation_id: str,
        scorer: Scorer,
        *,
        make: Callable[[SampleState], NewSample],
        on_stored: Callable[[WrittenSample], None],
        log: Path,
    ) -> None:
        # A judge may be slow, so leaving does not wait for cancelled batches. Responses are in the journal.
        super().__init__(on_stored, waiting=256, at_once=_SCORED_AT_ONCE, flush_on_cancel=False)
        self._store = store
        self._id = evaluation_id
        self._scorer = scorer
        self._make = make
        self._log = log
        self.broken = 0

    async def write(self, batch: list[FinishedSample]) -> None:
        made = await self.in_thread(lambda: [_Scored(one, self._sample(one)) for one in batch])
        complete = [at for at, one in enumerate(made) if one.sample.state == "complete"]
        if complete:
            attempts = [
                Attempt(made[at].finished.item, made[at].sample.sample, made[at].sample.turns) for at in complete
            ]
            try:
                for at, score in zip(complete, await self._scored(attempts), strict=True):
                    if score.error is None:
                        made[at] = replace(made[at], score=score)
                    else:
                        self.broken += 1
                        log_error(self._log, score.error)
            except RunStopped:
                pass  # they are scored in the next session
        await self.store(made, self._save, self._save_failed)

    def _sample(self, one: FinishedSample) -> NewSample:
        if one.sample is not None:
            return one.sample
        assert one.asked is not None  # noqa: S101 - one of the two is given
        return self._make(one.asked)

    async def _scored(self, attempts: Sequence[Attempt]) -> list[Score]:
        try:
            return [score for _, score in zip(attempts, await self._scorer.score(attempts), strict=True)]
        except (RunStopped, JournalError, StoreError, OSError):
            raise
        except Exception as error:
            if len(attempts) > 1:
                return [score for one in attempts for score in await self._scored([one])]
            return [broken(error)]

    def _save_failed(self, one: _Scored, error: Exception) -> WrittenSample:
        log_error(self._log, error)
        reason = internal_reason(error)
        bare = NewSample(one.sample.item, one.sample.sample, "failed", (), one.sample.cache_key, reason)
        return self._save([_Scored(one.finished, bare)])[0]

    def _save(self, batch: Sequence[_Scored]) -> list[WrittenSample]:
        """Store a batch in one transaction; runs in the writer's thread."""
        with self._store.explained(), self._store.db.atomic():
            db, label = self._store.db, self._scorer.label
            new = [one.sample for one in batch if one.finished.seq is None]
            made = iter(evaluations.add_samples(db, self._id, new))
            seqs = [next(made) if one.finished.seq is None else one.finished.seq for one in batch]
            scores = [
                NewScore(seq, label, one.score.outcome, one.score.value, one.score.answer, one.score.reason)
                for seq, one in zip(seqs, batch, strict=True)
                if one.score is not None
            ]
            evaluations.add_scores(db, scores)
        return [
            WrittenSample(one.sample, _outcome(one.sample, one.score), one.finished.seq is not None) for one in batch
        ]


def _outcome(sample: NewSample, score: Score | None) -> str:
    if sample.state != "complete":
        return sample.state
    return score.outcome if score is not None else "unscored"
