"""What the chain reader shows, as plain data: no store, no parser, no model behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Segment(NamedTuple):
    """One move of the thought: ``kind`` is a name ("reflect") or a letter ("R"), ``start``/``end`` are code
    points of the thought, end excluded. What lies between segments is shown without a letter."""

    kind: str
    start: int
    end: int


class Span(NamedTuple):
    """An annotated stretch of the thought (code points, end excluded) with the label a person gave it."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class ReaderDocument:
    """A chain to read: the thought with its moves and annotated spans, then the solution."""

    thought: str
    solution: str = ""
    segments: Sequence[Segment | tuple[str, int, int]] = field(default=())
    spans: Sequence[Span | tuple[int, int, str]] = field(default=())
