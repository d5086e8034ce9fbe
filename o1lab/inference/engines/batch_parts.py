"""The parts of a run that goes through the Batch API: a file of request lines each, and batches.json, which says how
far each of them is.

batches.json is written before and after a batch is created. A part that has no batch there may have one at the server
all the same (the process was killed in between), so the batch carries the run, the part and the hash of its lines.
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
from o1lab.inference.usage import rough_tokens

MAX_REQUESTS = 50_000
"""Requests in one batch, by the API's reference of ``POST /batches`` (``input_file_id``)."""
MAX_BYTES = 200_000_000
"""Bytes of one batch's input file, by the same: 200 MB."""
URL = "/v1/chat/completions"

PartState = Literal["written", "submitted", "taken"]


@dataclass
class Part:
    """Requests that go into one batch.

    ``written``: on this disk; perhaps at the server, if the process died. ``submitted``: ``batch`` is its id there.
    ``taken``: its responses are in the journal; its file is gone.
    ``options`` are the parameters its requests were sent with.
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
        """What the batch carries, to be known by."""
        return {"o1lab_run": run, "o1lab_part": str(self.number), "o1lab_digest": self.digest}


class Parts:
    """All parts of a job, kept in its directory."""

    def __init__(self, directory: Path) -> None:
        self._state_file = directory / "batches.json"
        self._files = directory / "batches"
        self.parts: list[Part] = []
        self.dropped: set[str] = set()
        """Parameters that the server refused by name: known when the run goes on."""
        if self._state_file.exists():
            values = json.loads(self._state_file.read_text("utf-8"))
            self.parts = [Part(**part) for part in values["parts"]]
            self.dropped = set(values["dropped"])
        self._last = max((part.number for part in self.parts), default=0)

    @property
    def open(self) -> list[Part]:
        return [part for part in self.parts if part.open]

    def save(self) -> None:
        values = {"parts": [asdict(part) for part in self.parts], "dropped": sorted(self.dropped)}
        write_json(self._state_file, values)

    def file(self, part: Part) -> Path:
        """The part's request lines."""
        return self._files / f"{part.number}.jsonl"

    def answers(self, part: Part) -> Path:
        """Where one of the part's result files is kept while it is read; it may be downloaded again at any time."""
        return self._files / f"{part.number}.answers.jsonl"

    def begin(self, options: list[str]) -> PartWriter:
        """A new part, to be filled and then :meth:`add`-ed; what an earlier process began and did not add is gone."""
        self._files.mkdir(mode=0o700, exist_ok=True)
        self._last += 1
        part = Part(self._last, options=options)
        return PartWriter(part, _private(self.file(part)))

    def add(self, *made: Part) -> None:
        self.parts.extend(made)
        self.save()

    def forget(self, part: Part) -> None:
        """A part that was never submitted: its requests are still to do."""
        self.parts.remove(part)
        self.save()
        self.file(part).unlink(missing_ok=True)

    def done_with(self, part: Part) -> None:
        """Its responses are in the journal."""
        part.state = "taken"
        self.save()
        self.file(part).unlink(missing_ok=True)

    def halves(self, part: Part) -> list[Part]:
        """Take the part apart in two, which replace it."""
        tokens, usd = -(-part.worst_tokens // part.requests), part.worst_usd / part.requests
        with self.file(part).open("rb") as lines, self.begin(part.options) as first, self.begin(part.options) as second:
            for at, line in enumerate(lines):
                (first if at < part.requests // 2 else second).put(line, tokens, usd)
        self.parts.remove(part)
        self.add(first.part, second.part)
        self.file(part).unlink()
        return [first.part, second.part]

    def asked(self, part: Part) -> dict[CallKey, int]:
        """The calls of a part, each with the rough number of tokens of its prompt."""
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
        """Nothing more is written; the part knows the hash of its lines."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())  # what is uploaded must be what a resume finds here
        self._file.close()
        self.part.digest = self._hash.hexdigest()[:16]

    def takes(self, line: bytes) -> bool:
        """Whether the API takes this line into the same file."""
        return self.part.requests < MAX_REQUESTS and self._size + len(line) <= MAX_BYTES

    def put(self, line: bytes, worst_tokens: int, worst_usd: float) -> None:
        self._file.write(line)
        self._hash.update(line)
        self._size += len(line)
        self.part.requests += 1
        self.part.worst_tokens += worst_tokens
        self.part.worst_usd += worst_usd


def _private(path: Path) -> IO[bytes]:
    """A new file, for nobody else's eyes as the journal is: it holds what is asked."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def request_line(key: CallKey, body: Mapping[str, Any]) -> bytes:
    """One line of a batch's input file."""
    line = {"custom_id": str(key), "method": "POST", "url": URL, "body": body}
    return json.dumps(line, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def answer_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a result file that are objects."""
    with path.open("rb") as lines:
        for line in lines:
            try:
                answer = json.loads(line)
            except ValueError:
                continue  # its call has no answer then, and is asked again
            if isinstance(answer, dict):
                yield answer


def _read(line: Mapping[str, Any]) -> tuple[CallKey, int]:
    tokens = sum(rough_tokens(message["content"]) for message in line["body"]["messages"])
    return CallKey.read(line["custom_id"]), tokens
