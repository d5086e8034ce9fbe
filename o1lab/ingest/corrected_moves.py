"""Chains with corrected kinds of moves, for measuring the schemes and for training a classifier."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from o1lab.chains.measures import read_text
from o1lab.chains.segmentation.moves import MoveKind
from o1lab.chains.segmentation.training import TAG_TO_MOVE, Example, example
from o1lab.errors import LabError, UsageError
from o1lab.text import one_line
from store import annotations as annotation_log
from store import corrections, traces
from store.corrections import Span
from store.sqlite import Database


class Corrected(NamedTuple):
    """A chain whose moves were corrected or confirmed by people.

    Attributes:
        trace_id: the trace.
        problem_id: its problem.
        text: what the spans are offsets into.
        kinds: the kind of each span, by its latest correction.
    """

    trace_id: str
    problem_id: str
    text: str
    kinds: dict[Span, MoveKind]


def every_corrected(db: Database) -> Iterator[Corrected]:
    """Yield each chain with corrections in force. Spans that lie outside the text are left out.

    Raises:
        LabError: a correction has a kind that this version does not know.
    """
    for trace_id in corrections.corrected_traces(db):
        row, text = traces.get(db, trace_id), traces.text(db, trace_id)
        shown = read_text(text.thought, text.solution)
        latest = corrections.latest(annotation_log.of_trace(db, trace_id))
        kinds = {span: _kind(trace_id, record.value) for span, record in latest.items() if span[1] <= len(shown)}
        if kinds:
            yield Corrected(trace_id, row.problem_id, shown, kinds)


def _kind(trace_id: str, name: str) -> MoveKind:
    try:
        return MoveKind(name)
    except ValueError as error:
        raise LabError(
            f"A move of trace {trace_id} was corrected to '{one_line(name, 40)}', which is not a kind of move.",
            "Correct this move again in the reader, or use the version of o1lab that wrote it.",
        ) from error


def examples_of(db: Database) -> list[tuple[str, Example]]:
    """Return the corrected chains of a lab as examples for training, each with its problem."""
    return [
        (one.problem_id, example(one.text, [(*span, kind) for span, kind in one.kinds.items()]))
        for one in every_corrected(db)
    ]


def read_tagged(path: Path) -> list[tuple[str, Example]]:
    """Read a JSONL file of tagged chains: ``thought`` and ``sentences`` with ``text`` and a ``tag`` (or ``tags``).

    A tag is a kind of move, or one of Thought Anchors. Sentences are looked for in their order; those that the thought
    does not contain are left out.

    Returns:
        The chains as examples, each with its problem (``problem_id`` or ``problem``; without one, its line).

    Raises:
        UsageError: the file cannot be read or has other rows.
    """
    try:
        with path.open(encoding="utf-8") as file:
            return [_tagged_in(path, number, line) for number, line in enumerate(file, 1) if line.strip()]
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", "") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8.", "Save it as UTF-8.") from error


def _tagged_in(path: Path, number: int, line: str) -> tuple[str, Example]:
    try:
        return _tagged(json.loads(line), number)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"Line {number} of {path} is not a tagged chain: {one_line(str(error), 80)}.",
            "A row has a thought, and sentences with text and tag, such as plan or plan_generation.",
        ) from error


def _tagged(row: dict[str, Any], number: int) -> tuple[str, Example]:
    thought, at, spans = row["thought"], 0, []
    for sentence in row["sentences"]:
        tag = str(sentence["tag"] if "tag" in sentence else sentence["tags"][0])
        start = thought.find(sentence["text"], at)
        if start >= 0 and sentence["text"]:
            at = start + len(sentence["text"])
            spans.append((start, at, TAG_TO_MOVE.get(tag) or MoveKind(tag)))
    return str(row.get("problem_id") or row.get("problem") or number), example(thought, spans)
