"""The parts of a Batch API run: a file of request lines for each, and their states in batches.json.

batches.json is written before and after a batch is created. A part without a batch there may nevertheless have one at
the server, if the process was killed in between. Therefore the metadata of a batch name the run, the part and the hash
of its lines.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from o1lab.files import write_json
from o1lab.inference.calls import CallKey
from o1lab.inference.limits import prompt_tokens
from o1lab.small_files import read_json

MAX_REQUESTS = 50_000
"""Maximum requests in one batch, from the API's reference of ``POST /batches`` (``input_file_id``)."""
MAX_BYTES = 200_000_000
"""Maximum bytes of one batch's input file, from the same reference: 200 MB."""
URL = "/v1/chat/completions"

PartState = Literal["written", "submitted", "taken"]


@dataclass
class Part:
    """Requests that go into one batch.

    Attributes:
        state: ``written``: the request file exists; the batch may exist if the process died. ``submitted``: ``batch``
            is the batch's id. ``taken``: the responses are in the journal and the file is deleted.
        worst_tokens, worst_usd: the maximum tokens and cost of its requests.
        options: the names of the parameters in its requests.
        digest: hash of its lines.
    """

    number: int
    requests: int = 0
    worst_tokens: int = 0
    worst_usd: float = 0.0
    options: list[str] = field(default_factory=list)
    digest: str = ""
    state: PartState = "written"
    batch: str = ""

    @property
    def open(self) -> bool:
        return self.state != "taken"

    def metadata(self, run: str) -> dict[str, str]:
        """Return the metadata that identify the batch at the server."""
        return {"o1lab_run": run, "o1lab_part": str(self.number), "o1lab_digest": self.digest}


@dataclass(frozen=True, slots=True)
class _State:
    """The content of batches.json."""

    parts: list[Part]
    dropped: set[str]


class Parts:
    """All parts of a job, stored in its directory."""

    def __init__(self, directory: Path) -> None:
        self._state_file = directory / "batches.json"
        self._files = directory / "batches"
        self.parts: list[Part] = []
        self.dropped: set[str] = set()
        """Parameters that the server rejected by name; saved for when the run is resumed."""
        if self._state_file.exists():
            state = read_json(self._state_file, _State)
            self.parts, self.dropped = state.parts, state.dropped
        self._last = max((part.number for part in self.parts), default=0)

    @property
    def open(self) -> list[Part]:
        return [part for part in self.parts if part.open]

    def save(self) -> None:
        values = {"parts": [asdict(part) for part in self.parts], "dropped": sorted(self.dropped)}
        write_json(self._state_file, values)

    def file(self, part: Part) -> Path:
        """Return the file of the part's request lines."""
        return self._files / f"{part.number}.jsonl"

    def answers(self, part: Part) -> Path:
        """Return the temporary file for a downloaded result file of the part."""
        return self._files / f"{part.number}.answers.jsonl"

    def begin(self, options: list[str]) -> PartWriter:
        """Start a new part, to be filled and then passed to :meth:`add`. It replaces a part that was never added."""
        self._files.mkdir(mode=0o770, exist_ok=True)
        self._last += 1
        part = Part(self._last, options=options)
        return PartWriter(part, _private(self.file(part)))

    def add(self, *parts: Part) -> None:
        self.parts.extend(parts)
        self.save()

    def forget(self, part: Part) -> None:
        """Delete a part that was never submitted; its requests stay pending."""
        self.parts.remove(part)
        self.save()
        self.file(part).unlink(missing_ok=True)

    def done_with(self, part: Part) -> None:
        """Mark a part as taken and delete its file: its responses are in the journal."""
        part.state = "taken"
        self.save()
        self.file(part).unlink(missing_ok=True)

    def halves(self, part: Part) -> list[Part]:
        """Replace a part by two halves and return them."""
        tokens, usd = -(-part.worst_tokens // part.requests), part.worst_usd / part.requests
        with self.file(part).open("rb") as lines, self.begin(part.options) as first, self.begin(part.options) as second:
            for at, line in enumerate(lines):
                (first if at < part.requests // 2 else second).put(line, tokens, usd)
        self.parts.remove(part)
        self.add(first.part, second.part)
        self.file(part).unlink()
        return [first.part, second.part]

    def asked(self, part: Part) -> dict[CallKey, int]:
        """Return the calls of a part, each with the estimated tokens of its prompt."""
        with self.file(part).open("rb") as lines:
            return dict(_read(json.loads(line)) for line in lines)


class PartWriter:
    """Writes a part's lines. Use as ``with``."""

    def __init__(self, part: Part, file: IO[bytes]) -> None:
        self.part = part
        self._file = file
        self._size = 0
        self._hash = hashlib.sha256()

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Sync the file and set the part's digest."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())  # a resumed run must find the lines that were uploaded
        self._file.close()
        self.part.digest = self._hash.hexdigest()[:16]

    def takes(self, line: bytes) -> bool:
        """Whether this line fits the API's limits of one file."""
        return self.part.requests < MAX_REQUESTS and self._size + len(line) <= MAX_BYTES

    def put(self, line: bytes, worst_tokens: int, worst_usd: float) -> None:
        self._file.write(line)
        self._hash.update(line)
        self._size += len(line)
        self.part.requests += 1
        self.part.worst_tokens += worst_tokens
        self.part.worst_usd += worst_usd


def _private(path: Path) -> IO[bytes]:
    """Create a file that only its owner can read, as the journal: it contains prompts."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o660), "wb")


def request_line(key: CallKey, body: Mapping[str, Any]) -> bytes:
    """Return one line of a batch's input file."""
    line = {"custom_id": str(key), "method": "POST", "url": URL, "body": body}
    return json.dumps(line, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def answer_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a result file that are objects."""
    with path.open("rb") as lines:
        for line in lines:
            try:
                answer = json.loads(line)
            except ValueError:
                continue  # its call has no result then, and is repeated
            if isinstance(answer, dict):
                yield answer


def _read(line: Mapping[str, Any]) -> tuple[CallKey, int]:
    return CallKey.read(line["custom_id"]), prompt_tokens(line["body"]["messages"])
