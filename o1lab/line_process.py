"""A process that answers each line of JSON on its standard input with one on its standard output."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any, cast


class LineProcess:
    """A module run as such a process. Its first line says that it is ready. One thread at a time may ask.

    Args:
        module: the module, run with ``python -P -m``.
        arguments: its arguments.
        environment: variables in addition to those of this process.
        start_s: maximum number of seconds until it is ready.
        errors: the file of its standard error; None for no file.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        environment: Mapping[str, str],
        start_s: float,
        errors: IO[bytes] | None = None,
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if errors is None else errors,
            start_new_session=True,
            env=os.environ | environment,
        )
        # Neither is None, because both are pipes.
        self._stdin, self._stdout = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        self._start_s = start_s
        self._buffer = b""
        self._ready = self._failed = False

    def answer(self, question: object, limit_s: float) -> Any:
        """Return the answer to a question. An error kills the process, so that no later question gets a late answer.

        Args:
            question: the question, which is sent as JSON.
            limit_s: maximum number of seconds until the answer, without the start of the process.

        Raises:
            TimeoutError: no answer came in time.
            EOFError: the process died, or an earlier question ended in an error.
        """
        if self._failed:
            raise EOFError
        try:
            if not self._ready:
                self._read_line(self._start_s)
                self._ready = True
            with suppress(BrokenPipeError):  # it has died, which reading reports
                self._stdin.write(json.dumps(question).encode("ascii") + b"\n")
                self._stdin.flush()
            return json.loads(self._read_line(limit_s))
        except BaseException:
            self._failed = True
            self._process.kill()
            raise

    def close(self) -> int:
        """Kill the process if it is running, and return its exit status; negative for a signal."""
        self._process.kill()
        status = self._process.wait()
        for pipe in (self._stdin, self._stdout):
            with suppress(OSError):  # what was not yet written is lost with the process
                pipe.close()
        return status

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
