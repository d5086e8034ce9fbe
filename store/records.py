"""The rows that the store takes and returns, as plain typed records; ids, time stamps and text encoding."""

from __future__ import annotations

import hashlib
import json
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any, Literal, NamedTuple

from store.errors import UsageError

Context = tuple[Mapping[str, str], ...]
Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class NewProblem:
    """A problem to add; its id is a hash of the statement."""

    statement: str
    source: str
    key: str = ""
    answer: str | None = None
    solution: str | None = None
    licence: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def id(self) -> str:
        return problem_id(self.statement)


@dataclass(frozen=True)
class NewTrace:
    """A trace to add, from an import, a teacher run or a chat.

    Attributes:
        raw: The response as it was received.
        thought: (start, end) of the thought in ``raw``, in code points.
        solution: (start, end) of the solution in ``raw``, in code points.
        complete: Whether the response was not cut off.
        format: Name of the import format.
        source: Name of the source, such as ``eval/gsm8k``.
        key: The row's own id in the source.
        synthesis: How the trace was made.
        parent_id: The trace it was translated or edited from.
        tokens: Length of ``raw`` by the tokenizer of ``model``; None when unknown.
        context: The conversation that ``raw`` answers, as messages with ``role`` and ``content``, the system message
            first; empty if only the statement of the problem was asked.
        outside: (start, end) of each text in ``raw`` that is outside the thought and the solution, in order.
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
    context: Context = ()
    outside: Spans = ()

    @cached_property
    def id(self) -> str:
        return trace_id(self.problem_id, self.model, self.raw, self.context)

    @property
    def answer(self) -> str:
        """The visible text of the response: everything except the thought and the marks."""
        return visible_text(self.raw, self.solution, self.outside)


OWN_MOVES = "written_moves"
"""The key of a trace's ``meta`` with the moves, packed, that the person who wrote it marked."""


class Unmeasured(NamedTuple):
    """The parts of a stored trace that are measured, in a form that is cheap to send to another process."""

    seq: int
    trace_id: str
    raw: bytes
    """The response in UTF-8; see ``decode``."""
    thought: tuple[int, int]
    solution: tuple[int, int]
    complete: bool
    gold: str | None
    own_moves: str | None
    """The moves that the person who wrote the trace marked, packed."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of measuring and verifying a trace.

    Attributes:
        moves: Number of moves of each kind in the thought.
        measured_by: Version of the measures.
        segments: The moves as the segmenter packs them; None if they were not stored.
        segmenter: Version of the segmenter that made ``segments``.
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
    """A row of the list of traces: everything except the texts."""

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
    rating: float | None
    disputed: bool
    created_at: str


@dataclass(frozen=True, slots=True)
class TraceText:
    """The texts of one trace and of its problem; ``context`` and ``outside`` are those of :class:`NewTrace`.

    ``segments`` are the packed moves found by version ``segmenter`` of the segmenter, None before measuring. Their
    kinds are by ``kinds_by`` (rules, model, writer), since ``labeller`` looked at the chain; None if none did.
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
    context: Context = ()
    outside: Spans = ()
    labeller: str | None = None
    kinds_by: str = "rules"

    @property
    def thought(self) -> str:
        return self.raw[slice(*self.thought_span)]

    @property
    def solution(self) -> str:
        """The solution, with the text outside the marks in its place before or after it."""
        return visible_text(self.raw, self.solution_span, self.outside)

    @property
    def asked(self) -> str:
        """What was asked: the statement, or the whole conversation before the response, for reading."""
        return "\n\n".join(f"[{turn['role']}] {turn['content']}" for turn in self.context) or self.statement


@dataclass(frozen=True, slots=True)
class Annotation:
    """A record of the annotation log. ``run_id`` is the teacher run of a judge, None for a person."""

    id: str
    trace_id: str
    kind: str
    value: str
    span: tuple[int, int] | None
    target: str | None
    batch: str | None
    annotator: str
    created_at: str
    run_id: str | None = None


DatasetKind = Literal["sft", "pairs"]


@dataclass(frozen=True, slots=True)
class Dataset:
    """An immutable dataset.

    Attributes:
        selection: How its rows were chosen from the query; empty: all were taken.
        decided: Whose decisions counted when it was made: ``policy``, ``annotators`` (their number) and ``annotator``,
            the person who made it. Empty for one made before that was recorded.
        kind: Whether each row is a trace to learn (``sft``) or a chosen and a rejected one (``pairs``).
    """

    name: str
    hash: str
    phase: int
    query: str
    rows: int
    tokens: int | None
    created_at: str
    selection: Mapping[str, Any] = field(default_factory=dict, hash=False)
    decided: Mapping[str, Any] = field(default_factory=dict, hash=False)
    kind: DatasetKind = "sft"


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
    """Return the form of a statement that its id is computed from: NFKC, white space collapsed."""
    return " ".join(unicodedata.normalize("NFKC", statement).split())


@lru_cache(maxsize=256)  # the rows of an import repeat a statement, and each row needs its id several times
def problem_id(statement: str) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of the normalised statement."""
    return hashlib.sha256(normalised(statement).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def trace_id(problem: str, model: str, raw: str, context: Context = ()) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of problem, model, context (if there is one) and raw text."""
    asked = f"{json.dumps(list(map(dict, context)))}\0" if context else ""
    digest = hashlib.sha256(f"{problem}\0{model}\0{asked}".encode("utf-8", "surrogatepass"))
    digest.update(encode(raw))
    return digest.hexdigest()[:16]


def context_of(stored: str | None) -> Context:
    """Return the context from its column."""
    return tuple(json.loads(stored)) if stored else ()


def spans_of(stored: str | None) -> Spans:
    """Return spans from their column."""
    return tuple((start, end) for start, end in json.loads(stored)) if stored else ()


def visible_text(raw: str, solution: tuple[int, int], outside: Spans) -> str:
    """Return the text of a response that is neither thought nor mark: ``outside`` and the solution, in order."""
    if not outside:
        return raw[slice(*solution)]
    spans = sorted(span for span in (*outside, solution) if span[0] < span[1])
    return "\n\n".join(raw[slice(*span)] for span in spans)


def encode(text: str) -> bytes:
    """Encode text for a BLOB column: lone surrogates are kept, so that the text round-trips."""
    return text.encode("utf-8", "surrogatepass")


def decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def now() -> str:
    """Return the time in UTC, ISO 8601 with microseconds: it sorts as text."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def new_id() -> str:
    """Return a random id that is unique across labs."""
    return secrets.token_hex(10)


LONGEST_NAME = 80
NAME_RULE = f"A name has up to {LONGEST_NAME} printable characters, no slash, and no dot, hyphen or space at its start."


def is_name(text: str) -> bool:
    """Whether ``text`` is a name of a dataset or a job, and never a path or an option; see ``NAME_RULE``."""
    return (
        0 < len(text) <= LONGEST_NAME
        and text.isprintable()
        and text == text.strip()
        and text[0] not in ".-~"
        and not any(char in text for char in "/\\")
    )


def require_name(text: str) -> None:
    """Raise ``UsageError`` unless ``text`` is a name."""
    if not is_name(text):
        raise UsageError(f"'{text[:LONGEST_NAME]}' is not a valid name.", NAME_RULE)


def with_suffix(name: str, suffix: str) -> str:
    """Return a name with ``suffix`` at its end, shortened to be a name."""
    return name[: LONGEST_NAME - len(suffix)] + suffix


def scrubbed(text: str) -> str:
    """Replace lone surrogates by `?`: UTF-8, SQLite and tokenizers cannot encode them."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text
