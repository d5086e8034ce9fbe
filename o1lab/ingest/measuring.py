"""Measure and verify traces: moves, loops, final answers, verdicts.

This is a separate pass after an import, so that imported rows are searchable at once. The import has found thought and
solution; measuring segments the thought and stores the moves. The pass can be stopped at any time and resumed: each
trace records the version of the rules that measured it.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from o1lab.chains.measures import MEASURES_VERSION, Measures, measure, read_text
from o1lab.chains.moves import SEGMENTER_VERSION, Move, pack, segment, unpack
from o1lab.chains.verify import VERIFIER_VERSION, VerifierPool
from o1lab.ingest.verifying import verify_pairs
from store import Store, traces
from store.records import Measured, NewTrace, TraceText
from store.sqlite import Database

MEASURED_BY = f"moves {SEGMENTER_VERSION}, measures {MEASURES_VERSION}, verifier {VERIFIER_VERSION}"

_BATCH = 100
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
        with _pool(pool) as verifier, _counter(total, processes) as count:
            after = 0
            while batch := traces.unmeasured(db, MEASURED_BY, after=after, limit=_BATCH):
                after = batch[-1][0]
                texts = [text for _, text in batch]
                measured = _measured(db, texts, count(texts), verifier)
                traces.set_measures(db, measured)
                report.measured += len(measured)
                report.verdicts.update(one.verdict for one in measured)
                if progress is not None:
                    progress(report.measured, total)
                if stop is not None and stop():
                    report.stopped = True
                    break
    return report


def measure_trace(store: Store, trace_id: str, *, pool: VerifierPool | None = None) -> Measured:
    """Measure and verify one trace now. Blocks until the verifier answers.

    Raises:
        MissingError: there is no such trace.
        StoreError: the database failed.
    """
    with store.explained(), _pool(pool) as verifier:
        text = traces.text(store.db, trace_id)
        [measured] = _measured(store.db, [text], [_measure_text(text)], verifier)
        traces.set_measures(store.db, [measured])
    return measured


def _measured(
    db: Database, texts: Sequence[TraceText], found: Iterable[Measures], verifier: VerifierPool
) -> list[Measured]:
    measures = list(found)
    pairs = [(text.gold, one.answer) for text, one in zip(texts, measures, strict=True)]
    verdicts = verify_pairs(db, verifier, pairs)
    return [
        as_record(text.trace_id, one, verdict.status, verdict.reason)
        for text, one, verdict in zip(texts, measures, verdicts, strict=True)
    ]


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
    return measure(trace.raw, trace.thought, trace.solution, complete=trace.complete)


def moves_of(text: TraceText) -> list[Move]:
    """Return the stored moves of a trace, or new ones if another version of the segmenter stored them."""
    if text.segments is not None and text.segmenter == SEGMENTER_VERSION:
        return unpack(text.segments)
    return segment(read_text(text.thought, text.solution))


def _measure_text(text: TraceText) -> Measures:
    """Measure one stored trace. Runs in a worker process for large imports."""
    return measure(text.raw, text.thought_span, text.solution_span, complete=text.complete)


@contextmanager
def _pool(given: VerifierPool | None) -> Iterator[VerifierPool]:
    if given is not None:
        yield given
        return
    with VerifierPool(workers=max(1, min(4, os.cpu_count() or 1))) as pool:
        yield pool


_Count = Callable[[Iterable[TraceText]], Iterable[Measures]]


@contextmanager
def _counter(total: int, processes: int | None) -> Iterator[_Count]:
    """Map :func:`_measure_text`, in several processes for large imports."""
    if processes is None:
        processes = min(8, os.cpu_count() or 1) if total >= _WORTH_PROCESSES else 1
    if processes == 1:
        yield lambda texts: map(_measure_text, texts)
        return
    # spawn: the caller may have threads, and a fork would copy their locks in the locked state.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield lambda texts: executor.map(_measure_text, texts, chunksize=max(1, _BATCH // processes // 2))
