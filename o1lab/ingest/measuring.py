"""Measure and verify traces: moves, loops, final answers, verdicts.

This is a separate pass after an import, so that imported rows are searchable at once. The import has found thought and
solution; measuring segments the thought and stores the moves. The pass can be stopped at any time and resumed: each
trace records the version of the rules that measured it.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

from o1lab.chains.measures import MEASURES_VERSION, Measures, measure, read_text
from o1lab.chains.parse import Span
from o1lab.chains.segmentation.moves import SEGMENTER_VERSION, Move, pack, segment, unpack
from o1lab.chains.verify import VERIFIER_VERSION, Verdict, VerifierPool
from o1lab.ingest.verifying import PairVerifier, verify_pairs
from o1lab.process import spawned_pool
from store import Store, traces
from store.records import OWN_MOVES, Measured, NewTrace, TraceText, Unmeasured, decode
from store.sqlite import Database

MEASURED_BY = f"moves {SEGMENTER_VERSION}, measures {MEASURES_VERSION}, verifier {VERIFIER_VERSION}"

_BATCH = 100
_AHEAD = 8  # batches that are with the workers
_MOST_WAITING = 5_000  # traces whose answers are being verified
# A transaction has this many traces, or fewer after this time, so that progress is seen.
_WRITTEN = 500
_WRITE_S = 0.5
# Worker processes pay off from about this many traces on: each takes a quarter of a second to start.
_WORTH_PROCESSES = 2000


@dataclass
class MeasureReport:
    """The result of one pass."""

    measured: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    stopped: bool = False


def measure_pending(
    store: Store,
    *,
    pool: VerifierPool | None = None,
    processes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> MeasureReport:
    """Measure and verify every trace that this version of the rules has not measured.

    Args:
        store: the lab's database.
        pool: verifies the answers; a temporary pool if None.
        processes: number of processes that segment; chosen by the amount of work if None.
        progress: called with (done, total) after each batch, from this thread.
        stop: called after each batch; True ends the pass and keeps the results so far.

    Raises:
        StoreError: the database failed.
    """
    report = MeasureReport()
    with store.explained():
        db = store.db
        total = traces.count_unmeasured(db, MEASURED_BY)
        if not total:
            return report
        with _pool(pool) as verifier, _workers(total, processes) as workers, _Writer(db, verifier, report) as writer:
            for is_last in writer.verified(_measured(db, workers)):
                report.stopped = stop is not None and stop()
                if writer.write(all_of_it=is_last or report.stopped) and progress is not None:
                    progress(report.measured, total)
                if report.stopped:
                    break
    return report


def measure_trace(store: Store, trace_id: str, *, pool: VerifierPool | None = None) -> Measured:
    """Measure and verify one trace now. Blocks until the verifier answers.

    Raises:
        NotFoundError: there is no such trace.
        StoreError: the database failed.
    """
    with store.explained(), _pool(pool) as verifier:
        text = traces.text(store.db, trace_id)
        packed = text.meta.get(OWN_MOVES)
        found = _measure(text.raw, text.thought_span, text.solution_span, complete=text.complete, packed=packed)
        [verdict] = verify_pairs(store.db, verifier, [(text.gold, found.answer)])
        measured = as_record(text.trace_id, found, verdict.status, verdict.reason)
        traces.set_measures(store.db, [measured])
    return measured


def as_record(
    trace_id: str,
    found: Measures,
    verdict: str,
    reason: str,
    *,
    answer: str | None = None,
    tokens: int | None = None,
) -> Measured:
    """Return the measures of a trace as the record to store.

    Args:
        trace_id: the trace.
        found: what :func:`~o1lab.chains.measures.measure` returned for it.
        verdict: correct, incorrect or unverifiable.
        reason: why, in a few words.
        answer: the final answer, if the caller knows it better than ``found``.
        tokens: the length by the tokenizer of the model that wrote the trace; None keeps the stored number.
    """
    return Measured(
        trace_id=trace_id,
        looping=found.looping,
        moves=found.counts,
        answer=answer or found.answer,
        verdict=verdict,
        verdict_reason=reason,
        measured_by=MEASURED_BY,
        tokens=tokens,
        segments=pack(found.moves),
        segmenter=SEGMENTER_VERSION,
    )


def measure_new(trace: NewTrace) -> Measures:
    """Measure a trace that is about to be stored."""
    packed = trace.meta.get(OWN_MOVES)
    return _measure(trace.raw, trace.thought, trace.solution, complete=trace.complete, packed=packed)


def moves_of(text: TraceText) -> list[Move]:
    """Return the stored moves of a trace, or new ones if another version of the segmenter stored them."""
    joined = text.outside and not text.thought  # the text that is shown has other offsets than the measured one
    if text.segments is not None and text.segmenter == SEGMENTER_VERSION and not joined:
        return unpack(text.segments)
    return own_moves(text.meta.get(OWN_MOVES), text.thought_span) or segment(read_text(text.thought, text.solution))


def own_moves(packed: Any, thought: Span) -> list[Move]:
    """Return the moves that the person who wrote a trace marked; empty if there are none, or they do not fit."""
    try:
        moves = unpack(packed) if isinstance(packed, str) else []
    except (ValueError, IndexError):
        return []
    size = thought[1] - thought[0]
    fit = moves and moves[-1].end == size and all(move.start < move.end for move in moves)
    return moves if fit else []


def _measure(raw: str, thought: Span, solution: Span, *, complete: bool, packed: Any) -> Measures:
    """Measure a trace, with the moves that its writer marked if there are any."""
    found, moves = measure(raw, thought, solution, complete=complete), own_moves(packed, thought)
    return replace(found, moves=tuple(moves)) if moves else found


@contextmanager
def _pool(given: VerifierPool | None) -> Iterator[VerifierPool]:
    if given is not None:
        yield given
        return
    with VerifierPool(workers=max(1, min(4, os.cpu_count() or 1))) as pool:
        yield pool


@contextmanager
def _workers(total: int, processes: int | None) -> Iterator[ProcessPoolExecutor | None]:
    """Start processes that measure, for large imports; None for others."""
    if processes is None:
        processes = min(8, os.cpu_count() or 1) if total >= _WORTH_PROCESSES else 1
    if processes == 1:
        yield None
        return
    executor = spawned_pool(processes)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


_Judgeable = tuple[str | None, Measured]
"""A gold answer, and the measures of a trace without a verdict."""


def _measured(db: Database, workers: ProcessPoolExecutor | None) -> Iterator[list[_Judgeable]]:
    """Yield the measures of all pending traces, batch by batch; workers measure the next batches in the meantime."""
    running: deque[tuple[list[str | None], Future[list[Measured]]]] = deque()
    for batch in _pending(db):
        golds = [one.gold for one in batch]
        if workers is None:
            yield list(zip(golds, _measure_batch(batch), strict=True))
            continue
        running.append((golds, workers.submit(_measure_batch, [one._replace(gold=None) for one in batch])))
        if len(running) > _AHEAD:
            golds, first = running.popleft()
            yield list(zip(golds, first.result(), strict=True))
    for golds, future in running:
        yield list(zip(golds, future.result(), strict=True))


def _pending(db: Database) -> Iterator[list[Unmeasured]]:
    after = 0
    while batch := traces.unmeasured(db, MEASURED_BY, after=after, limit=_BATCH):
        after = batch[-1].seq
        yield batch


def _measure_batch(batch: Sequence[Unmeasured]) -> list[Measured]:
    """Measure stored traces. Runs in a worker process for large imports: moves are packed, because objects are slow."""
    found = (
        _measure(decode(one.raw), one.thought, one.solution, complete=one.complete, packed=one.own_moves)
        for one in batch
    )
    return [as_record(one.trace_id, measures, "", "") for one, measures in zip(batch, found, strict=True)]


class _Writer:
    """Collects measures until their answers are verified, and writes them in transactions of several batches."""

    def __init__(self, db: Database, pool: VerifierPool, report: MeasureReport) -> None:
        self._db, self._report = db, report
        self._verifier = PairVerifier(db, pool)
        self._ready: list[Measured] = []
        self._waiting: list[tuple[Measured, Future[Verdict]]] = []
        self._written_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._verifier.cancel()

    def verified(self, batches: Iterable[Sequence[_Judgeable]]) -> Iterator[bool]:
        """Have the answers of all batches verified. Yield when there may be something to write, True at the end."""
        for batch in batches:
            asked = self._verifier.ask([(gold, one.answer) for gold, one in batch])
            for (_, one), verdict in zip(batch, asked, strict=True):
                if isinstance(verdict, Verdict):
                    self._ready.append(_judged(one, verdict))
                else:
                    self._waiting.append((one, verdict))
            yield False
            while len(self._waiting) > _MOST_WAITING:
                self._wait()
                yield False
        while self._waiting:
            self._wait()
            yield False
        yield True

    def _wait(self) -> None:
        wait({future for _, future in self._waiting}, timeout=_WRITE_S, return_when=FIRST_COMPLETED)
        self._collect()

    def write(self, *, all_of_it: bool) -> bool:
        """Write what is verified if it is much, or old, or ``all_of_it``; return whether something was written."""
        self._collect()
        due = len(self._ready) >= _WRITTEN or time.monotonic() - self._written_at > _WRITE_S
        if not self._ready or not (due or all_of_it):
            return False
        traces.set_measures(self._db, self._ready)
        self._verifier.store()
        self._report.measured += len(self._ready)
        self._report.verdicts.update(one.verdict for one in self._ready)
        self._ready = []
        self._written_at = time.monotonic()
        return True

    def _collect(self) -> None:
        left = []
        for one, future in self._waiting:
            if future.done():
                self._ready.append(_judged(one, future.result()))
            else:
                left.append((one, future))
        self._waiting = left


def _judged(measured: Measured, verdict: Verdict) -> Measured:
    return replace(measured, verdict=verdict.status, verdict_reason=verdict.reason)
