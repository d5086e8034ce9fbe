"""Verify a final answer against the gold answer: correct, incorrect or unverifiable.

Plain numbers and equal texts are compared here. Everything else goes to math-verify in a separate process, because
sympy evaluates ``10^(10^10)`` and can only be stopped by killing it. The caller never imports sympy.
"""

from __future__ import annotations

import json
import os
import queue
import re
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from types import TracebackType
from typing import IO, Literal, Self, cast

VERIFIER_VERSION = 1

Status = Literal["correct", "incorrect", "unverifiable"]


@dataclass(frozen=True)
class Verdict:
    """The result of verifying a final answer, and the reason."""

    status: Status
    reason: str


_NUMBER = re.compile(
    r"(?P<digits>[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|[+-]?\.\d+)"
    r"(?:\s*(?:\\times|\\cdot|×)\s*10\s*\^\s*\{?\s*(?P<power>[+-]?\d{1,3})\s*\}?|[eE](?P<exponent>[+-]?\d{1,3}))?"
)
_RATIO = re.compile(r"([+-]?\d+)\s*/\s*(\d+)|\\[dt]?frac\{([+-]?\d+)\}\{(\d+)\}")
_UNIT = re.compile(r"(?:\s|~|\\[,;: ])*\\(?:text|mathrm|textrm)\s*\{[^{}]*\}(?:\s*\^\s*\{?-?\d\}?)?$")
_ROUNDED = Fraction(1, 1000)
_WRAPS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("\\boxed{", "}"), ("\\text{", "}"), ("{", "}"))
_DRESSING = re.compile(
    r"\\(?:text|mathrm|textbf|mathbf)\s*\{([^{}]*)\}|\\(?:left|right|displaystyle|,|;|!|quad|qquad)(?![a-zA-Z])|\s"
)
_CONDITION = re.compile(r",?\s*\\q?quad\s*\\text\s*\{\s*(?:for|where|if|when|with)\b")
_LONGEST = 4000
_LONGEST_NUMBER = 1000


def normalise(answer: str) -> str:
    """Return ``answer`` without surrounding math marks, final full stop, GSM8K's ``####`` and spaces."""
    text = answer.strip()
    last = text.rpartition("####")[2].strip()
    if "####" in text and last and "\n" not in last:
        text = last
    unwrapped = True
    while unwrapped:
        text = text.strip().rstrip(".。").strip()
        unwrapped = False
        for left, right in _WRAPS:
            inner = text[len(left) : len(text) - len(right)]
            if len(text) > len(left + right) and text.startswith(left) and text.endswith(right) and _closed(inner):
                text, unwrapped = inner, True
                break
    return text


def _bare(text: str) -> str:
    """Return ``text`` without typesetting (fonts, spaces, sizes). Answers with equal bare texts are equal."""
    return _DRESSING.sub(r"\1", text).replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")


def _closed(inner: str) -> bool:
    """Return whether ``inner`` contains no marks of its own: ``{1}+{2}`` is not wrapped in braces."""
    return "$" not in inner and "{" not in inner and "}" not in inner and "\\(" not in inner and "\\[" not in inner


def number(text: str) -> Fraction | None:
    r"""Return the value of a plain number, or None for anything else.

    Plain numbers are ``1,234.5``, ``3/4``, ``\frac{3}{4}`` and ``6.4 \times 10^{-19}``, also with a unit in ``\text``
    or ``\mathrm`` after them.
    """
    if len(text) > _LONGEST_NUMBER:
        return None
    text = _UNIT.sub("", text)
    if (ratio := _RATIO.fullmatch(text)) is not None:
        over, under = (Fraction(int(part)) for part in ratio.groups() if part is not None)
        return over / under if under else None
    if (found := _NUMBER.fullmatch(text)) is None:
        return None
    value = Fraction(Decimal(found["digits"].replace(",", "")))
    return value * Fraction(10) ** int(found["power"] or found["exponent"] or 0)


def canonical(answer: str) -> Fraction | int | str:
    r"""Return a key that is equal for answers that :func:`settle` calls equal: a number's value, else the bare text.

    :func:`settle` is not transitive (``5`` equals ``5\text{cm}`` equals ``5cm``, but ``5`` does not equal ``5cm``);
    there the number takes precedence.
    """
    if len(answer) > _LONGEST:
        return answer
    if answer.isascii() and answer.isdigit() and len(answer) <= 18:
        return int(answer)  # the common case, made fast; equal to the fraction and with the same hash
    text = normalise(answer)
    bare = _bare(text)
    value = number(text)
    if value is None:
        value = number(bare)
    return bare if value is None else value


def settle(gold: str | None, answer: str | None) -> Verdict | None:
    """Return the verdict if it needs no algebra, else None."""
    if gold is None or not gold.strip():
        return Verdict("unverifiable", "the problem has no gold answer")
    if answer is None or not answer.strip():
        return Verdict("unverifiable", "no final answer was found")
    if max(len(gold), len(answer)) > _LONGEST:
        return Verdict("unverifiable", f"longer than {_LONGEST:,} characters: not a final answer")
    expected, given = normalise(gold), normalise(answer)
    if expected == given or _bare(expected) == _bare(given):
        return Verdict("correct", "the same text")
    left, right = number(expected), number(given)
    if left is None or right is None:
        return None
    if left == right:
        return Verdict("correct", "the same number")
    # Numbers that differ only in the last digits may be rounded; math-verify decides about those.
    return Verdict("incorrect", "another number") if abs(left - right) > _ROUNDED * abs(left) else None


# A comparison is limited in processor time, so that a busy machine reaches the same verdicts as an idle one. The limit
# in wall-clock time is this many times as long.
PATIENCE = 8


class _Worker:
    """One verifying process. Used by one thread at a time."""

    START_S = 120.0  # importing sympy on a busy machine

    def __init__(self, limit_s: float, memory_mb: int) -> None:
        process = self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "o1lab.chains.verify_worker", str(limit_s), str(memory_mb)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=os.environ | {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        # Neither is None, because both are pipes.
        self._stdin, self._stdout = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
        self._buffer = b""
        self._ready = False

    def ask(self, gold: str, answer: str, limit_s: float) -> Verdict:
        """Return the verdict on one answer. After an error the worker cannot be used again.

        Raises:
            TimeoutError: no answer came in time.
            EOFError: the process died.
        """
        if not self._ready:
            self._read_line(self.START_S)
            self._ready = True
        line = json.dumps({"gold": gold, "answer": answer}) + "\n"
        try:
            self._stdin.write(line.encode("ascii"))
            self._stdin.flush()
            reply = json.loads(self._read_line(limit_s * PATIENCE))
        except (BrokenPipeError, EOFError) as error:
            self.close()
            spent = self._process.returncode == -signal.SIGPROF
            raise (TimeoutError if spent else EOFError) from error
        return Verdict(reply["status"], reply["reason"])

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._stdin, self._stdout):
            with suppress(OSError):
                pipe.close()

    def _read_line(self, limit_s: float) -> bytes:
        deadline = time.monotonic() + limit_s
        file = self._stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(file, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError
                chunk = os.read(file, 65536)
                if not chunk:
                    raise EOFError
                self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line


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
        self._seats: queue.SimpleQueue[_Worker | None] = queue.SimpleQueue()
        for _ in range(workers):
            self._seats.put(None)
        self._running: set[_Worker] = set()
        self._lock = threading.Lock()
        self._closed = False

    def verify(self, gold: str | None, answer: str | None) -> Verdict:
        """Return the verdict on ``answer`` within the limits (plus the start of a process), whatever the answer.

        Raises:
            RuntimeError: the pool is closed.
        """
        settled = settle(gold, answer)
        if settled is not None or gold is None or answer is None:
            return settled or Verdict("unverifiable", "nothing to compare")
        worker = self._seats.get()
        try:
            worker = worker or self._start()
            return worker.ask(normalise(gold), normalise(_CONDITION.split(answer, maxsplit=1)[0]), self.limit_s)
        except TimeoutError:
            self._drop(worker)
            worker = None
            return Verdict("unverifiable", f"comparing took longer than {self.limit_s:g} s")
        except EOFError:
            self._drop(worker)
            worker = None
            return Verdict("unverifiable", "the comparison ended its process: out of memory or nested too deeply")
        except BaseException:
            self._drop(worker)  # an interrupted worker would answer the next question with this verdict
            worker = None
            raise
        finally:
            self._seats.put(worker)

    def verify_many(self, pairs: Iterable[tuple[str | None, str | None]]) -> Iterator[Verdict]:
        """Yield the verdicts on (gold, answer) pairs in order, verifying ``workers`` pairs at a time."""
        with ThreadPoolExecutor(self._workers) as threads:
            yield from threads.map(lambda pair: self.verify(*pair), pairs)

    def close(self) -> None:
        """Kill the processes, also those that are comparing."""
        with self._lock:
            self._closed = True
            running, self._running = self._running, set()
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
