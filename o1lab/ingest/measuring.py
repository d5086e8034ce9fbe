"""Measuring and verifying what is in the lab and was not yet: moves, loops, final answers, verdicts.

A pass of its own after an import, so that rows are in and searchable at once. It can be stopped at any time and goes
on where it was: what a version of the rules has seen is marked with it.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from o1lab.chains.answers import extract_answer
from o1lab.chains.measures import MEASURES_VERSION, measure
from o1lab.chains.moves import SEGMENTER_VERSION, segment
from o1lab.chains.parse import parse
from o1lab.chains.verify import VERIFIER_VERSION, VerifierPool
from store import Store, traces
from store.records import Measured, TraceText

MEASURED_BY = f"moves {SEGMENTER_VERSION}, measures {MEASURES_VERSION}, verifier {VERIFIER_VERSION}"

_BATCH = 100
# Processes of our own pay from about this many traces on: each takes a quarter of a second to start.
_WORTH_PROCESSES = 2000


@dataclass
class MeasureReport:
    """What one pass did."""

    measured: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class _Counted:
    looping: bool
    moves: dict[str, int]
    answer: str | None


def measure_pending(
    store: Store,
    *,
    pool: VerifierPool | None = None,
    processes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> MeasureReport:
    """Measure and verify every trace that this version of the rules has not seen.

    Args:
        pool: verifies the answers; one of its own is made and closed when None.
        processes: that count moves side by side; None chooses by the amount of work.
        progress: called with (done, of) after each batch, from this thread.
        stop: asked after each batch; what is done stays done.

    Raises:
        StoreError: the database refuses.
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
                measured = _measured(texts, count(text.raw for text in texts), verifier)
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
    """Measure and verify one trace now, whatever else waits to be measured. Blocks for the verifier.

    Raises:
        MissingError: there is no such trace.
        StoreError: the database refuses.
    """
    with store.explained(), _pool(pool) as verifier:
        text = traces.text(store.db, trace_id)
        [measured] = _measured([text], [count_one(text.raw)], verifier)
        traces.set_measures(store.db, [measured])
    return measured


def _measured(texts: Sequence[TraceText], counts: Iterable[_Counted], verifier: VerifierPool) -> list[Measured]:
    counted = list(counts)
    verdicts = verifier.verify_many((text.gold, one.answer) for text, one in zip(texts, counted, strict=True))
    return [
        Measured(
            trace_id=text.trace_id,
            looping=one.looping,
            moves=one.moves,
            answer=one.answer,
            verdict=verdict.status,
            verdict_reason=verdict.reason,
            measured_by=MEASURED_BY,
        )
        for text, one, verdict in zip(texts, counted, verdicts, strict=True)
    ]


def count_one(raw: str) -> _Counted:
    """What can be said of a raw text alone. Runs in a process of its own for large imports."""
    parsed = parse(raw)
    thought = parsed.thought_of(raw)
    found = measure(raw, parsed, segment(thought))
    answer = extract_answer(parsed.solution_of(raw), thought)
    return _Counted(
        found.looping, {kind.value: number for kind, number in found.moves.items()}, answer.text if answer else None
    )


@contextmanager
def _pool(given: VerifierPool | None) -> Iterator[VerifierPool]:
    if given is not None:
        yield given
        return
    with VerifierPool(workers=max(1, min(4, os.cpu_count() or 1))) as made:
        yield made


_Count = Callable[[Iterable[str]], Iterable[_Counted]]


@contextmanager
def _counter(total: int, processes: int | None) -> Iterator[_Count]:
    """A map of :func:`count_one`, in processes where that pays."""
    if processes is None:
        processes = min(8, os.cpu_count() or 1) if total >= _WORTH_PROCESSES else 1
    if processes == 1:
        yield lambda raws: map(count_one, raws)
        return
    # spawn: the caller may have threads, and a fork would copy their locks as they are.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield lambda raws: executor.map(count_one, raws, chunksize=max(1, _BATCH // processes // 2))
