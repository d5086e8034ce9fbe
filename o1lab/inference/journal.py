"""The journal of a job: one line a response, on the disk before the response counts.

Lines are only appended. A crash may leave half a line at the end; it is set apart by a newline when the journal is
opened again, and readers skip it. One process writes at a time: it holds the job's lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Self

from o1lab.inference.calls import CallKey, Response
from o1lab.inference.usage import Usage

_BATCH = 200
_KEY = re.compile(rb'\{"key": ("(?:[^"\\]|\\.)*")')
"""How each of our lines begins; JSON escapes what is not ASCII in an item's id."""


class JournalError(OSError):
    """The journal could not be written; nothing more is written to it."""


class Journal:
    """Appends responses. Those that arrive while the disk is busy share the next write and its fsync.

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
        """Return when the response is on the disk.

        Raises:
            JournalError: it could not be written (a full disk); nothing more will be.
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
            if self._broken is None:  # after half a line the next one would be glued to it
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
    """(offset, response) of every whole line from the byte ``start``; what cannot be read is skipped.

    ``only``: lines without these bytes are not parsed.
    """
    if not path.exists():
        return
    with path.open("rb") as journal:
        journal.seek(start)
        offset = start
        for line in journal:
            if line.endswith(b"\n") and only in line:
                try:
                    yield offset, Response.read(line)
                except ValueError:
                    pass  # half a line of a crash
            offset += len(line)


@dataclass
class FaultCount:
    """How often an error occurred, with its last message and raw response."""

    code: str
    number: int = 0
    sentence: str = ""
    key: str = ""
    raw: str = ""


def faults(path: Path) -> list[FaultCount]:
    """The errors in a journal by their code, the most frequent first; every attempt counts."""
    found: dict[str, FaultCount] = {}
    for _, response in read(path, only=b'"fault"'):
        if response.fault is not None:
            one = found.setdefault(response.fault.code, FaultCount(response.fault.code))
            one.number += 1
            one.sentence, one.key, one.raw = response.fault.sentence, str(response.key), response.raw
    return sorted(found.values(), key=lambda one: -one.number)


def lines(path: Path) -> Iterator[tuple[int, CallKey, bytes]]:
    """(offset, key, line) of every whole line; the rest of a line is not parsed, which is ten times as fast."""
    if not path.exists():
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
    except ValueError:  # no line of ours
        return None


def read_at(path: Path, offset: int) -> Response:
    """The response at ``offset``."""
    with path.open("rb") as journal:
        journal.seek(offset)
        return Response.read(journal.readline())


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    # 0600: prompts and answers of a paid account are private.
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    size = os.fstat(file).st_size
    if not size:
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)  # a file whose name is not on the disk is not either
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
    """Where the journal holds the final responses of samples that have not ended, and what those samples took."""

    path: Path
    _offsets: dict[CallKey, int] = field(default_factory=dict)
    _usage: dict[tuple[str, int], Usage] = field(default_factory=dict)

    def add(self, offset: int, response: Response) -> None:
        key = response.key
        if response.final:
            self._offsets[key] = offset
        self._usage.setdefault((key.item, key.sample), Usage()).add(response)

    def find(self, key: CallKey) -> Response | None:
        """The final response of a call; None when it is still to be asked."""
        offset = self._offsets.get(key)
        return None if offset is None else read_at(self.path, offset)

    def __contains__(self, key: CallKey) -> bool:
        return key in self._offsets

    def take(self, offset: int, key: CallKey) -> None:
        """Count a response as final although a retry might help: the call was tried often enough."""
        self._offsets[key] = offset

    def usage(self, item: str, sample: int) -> Usage:
        """What the sample took before this session; it is taken out of the index."""
        return self._usage.pop((item, sample), None) or Usage()

    @property
    def total(self) -> Usage:
        total = Usage()
        for one in self._usage.values():
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
    every = lines(path)
    while batch := list(islice(every, _BATCH)):
        ended = ended_of({key.item for _, key, _ in batch})
        for offset, key, line in batch:
            if (key.item, key.sample) not in ended:
                with contextlib.suppress(ValueError):  # half a line of a crash
                    index.add(offset, Response.read(line))
    return index
