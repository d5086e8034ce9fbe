"""Verify a final answer against the gold answer: correct, incorrect or unverifiable.

Both answers are read as what they are and compared as that (:mod:`o1lab.chains.equality`). What needs algebra or a
conversion of units goes to a separate process, because sympy evaluates ``10^(10^10)`` and can only be stopped by
killing it. The caller never imports sympy.
"""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Literal, Self, cast

from o1lab.chains.equality import compare
from o1lab.chains.equality.notation import normalise
from o1lab.chains.equality.reading import read
from o1lab.chains.equality.values import kind_of
from o1lab.line_process import LineProcess

VERIFIER_VERSION = 4

Status = Literal["correct", "incorrect", "unverifiable"]


@dataclass(frozen=True)
class Verdict:
    """The result of verifying a final answer, and the reason.

    Attributes:
        lasting: whether the same pair has the same verdict the next time; not so if its process was ended.
    """

    status: Status
    reason: str
    lasting: bool = True

    @classmethod
    def of(cls, status: str, reason: str) -> Self:
        """Return the verdict that was stored or sent as a status."""
        return cls(cast(Status, status), reason)


_LONGEST = 4000


def canonical(answer: str) -> Hashable:
    """Return a key that groups answers; see :func:`o1lab.chains.equality.compare.canonical`."""
    return answer if len(answer) > _LONGEST else compare.canonical(read(answer))


def settle(gold: str | None, answer: str | None) -> Verdict | None:
    """Return the verdict if it needs no algebra, else None."""
    if gold is None or not gold.strip():
        return Verdict("unverifiable", "the problem has no gold answer")
    if answer is None or not answer.strip():
        return Verdict("unverifiable", "no final answer was found")
    if max(len(gold), len(answer)) > _LONGEST:
        return Verdict("unverifiable", f"longer than {_LONGEST:,} characters: not a final answer")
    return _settled(gold, answer)


@lru_cache(maxsize=16384)
def _settled(gold: str, answer: str) -> Verdict | None:
    if normalise(gold) == normalise(answer):
        return Verdict("correct", "the same text")
    right, kind = verify_read(gold, answer)
    if right is None:
        return None
    return Verdict("correct", f"the same {kind}") if right else Verdict("incorrect", f"another {kind}")


def verify_read(gold: str, answer: str, algebra: compare.Algebra | None = None) -> tuple[bool | None, str]:
    """Read both answers, compare them, and return the result and what kind of answer the gold answer is.

    A single letter after a number is a unit where the other answer has one: ``5 m`` is ``5\\text{ m}``.
    """
    expected, given = read(gold), read(answer)
    if getattr(expected, "unit", "") or getattr(given, "unit", ""):
        expected, given = read(gold, loose=True), read(answer, loose=True)
    return compare.same(expected, given, algebra), kind_of(expected)


# A comparison is limited in processor time, so that a busy machine reaches the same verdicts as an idle one. The limit
# in wall-clock time is this many times as long.
PATIENCE = 8
_MOST_KNOWN = 16384


class _Worker(LineProcess):
    """One verifying process. Used by one thread at a time."""

    START_S = 120.0  # importing sympy on a busy machine

    def __init__(self, limit_s: float, memory_mb: int) -> None:
        same = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        limits = (str(limit_s), str(memory_mb))
        super().__init__("o1lab.chains.verify_worker", *limits, environment=same, start_s=self.START_S)

    def ask(self, gold: str, answer: str, limit_s: float) -> Verdict:
        """Return the verdict on one answer. After an error the worker cannot be used again.

        Raises:
            TimeoutError: no answer came in time.
            EOFError: the process died.
        """
        try:
            reply = self.answer({"gold": gold, "answer": answer}, limit_s * PATIENCE)
        except EOFError as error:
            if self.close() == -signal.SIGPROF and self._ready:  # its limit of processor time
                raise TimeoutError from error
            raise
        return Verdict.of(reply["status"], reply["reason"])


class VerifierPool:
    """A pool of verifier processes, which are started when needed, killed when they take too long, and replaced.

    Any thread may call :meth:`verify`; at most ``workers`` comparisons run at once, the others wait.

    Args:
        workers: maximum number of processes.
        limit_s: processor time of one comparison in seconds, without the start of the process. The limit in
            wall-clock time is ``PATIENCE`` times as long.
        memory_mb: address space of a process, in MiB.
    """

    def __init__(self, workers: int = 1, limit_s: float = 5.0, memory_mb: int = 1536) -> None:
        self.limit_s = limit_s
        self._workers = workers
        self._memory_mb = memory_mb
        # The last one that became free is taken first: a second process is started only when the first is busy.
        self._seats: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(workers):
            self._seats.put(None)
        self._running: set[_Worker] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._known: dict[tuple[str, str], Verdict] = {}  # several samples of a problem give the same answer
        self._threads = ThreadPoolExecutor(workers, "verifying")  # has no thread before the first `ask`

    def verify(self, gold: str | None, answer: str | None) -> Verdict:
        """Return the verdict on ``answer`` within the limits (plus the start of a process), whatever the answer.

        Raises:
            RuntimeError: the pool is closed.
        """
        settled = settle(gold, answer)
        if settled is not None or gold is None or answer is None:
            return settled or Verdict("unverifiable", "nothing to compare")
        if (known := self._known.get((gold, answer))) is not None:
            return known
        worker = self._seats.get()
        try:
            worker = worker or self._start()
            verdict = worker.ask(gold, answer, self.limit_s)
        except TimeoutError:
            self._drop(worker)
            worker = None
            verdict = Verdict("unverifiable", f"comparing took longer than {self.limit_s:g} s")
        except EOFError:
            self._drop(worker)
            worker = None
            reason = "the comparison ended its process: out of memory or nested too deeply"
            return Verdict("unverifiable", reason, lasting=False)
        except BaseException:
            self._drop(worker)  # an interrupted worker would answer the next question with this verdict
            worker = None
            raise
        finally:
            self._seats.put(worker)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[gold, answer] = verdict
        return verdict

    def ask(self, gold: str | None, answer: str | None) -> Future[Verdict]:
        """Verify an answer in another thread; see :meth:`verify`.

        Raises:
            RuntimeError: the pool is closed.
        """
        if self._closed:
            raise RuntimeError("the verifier pool is closed")
        return self._threads.submit(self.verify, gold, answer)

    def verify_many(self, pairs: Iterable[tuple[str | None, str | None]]) -> Iterator[Verdict]:
        """Yield the verdicts on (gold, answer) pairs in order, verifying ``workers`` at a time and equal pairs once."""
        asked: dict[tuple[str | None, str | None], Future[Verdict]] = {}
        order = list(pairs)
        for pair in order:
            if pair not in asked:
                asked[pair] = self.ask(*pair)
        try:
            for pair in order:
                yield asked[pair].result()
        finally:
            for future in asked.values():
                future.cancel()

    def close(self) -> None:
        """Kill the processes, also those that are comparing."""
        with self._lock:
            self._closed = True
            running, self._running = self._running, set()
        self._threads.shutdown(wait=False)  # what still waits there finds the pool closed
        for worker in running:
            worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> _Worker:
        with self._lock:
            if self._closed:
                raise RuntimeError("the verifier pool is closed")
            worker = _Worker(self.limit_s, self._memory_mb)
            self._running.add(worker)
        return worker

    def _drop(self, worker: _Worker | None) -> None:
        if worker is None:
            return
        with self._lock:
            self._running.discard(worker)
        worker.close()
