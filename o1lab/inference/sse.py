"""Parses a stream of server-sent events."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

_LINE = re.compile(r"\r\n|\n|\r(?!$)")
DONE = "[DONE]"


class EventParser:
    """Makes the data of events from the bytes of a stream.

    Follows the WHATWG standard: UTF-8 with an optional byte-order mark; lines end with LF, CRLF or CR; comments, ids
    and event names are ignored. A line that is a JSON object is an event too: some servers write an error like that
    into a stream that has begun.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""
        self._data: list[str] = []

    def feed(self, received: bytes) -> Iterator[str]:
        """Yield the data of the events that ``received`` completes."""
        *lines, self._rest = _LINE.split(self._rest + self._decoder.decode(received))
        for line in lines:
            yield from self._take(line)

    def end(self) -> Iterator[str]:
        """Yield the data of the last event if only its empty line is missing; one that was cut off is ignored."""
        if self._rest.strip() == f"data: {DONE}":
            yield DONE
        elif not self._rest.strip():
            yield from self._take("")

    def _take(self, line: str) -> Iterator[str]:
        if not line:
            if self._data:
                yield "\n".join(self._data)
                self._data = []
        elif line.startswith("data:"):
            self._data.append(line[5:].removeprefix(" "))
        elif line.startswith("{"):
            yield line
