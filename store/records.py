"""The rows that cross the store's border, as plain typed records."""

from __future__ import annotations

import hashlib
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class NewProblem:
    """A problem as an importer hands it over; its identity follows from the statement."""

    statement: str
    source: str
    key: str = ""
    answer: str | None = None
    solution: str | None = None
    licence: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return problem_id(self.statement)


@dataclass(frozen=True, slots=True)
class NewTrace:
    """A trace as an importer, a teacher run or a chat hands it over.

    ``thought`` and ``solution`` are (start, end) offsets into ``raw``, in code points.
    """

    problem_id: str
    model: str
    raw: str
    thought: tuple[int, int]
    solution: tuple[int, int]
    complete: bool
    format: str
    source: str
    key: str = ""
    licence: str | None = None
    synthesis: str = "unknown"
    parent_id: str | None = None
    tokens: int | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return trace_id(self.problem_id, self.model, self.raw)


@dataclass(frozen=True, slots=True)
class Measured:
    """What measuring and verifying found in a trace; its offsets and texts do not change.

    Attributes:
        moves: how many moves of each kind the thought has.
        segments: the moves themselves as the segmenter packs them, or None if they were not kept.
        segmenter: version of the segmenter that made ``segments``.
    """

    trace_id: str
    looping: bool
    moves: Mapping[str, int]
    answer: str | None
    verdict: str
    verdict_reason: str
    measured_by: str
    tokens: int | None = None
    segments: str | None = None
    segmenter: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    id: str
    statement: str
    answer: str | None
    solution: str | None
    excluded_by: str | None
    source: str
    licence: str | None
    key: str


@dataclass(frozen=True, slots=True)
class TraceRow:
    """A trace as lists show it: everything but its texts."""

    seq: int
    id: str
    problem_id: str
    model: str
    source: str
    key: str
    licence: str | None
    synthesis: str
    format: str
    parent_id: str | None
    complete: bool
    chars: int
    tokens: int | None
    looping: bool | None
    answer: str | None
    verdict: str | None
    verdict_reason: str | None
    moves: dict[str, int] | None
    measured_by: str | None
    decision: str | None
    rating: int | None
    created_at: str


@dataclass(frozen=True, slots=True)
class TraceText:
    """The texts of one trace with its problem; thought and solution are slices of ``raw``.

    ``segments`` are the packed moves that version ``segmenter`` of the segmenter found, None before measuring.
    """

    trace_id: str
    raw: str
    thought_span: tuple[int, int]
    solution_span: tuple[int, int]
    statement: str
    gold: str | None
    meta: dict[str, Any]
    complete: bool = True
    segments: str | None = None
    segmenter: int = 0

    @property
    def thought(self) -> str:
        return self.raw[slice(*self.thought_span)]

    @property
    def solution(self) -> str:
        return self.raw[slice(*self.solution_span)]


@dataclass(frozen=True, slots=True)
class Annotation:
    id: str
    trace_id: str
    kind: str
    value: str
    span: tuple[int, int] | None
    target: str | None
    batch: str | None
    annotator: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """A snapshot. ``selection`` says how its rows were chosen among the query's traces; empty: all were taken."""

    name: str
    hash: str
    phase: int
    query: str
    rows: int
    tokens: int | None
    created_at: str
    selection: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class RunRecord:
    id: str
    dir: str
    base: str
    dataset: str
    dataset_hash: str
    init_from: str | None
    created_at: str


def normalised(statement: str) -> str:
    """The form of a statement that decides identity: NFKC, white space folded."""
    return " ".join(unicodedata.normalize("NFKC", statement).split())


def problem_id(statement: str) -> str:
    """16 hexadecimal digits of the SHA-256 of the normalised statement."""
    return hashlib.sha256(normalised(statement).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def trace_id(problem: str, model: str, raw: str) -> str:
    """16 hexadecimal digits of the SHA-256 of problem, model and raw text."""
    digest = hashlib.sha256(f"{problem}\0{model}\0".encode("utf-8", "surrogatepass"))
    digest.update(encode(raw))
    return digest.hexdigest()[:16]


def encode(text: str) -> bytes:
    """Text as the store keeps it: lone surrogates survive, so what came in comes out."""
    return text.encode("utf-8", "surrogatepass")


def decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def now() -> str:
    """The time in UTC, ISO 8601 with microseconds: sorts as text."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def new_id() -> str:
    """A fresh identity that no other lab will make."""
    return secrets.token_hex(10)


def scrubbed(text: str) -> str:
    """``text`` as a TEXT column can hold it: lone surrogates become the replacement character."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text
