"""Encode responses in a process, which may import torch: see :mod:`o1lab.lens.token_worker`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from o1lab.errors import LabError
from o1lab.models.child import raise_reported
from o1lab.process import QUIET_ENVIRONMENT
from o1lab.serve.registry import ModelRef

_LONGEST_LINE = 1 << 28
"""Bytes of a line of the process: a chain of 100,000 tokens takes 3 MB."""


class Encoder:
    """Encodes responses in a process, one after the other."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._lock = asyncio.Lock()
        self._sent = 0

    async def encode(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Return the tokens of a job, see :func:`o1lab.lens.token_worker.encoded`.

        The answer to a job that was cancelled after it was sent still arrives, and is skipped.

        Raises:
            RefusedError: the response cannot be encoded.
            LabError: the process has ended.
        """
        assert self._process.stdin is not None  # noqa: S101 - asked for
        async with self._lock:
            self._sent += 1
            own = self._sent
            with suppress(BrokenPipeError, ConnectionResetError):  # it has ended, which reading reports
                self._process.stdin.write(json.dumps({**job, "id": own}).encode() + b"\n")
                await self._process.stdin.drain()
            found = await self._line()
            while found.pop("id") != own:
                found = await self._line()
        raise_reported(found)
        return found

    async def ready(self) -> None:
        """Wait until the tokenizer is loaded.

        Raises:
            LabError: it cannot be loaded, or the process has ended.
        """
        raise_reported(await self._line())

    async def _line(self) -> dict[str, Any]:
        """Return the next line of the process."""
        assert self._process.stdout is not None  # noqa: S101 - asked for
        line = await self._process.stdout.readline()
        if not line:
            raise LabError("The process that encodes texts has ended.", "Start the command again.", code="gone")
        found: dict[str, Any] = await asyncio.to_thread(json.loads, line)
        return found


@asynccontextmanager
async def open_encoder(ref: ModelRef) -> AsyncIterator[Encoder]:
    """Start the process that encodes for the model of a running server, with the tokenizer of its base.

    Raises:
        LabError: the base of the server is not known, or the tokenizer cannot be loaded.
    """
    base = ref.record.base if ref.record is not None else ""
    if not base:
        raise LabError(f"The base of the server of {ref.id} is not known.", "Start the server again: o1lab serve")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "o1lab.lens.token_worker", base,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env=os.environ | QUIET_ENVIRONMENT | {"HF_HUB_OFFLINE": "1"}, limit=_LONGEST_LINE,
    )  # fmt: skip
    try:
        encoder = Encoder(process)
        await encoder.ready()
        yield encoder
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
