"""Who wrote which part of a response that several models wrote, in turn.

The spans are in the ``meta`` of a trace, as objects with ``model``, ``start`` and ``end``, in code points of its raw
text. They follow each other without gaps. Other traces have none: all of their text is by the trace's model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

WRITERS = "writers"
"""The key of a trace's ``meta`` with the spans."""


class Writer(NamedTuple):
    """A model and the code points [start, end) that it wrote."""

    model: str
    start: int
    end: int


CHANGE = "»"
"""The sign of a place where another model continues."""


def changes(writers: Sequence[Writer], text: str) -> Iterator[tuple[int, str]]:
    """Yield where each writer of ``text`` begins, at the first character that is no white space, and its model."""
    for one in writers:
        written = text[one.start : one.end]
        yield one.start + (len(written) - len(written.lstrip()) if written.strip() else 0), one.model


def takes_over(model: str) -> str:
    """Return the text next to the sign."""
    return f"{model} writes from here"


def written_by(parts: Sequence[tuple[str, str]]) -> tuple[str, tuple[Writer, ...]]:
    """Return the text of (model, text) parts, and who wrote what in it. Empty parts and equal neighbours are merged."""
    spans: list[Writer] = []
    at = 0
    for model, text in parts:
        if text and spans and spans[-1].model == model:
            spans[-1] = spans[-1]._replace(end=at + len(text))
        elif text:
            spans.append(Writer(model, at, at + len(text)))
        at += len(text)
    return "".join(text for _, text in parts), tuple(spans)


def as_meta(writers: Sequence[Writer]) -> dict[str, list[dict[str, Any]]]:
    """Return the entry for the ``meta`` of a trace; empty unless several models wrote it."""
    return {WRITERS: [one._asdict() for one in writers]} if len(writers) > 1 else {}


def writers_of(meta: Mapping[str, Any], length: int) -> tuple[Writer, ...]:
    """Return who wrote what in a raw text of ``length`` code points; empty if one model wrote it, or nothing is known.

    The stored value may come from an imported file, so spans that do not cover the text are ignored.
    """
    stored = meta.get(WRITERS)
    if not isinstance(stored, list) or len(stored) < 2:
        return ()
    found: list[Writer] = []
    at = 0
    for one in stored:
        if not isinstance(one, dict):
            return ()
        model, start, end = one.get("model"), one.get("start"), one.get("end")
        if not isinstance(model, str) or type(start) is not int or type(end) is not int or start != at or end <= at:
            return ()
        found.append(Writer(model, start, end))
        at = end
    return tuple(found) if at == length else ()


def inside(writers: Sequence[Writer], part: tuple[int, int]) -> Iterator[Writer]:
    """Yield who wrote what in one part [start, end) of the raw text, in code points of the part."""
    begin, end = part
    for one in writers:
        first, last = max(one.start, begin), min(one.end, end)
        if first < last:
            yield Writer(one.model, first - begin, last - begin)
