"""Rows with a problem and its response under separate keys, as in well-known data sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from o1lab.chains.parse import join
from o1lab.ingest.importers.base import (
    REASONING,
    STATEMENT,
    Found,
    TraceText,
    first,
    importer,
    string,
    words,
)

_ANSWERED = ("content", "response", "output", "completion", "deepseek_solution", "solution", "answer")


@importer("s1", order=10)
def s1(row: Mapping[str, Any]) -> Found | None:
    """s1K and s1K-1.1: one trace for each teacher with a trajectory in the row."""
    statement = words(row, STATEMENT)
    if statement is None:
        return None
    responses = []
    for prefix, model in (("gemini_", "gemini-2.0-flash-thinking"), ("deepseek_", "deepseek-r1"), ("", None)):
        thought = first(row.get(f"{prefix}thinking_trajectory")) or first(row.get(f"{prefix}thinking_trajectories"))
        if thought is not None:
            answer = first(row.get(f"{prefix}attempt")) or ""
            responses.append(TraceText(join(thought, answer), model, "distilled"))
    return Found(statement, responses) if responses else None


@importer("recorded", order=20, own_name=False)
def recorded(row: Mapping[str, Any]) -> Found | None:
    """A response as this project stores it: ``raw``, or thought and solution."""
    statement = words(row, STATEMENT)
    if statement is None:
        return None
    used = ("raw", "thought", "solution")
    if raw := string(row.get("raw")):
        return Found(statement, [TraceText(raw)], used)
    thought, solution = string(row.get("thought")), string(row.get("solution"))
    return Found(statement, [TraceText(join(thought, solution or ""))], used) if thought else None


@importer("reasoning", order=50)
def reasoning(row: Mapping[str, Any]) -> Found | None:
    """A prompt with the thought and the answer under separate keys."""
    statement = words(row, (*STATEMENT, "instruction", "input"))
    thought = words(row, REASONING)
    if statement is None or thought is None:
        return None
    answer = next((name for name in _ANSWERED if string(row.get(name))), None)
    raw = join(thought, row[answer] if answer else "")
    return Found(statement, [TraceText(raw, synthesis="distilled")], (answer,) if answer else ())


@importer("alpaca", order=60, own_name=False)
def alpaca(row: Mapping[str, Any]) -> Found | None:
    """Instruction and input form the problem, as in Alpaca's prompt; also a prompt with its response."""
    answer = words(row, ("output", "response", "completion"))
    instruction = string(row.get("instruction"))
    context = string(row.get("input")) if instruction else None
    statement = instruction or words(row, STATEMENT)
    if answer is None or statement is None:
        return None
    return Found(f"{statement}\n\n{context}" if context else statement, [TraceText(answer)])


@importer("problems", order=70, own_name=False)
def problems(row: Mapping[str, Any]) -> Found | None:
    """A problem without a response; it may have an answer or a solution."""
    statement = words(row, STATEMENT)
    if statement is None or any(name in row for name in ("response", "output", "completion")):  # an empty response
        return None
    context = string(row.get("context"))
    return Found(f"{context}\n\n{statement}" if context else statement)
