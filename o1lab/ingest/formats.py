"""Convert a row to a problem and its traces. Importers recognise rows by their keys; the file name does not matter.

==============  ============================================================================================
recorded        problem, ``raw`` (or thought and solution), model: a response as this project stores it
s1              question and ``*thinking_trajectory`` with ``*attempt``
sharegpt        ``conversations`` of from and value
messages        ``messages`` of role and content, with the thought in reasoning_content, reasoning or thinking
reasoning       a prompt, ``reasoning_content`` (or reasoning) and an answer side by side
alpaca          instruction, input, output (or response)
problems        a statement with answer, final_answer or solution, and no response
==============  ============================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from o1lab.chains.answers import How, extract_answer
from o1lab.chains.equality.notation import normalise
from o1lab.chains.parse import parse
from o1lab.ingest.importers.base import GOLD, IMPORTERS, REFERENCE, Found, Importer, RowError, TraceText, string
from store.records import NewProblem, NewTrace

SYNTHESES = ("distilled", "reformatted", "translated", "solver", "tree search", "multi-agent", "human", "unknown")
UNKNOWN = "unknown"

_MODEL = ("model", "teacher", "model_name", "generator", "generated_by")
_KEY = ("id", "unique_id", "uuid", "idx", "problem_id")
_META = (
    "level",
    "subject",
    "subfield",
    "type",
    "answer_type",
    "kind",
    "unit",
    "url",
    "cot_type",
    "source_type",
    "score",
)
_LONGEST_GOLD = 200


@dataclass(frozen=True)
class FileOrigin:
    """Metadata of a file given by the user; a model or licence in the row takes precedence."""

    source: str
    licence: str | None = None
    teacher: str | None = None
    synthesis: str | None = None


@dataclass(frozen=True, slots=True)
class ParsedRow:
    """The content of one row: a problem, and the traces that answer it."""

    format: str
    problem: NewProblem
    traces: Sequence[NewTrace]


def read_row(row: Mapping[str, Any], provenance: FileOrigin, line: int) -> ParsedRow:
    """Parse a row into its problem and traces.

    Args:
        row: the row as JSON.
        provenance: metadata of the file, given by the user.
        line: the line of the row, used as key if the row has none.

    Raises:
        RowError: no importer recognises it, or it is empty.
    """
    recognised = ((one, found) for one in IMPORTERS.all().values() if (found := _tried(one, row)) is not None)
    importer, found = next(recognised, (None, None))
    if importer is None or found is None:
        raise RowError(f"no format known here has these keys: {_keys(row)}")
    if not found.statement.strip():
        raise RowError("the problem is empty")
    key = _text(row, _KEY) or str(line)
    problem = _problem(row, found, provenance, key)
    responses = [response for response in found.responses if response.raw.strip()]
    traces = [_trace(row, response, problem.id, provenance, key) for response in responses]
    if found.responses and not traces:
        raise RowError("the response is empty")
    return ParsedRow(_format(importer, traces), problem, traces)


def _problem(row: Mapping[str, Any], found: Found, provenance: FileOrigin, key: str) -> NewProblem:
    """Return the problem of a row. Keys that belong to the response (such as ``solution``) are not a reference."""
    reference = next((text for name in REFERENCE if name not in found.used and (text := string(row.get(name)))), None)
    gold = next((text for name in GOLD if name not in found.used and (text := _gold(row.get(name)))), None)
    if gold is None and reference is not None:
        boxed = extract_answer(reference)
        if boxed is not None and boxed.how is How.BOXED:
            gold = boxed.text
        elif found.responses and len(reference) <= _LONGEST_GOLD and "\n" not in reference.strip():
            gold = reference.strip()  # s1K keeps a short gold answer there
    if reference is None and "####" in (full := string(row.get("answer")) or "") and "answer" not in found.used:
        reference = full
    source = string(row.get("dataset")) or provenance.source
    if found.responses:
        # Use the key of the problem, not of the response: a problem with many traces is one row of one source.
        return NewProblem(
            found.statement, source, _text(row, ("problem_id",)) or "", gold, reference, _licence(row, provenance)
        )
    return NewProblem(found.statement, source, key, gold, reference, _licence(row, provenance), _meta(row))


def _trace(row: Mapping[str, Any], response: TraceText, problem_id: str, provenance: FileOrigin, key: str) -> NewTrace:
    parsed = parse(response.raw)
    model = _text(row, _MODEL) or provenance.teacher or response.model or UNKNOWN
    synthesis = string(row.get("synthesis")) or provenance.synthesis or response.synthesis
    if synthesis is None:
        synthesis = "distilled" if model != UNKNOWN else UNKNOWN
    meta = _meta(row)
    if response.turns > 1:
        meta["turns"] = response.turns
    nothing = (len(response.raw), len(response.raw))
    return NewTrace(
        problem_id=problem_id,
        model=model,
        raw=response.raw,
        thought=parsed.thought or (0, 0),
        solution=parsed.solution or nothing,
        complete=parsed.complete,
        format=parsed.format,
        source=provenance.source,
        key=key,
        licence=_licence(row, provenance),
        synthesis=synthesis if synthesis in SYNTHESES else UNKNOWN,
        meta=meta,
    )


def _tried(importer: Importer, row: Mapping[str, Any]) -> Found | None:
    """Return what the importer finds in the row. If it fails, the row is rejected and the import continues."""
    try:
        return importer.recognise(row)
    except RowError:
        raise
    except Exception as error:
        raise RowError(f"the importer {importer.name} failed: {type(error).__name__}: {error}"[:200]) from error


def _format(importer: Importer, traces: Sequence[NewTrace]) -> str:
    """Return the format for reports: thought marks in the responses are more informative than ``alpaca``."""
    marks = traces[0].format if traces else "plain"
    return importer.name if importer.own_name or marks == "plain" else f"{marks} ({importer.name})"


def _gold(value: Any) -> str | None:
    """Return a gold answer as text: the part after GSM8K's ``####``, the values of a list, 27 for 27.0."""
    if isinstance(value, bool) or value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, list):
        return ", ".join(text for one in value if (text := _gold(one))) or None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value) if isinstance(value, int | float) else string(value)
    if text is None:
        return None
    return (normalise(text) if "####" in text else text.strip()) or None


def _meta(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the small values worth keeping, by key, without NaN and infinity."""
    return {
        name: row[name]
        for name in _META
        if isinstance(row.get(name), str | int | float)
        and len(str(row[name])) <= _LONGEST_GOLD
        and not (isinstance(row[name], float) and not math.isfinite(row[name]))
    }


def _licence(row: Mapping[str, Any], provenance: FileOrigin) -> str:
    return _text(row, ("licence", "license")) or provenance.licence or UNKNOWN


def _text(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """Return the first value under these keys that is a non-empty text or an integer."""
    for name in names:
        value = row.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if (text := string(value)) is not None:
            return text
    return None


def _keys(row: Mapping[str, Any]) -> str:
    names = [str(name) for name in row]
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "") if names else "none"
