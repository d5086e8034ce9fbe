"""The journal of a job: one line per response, synced to disk before the response counts.

Lines are only appended. A crash may leave a partial line at the end; opening the journal again terminates it with a
newline, and readers skip it. Only one process writes at a time: the one with the job's lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Self

from o1lab.inference.calls import CallKey, Response
from o1lab.jobs.progress import Usage
from store.batches import batched

_BATCH = 200
_KEY = re.compile(rb'\{"key": ("(?:[^"\\]|\\.)*")')
"""The beginning of each line; JSON escapes non-ASCII characters in an item's id."""


class JournalError(OSError):
    """The journal could not be written; it accepts no more responses."""


class Journal:
    """Appends responses. Responses that arrive while the disk is busy share the next write and its fsync.

    Use as ``async with`` in the event loop that calls :meth:`append`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._file = -1
        self._writer: asyncio.Task[None] | None = None
        self._broken: JournalError | None = None

    async def __aenter__(self) -> Self:
        self._file = await asyncio.to_thread(_open, self.path)
        self._writer = asyncio.create_task(self._write())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        self._wake.set()
        if self._writer is not None:
            await self._writer
        os.close(self._file)

    async def append(self, response: Response) -> None:
        """Write a response and wait until it is synced to disk.

        Raises:
            JournalError: it could not be written (a full disk, for example).
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((response.line().encode() + b"\n", written))
        self._wake.set()
        await asyncio.shield(written)

    async def _write(self) -> None:
        while not (self._closing and not self._waiting):
            await self._wake.wait()
            self._wake.clear()
            batch, self._waiting = self._waiting, []
            if not batch:
                continue
            if self._broken is None:  # a line after a partial one would be joined to it
                try:
                    await asyncio.to_thread(_append, self._file, b"".join(line for line, _ in batch))
                except OSError as error:
                    self._broken = JournalError(error.errno, error.strerror or str(error))
                except Exception as error:
                    self._broken = JournalError(None, f"{type(error).__name__}: {error}")
            for _, written in batch:
                if written.cancelled():
                    continue
                if self._broken is None:
                    written.set_result(None)
                else:
                    written.set_exception(self._broken)


def read(path: Path, start: int = 0, *, only: bytes = b"") -> Iterator[tuple[int, Response]]:
    """Yield (byte offset, response) of every complete line; unreadable lines are skipped.

    Args:
        path: the journal; a missing file has no lines.
        start: the byte offset to start at.
        only: skip lines that do not contain these bytes, without parsing them.
    """
    if not path.is_file():
        return
    with path.open("rb") as journal:
        journal.seek(start)
        offset = start
        for line in journal:
            if line.endswith(b"\n") and only in line:
                try:
                    yield offset, Response.read(line)
                except ValueError:
                    pass  # a partial line after a crash
            offset += len(line)


@dataclass
class FaultCount:
    """The number of times an error occurred, with its last message and raw response."""

    code: str
    number: int = 0
    sentence: str = ""
    key: str = ""
    raw: str = ""


def faults(*paths: Path) -> list[FaultCount]:
    """Count the errors in journals by code, the most frequent first; every attempt counts."""
    found: dict[str, FaultCount] = {}
    for _, response in chain.from_iterable(read(path, only=b'"fault"') for path in paths):
        if response.fault is not None:
            one = found.setdefault(response.fault.code, FaultCount(response.fault.code))
            one.number += 1
            one.sentence, one.key, one.raw = response.fault.sentence, str(response.key), response.raw
    return sorted(found.values(), key=lambda one: -one.number)


def usage_by_role(path: Path) -> dict[str, Usage]:
    """Return the usage of the calls to each role; every attempt in the journal counts."""
    found: dict[str, Usage] = {}
    for _, response in read(path):
        found.setdefault(response.role or "teacher", Usage()).add(response)
    return found


def lines(path: Path) -> Iterator[tuple[int, CallKey, bytes]]:
    """Yield (byte offset, key, line) of every complete line. Only the key is parsed, which is ten times as fast."""
    if not path.is_file():
        return
    with path.open("rb") as journal:
        offset = 0
        for line in journal:
            if line.endswith(b"\n") and (key := _key_of(line)) is not None:
                yield offset, key, line
            offset += len(line)


def _key_of(line: bytes) -> CallKey | None:
    found = _KEY.match(line)
    if found is None:
        return None
    try:
        return CallKey.read(json.loads(found[1]))
    except ValueError:  # not a line that this module wrote
        return None


def read_at(path: Path, offset: int) -> Response:
    """Return the response at a byte offset."""
    with path.open("rb") as journal:
        journal.seek(offset)
        return Response.read(journal.readline())


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Prompts and answers of a paid account are private; the umask decides about the group (protect_files).
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o660)
    size = os.fstat(file).st_size
    if not size:
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)  # a new file survives a power cut only if its directory entry does
        os.close(folder)
    if size and os.pread(file, 1, size - 1) != b"\n":
        os.write(file, b"\n")
    return file


def _append(file: int, lines: bytes) -> None:
    left = memoryview(lines)
    while left:
        left = left[os.write(file, left) :]
    os.fdatasync(file)


@dataclass
class JournalIndex:
    """Byte offsets of the final responses of samples that have not ended, and the usage of those samples."""

    path: Path
    _offsets: dict[CallKey, int] = field(default_factory=dict)
    _usage: dict[tuple[str, int], Usage] = field(default_factory=dict)

    def add(self, offset: int, response: Response) -> None:
        key = response.key
        if response.final:
            self._offsets[key] = offset
        self._usage.setdefault((key.item, key.sample), Usage()).add(response)

    def find(self, key: CallKey, asked: str | None = None, *, undigested: bool = False) -> Response | None:
        """Return the final response of a call; None if the call is still to be made.

        Args:
            key: the call.
            asked: the digest of its role and messages. A response to other messages is not used: an earlier step of
                the conversation has changed.
            undigested: use a response without a digest, too, such as one of an early teacher run or an offline engine.
        """
        offset = self._offsets.get(key)
        found = None if offset is None else read_at(self.path, offset)
        if found is None or asked in (None, found.asked) or (undigested and not found.asked):
            return found
        return None

    def __contains__(self, key: CallKey) -> bool:
        return key in self._offsets

    def take(self, offset: int, key: CallKey) -> None:
        """Treat a response as final although a retry might help, because all attempts are used up."""
        self._offsets[key] = offset

    def usage(self, item: str, sample: int) -> Usage:
        """Return the usage of a sample before this session, and remove it from the index."""
        return self._usage.pop((item, sample), None) or Usage()

    @property
    def total(self) -> Usage:
        """The usage of all samples in the index."""
        total = Usage()
        for one in self._usage.values():
            total.add(one)
        return total

    def __len__(self) -> int:
        return len(self._offsets)


Ended = Callable[[set[str]], set[tuple[str, int]]]
"""Returns the (item, sample) pairs of these items that have ended."""


def index_journal(path: Path, ended_of: Ended) -> JournalIndex:
    """Index the responses of samples that have not ended.

    Args:
        path: the journal.
        ended_of: returns which samples of some items have ended; called with up to 200 lines' items.
    """
    index = JournalIndex(path)
    for batch in batched(lines(path), _BATCH):
        ended = ended_of({key.item for _, key, _ in batch})
        for offset, key, line in batch:
            if (key.item, key.sample) not in ended:
                with contextlib.suppress(ValueError):  # a partial line after a crash
                    index.add(offset, Response.read(line))
    return index
